"""Pictures go once they have been kept long enough; the job's row stays, and so do most of its buttons."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from processing.folders import Results
from processing.job import Status
from processing.store import Store

SWEEP_EVERY_S = 600.0

log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class Retention:
    """Looks at the pictures now and then and deletes those of jobs whose users were told long ago.

    What is kept is what is looked at, so nothing is forgotten over a restart. A job that waits, runs or is
    still to be told is left alone however old it is. What belongs to no job goes by its own age. What is left of a
    job that was cancelled or failed goes at once: a bot that was killed while it cleared up leaves such pictures.

    Args:
        hours: how long a picture is kept after its user was told.
        clock: seconds that only go forward; a picture seen for that long goes too, should the time of day have been set
            back since.
        now: the time of day.
    """

    def __init__(
        self,
        store: Store,
        results: Results,
        *,
        hours: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._store = store
        self._results = results
        self._keep = timedelta(hours=hours)
        self._clock = clock
        self._now = now
        self._seen_at: dict[int, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="retention")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def sweep(self) -> int:
        """Remove what is due now and return of how many jobs."""
        kept = await self._results.kept()
        endings = await self._store.endings(list(kept))
        unpainted = {job_id for job_id, (status, _) in endings.items() if status in (Status.CANCELLED, Status.FAILED)}
        ended: dict[int, datetime] = {}
        for job_id, since in kept.items():
            if job_id not in endings:
                ended[job_id] = since
            elif told_at := endings[job_id][1]:
                ended[job_id] = told_at
        clock, now = self._clock(), self._now()
        self._seen_at = {job_id: self._seen_at.get(job_id, clock) for job_id in ended}
        due = unpainted.union(
            job_id
            for job_id, ended_at in ended.items()
            if now - ended_at >= self._keep or clock - self._seen_at[job_id] >= self._keep.total_seconds()
        )
        if due:
            await self._results.delete(due)
            log.info("old pictures are deleted", jobs=len(due))
        return len(due)

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception:
                log.exception("old pictures could not be deleted")
            await asyncio.sleep(SWEEP_EVERY_S)
