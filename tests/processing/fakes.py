"""A runner that paints nothing, for tests of what gives it jobs."""

from __future__ import annotations

import asyncio

from processing.job import Job, NothingToKeepError, Outcome, Status
from processing.store import Store

OUTCOME = Outcome(100, 100, 1.0, "toy")


class FakeRunner:
    """Runs a job until the test lets it go, and tells its user until the test lets it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.begun: list[int] = []
        self.telling: list[int] = []
        self.told: list[int] = []
        self.cut: list[int] = []
        self.may_end = asyncio.Event()
        self.may_tell = asyncio.Event()
        self.may_tell.set()
        self.stopped = False
        self.shown: set[int] = set()
        self.kept: list[int] = []

    def keep(self, job_id: int) -> bool:
        if job_id not in self.shown:
            raise NothingToKeepError
        self.kept.append(job_id)
        return len(self.kept) == 1

    async def run(self, job: Job) -> None:
        self.begun.append(job.id)
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cut.append(job.id)
            raise
        await self.store.mark_painted(job.id, OUTCOME)

    async def finish(self, job: Job) -> None:
        current = await self.store.get(job.id)
        self.telling.append(job.id)
        await self.may_tell.wait()
        if current.status is Status.PAINTED:
            await self.store.mark_delivered(job.id)
        elif current.status is Status.FAILED:
            await self.store.mark_told(job.id)
        self.told.append(job.id)

    def stop(self) -> None:
        self.stopped = True
