"""Where results lie: on disk one folder a job, readable by the owner of the process alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

FOLDER_MODE = 0o700
FILE_MODE = 0o600

log = structlog.get_logger(__name__)


class Results(Protocol):
    """The pictures of painted jobs, wherever they are kept."""

    async def put(self, job_id: int, picture: bytes, photo: bytes) -> None:
        """Store the PNG and the photo, whole or not at all."""
        ...

    async def has(self, job_id: int) -> bool: ...

    async def get_picture(self, job_id: int) -> bytes | None:
        """Return the result without loss, a PNG: what "as a file" sends; None: it is there no more."""
        ...

    async def get_photo(self, job_id: int) -> bytes | None:
        """Return the result as a JPEG, small enough for a photo in a chat; None: it is there no more."""
        ...

    async def discard(self, job_id: int) -> None:
        """Delete the pictures of a job that this process runs or tells of, and no other's."""
        ...

    async def delete(self, job_ids: Collection[int]) -> None:
        """Delete the pictures of jobs that are over, or whose users want it."""
        ...

    async def kept(self) -> dict[int, datetime]:
        """Return the numbers of the jobs that have pictures, and since when."""
        ...


@dataclass(frozen=True, slots=True)
class JobFolders:
    """The folders of the jobs under DATA_DIR/jobs."""

    data_dir: Path

    async def put(self, job_id: int, picture: bytes, photo: bytes) -> None:
        def write() -> None:
            try:
                self.create(job_id)
                write_durably(self.picture(job_id), picture)
                write_durably(self.photo(job_id), photo)
            except OSError:
                # Its job may be cancelled before it is stored that it failed: nobody would come back to this.
                self.remove(job_id)
                raise

        await asyncio.to_thread(write)

    async def has(self, job_id: int) -> bool:
        return await asyncio.to_thread(self.photo(job_id).exists)

    async def get_picture(self, job_id: int) -> bytes | None:
        return await asyncio.to_thread(_read, self.picture(job_id))

    async def get_photo(self, job_id: int) -> bytes | None:
        return await asyncio.to_thread(_read, self.photo(job_id))

    async def discard(self, job_id: int) -> None:
        await asyncio.to_thread(self.remove, job_id)

    async def delete(self, job_ids: Collection[int]) -> None:
        def remove() -> None:
            for job_id in job_ids:
                self.remove(job_id)

        await asyncio.to_thread(remove)

    async def kept(self) -> dict[int, datetime]:
        """Return the numbers of the jobs that have a folder, and when a file last came into it or left it."""

        def look() -> dict[int, datetime]:
            if not self.jobs.is_dir():
                return {}
            folders = (folder for folder in self.jobs.iterdir() if folder.name.isdecimal())
            return {int(folder.name): self._changed_at(folder) for folder in folders}

        return await asyncio.to_thread(look)

    @staticmethod
    def _changed_at(folder: Path) -> datetime:
        """Return when the folder was changed; now, should it be gone."""
        try:
            return datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        except FileNotFoundError:
            return datetime.now(UTC)

    def make_private(self) -> None:
        """Make DATA_DIR if need be, and take from others what an earlier umask or copy has let them read."""
        for folder in (self.data_dir, self.jobs):
            folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        try:
            # A folder that everybody writes to, such as /tmp, is not the bot's to close.
            if not self.data_dir.stat().st_mode & stat.S_ISVTX:
                self.data_dir.chmod(FOLDER_MODE)
        except PermissionError as error:
            # A mounted volume may be another's; what lies in it is the bot's own all the same.
            log.warning("DATA_DIR stays readable by others", reason=str(error))
        for place, _, files in os.walk(self.jobs):
            Path(place).chmod(FOLDER_MODE)
            for name in files:
                (Path(place) / name).chmod(FILE_MODE)

    def create(self, job_id: int) -> None:
        """Make the job's folder if need be."""
        # mkdir gives its mode to the last folder alone.
        self.jobs.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        self.folder(job_id).mkdir(exist_ok=True, mode=FOLDER_MODE)

    @property
    def jobs(self) -> Path:
        return self.data_dir / "jobs"

    def folder(self, job_id: int) -> Path:
        return self.jobs / str(job_id)

    def picture(self, job_id: int) -> Path:
        """The result without loss, a PNG: what "as a file" sends."""
        return self.folder(job_id) / "picture.png"

    def photo(self, job_id: int) -> Path:
        """The result as a JPEG, small enough for a photo in a chat."""
        return self.folder(job_id) / "photo.jpg"

    def remove(self, job_id: int) -> None:
        shutil.rmtree(self.folder(job_id), ignore_errors=True)


def write_durably(path: Path, content: bytes) -> None:
    """Write a private file so that after a crash it is there whole or not at all."""
    unfinished = path.with_name(path.name + ".part")
    try:
        with open(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, FILE_MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
