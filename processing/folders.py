"""Where pictures lie on disk: one folder a job, readable by the owner of the process alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class JobFolders:
    """The folders of the jobs under DATA_DIR/jobs."""

    data_dir: Path

    def create(self, job_id: int) -> Path:
        """Return the job's folder, made if need be."""
        folder = self.folder(job_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def folder(self, job_id: int) -> Path:
        return self.data_dir / "jobs" / str(job_id)

    def picture(self, job_id: int) -> Path:
        """The result without loss, a PNG: what "as a file" sends."""
        return self.folder(job_id) / "picture.png"

    def photo(self, job_id: int) -> Path:
        """The result as a JPEG, small enough for a photo in a chat."""
        return self.folder(job_id) / "photo.jpg"

    def remove(self, job_id: int) -> None:
        shutil.rmtree(self.folder(job_id), ignore_errors=True)
