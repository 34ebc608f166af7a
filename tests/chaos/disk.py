"""A small disk that can be full: a tmpfs, which needs the right to mount one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_MB = 96
BALLAST = "ballast"
#: A write of this fits where one of a page would.
PAGE_BYTES = 4096


class Disk:
    """The disk under a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave not one page free."""
        with (self.folder / BALLAST).open("wb", buffering=0) as ballast:
            size = 2**20
            while size >= PAGE_BYTES:
                try:
                    if ballast.write(bytes(size)) == size:
                        continue
                except OSError:
                    pass
                size //= 2

    def free(self) -> None:
        (self.folder / BALLAST).unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk | None]:
    """Mount a disk of SIZE_MB at the folder, and yield None where that is not allowed."""
    folder.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield Disk(folder) if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
