"""Where pictures lie on disk: one folder a job, readable by the owner of the process alone."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

FOLDER_MODE = 0o700
FILE_MODE = 0o600

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobFolders:
    """The folders of the jobs under DATA_DIR/jobs."""

    data_dir: Path

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

    def create(self, job_id: int) -> Path:
        """Return the job's folder, made if need be."""
        folder = self.folder(job_id)
        # mkdir gives its mode to the last folder alone.
        self.jobs.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        folder.mkdir(exist_ok=True, mode=FOLDER_MODE)
        return folder

    @property
    def jobs(self) -> Path:
        return self.data_dir / "jobs"

    def folder(self, job_id: int) -> Path:
        return self.jobs / str(job_id)

    def kept(self) -> list[int]:
        """Return the numbers of the jobs that have a folder."""
        if not self.jobs.is_dir():
            return []
        return sorted(int(folder.name) for folder in self.jobs.iterdir() if folder.name.isdecimal())

    def changed_at(self, job_id: int) -> datetime:
        """Return when a file last came into the job's folder or left it; now, should the folder be gone."""
        try:
            return datetime.fromtimestamp(self.folder(job_id).stat().st_mtime, UTC)
        except FileNotFoundError:
            return datetime.now(UTC)

    def picture(self, job_id: int) -> Path:
        """The result without loss, a PNG: what "as a file" sends."""
        return self.folder(job_id) / "picture.png"

    def photo(self, job_id: int) -> Path:
        """The result as a JPEG, small enough for a photo in a chat."""
        return self.folder(job_id) / "photo.jpg"

    def remove(self, job_id: int) -> None:
        shutil.rmtree(self.folder(job_id), ignore_errors=True)
