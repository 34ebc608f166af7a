"""The teller: takes the outcome of a job to its user, and an error that is not the user's doing to the admin.

What is to be told is what the row says, so a restart or another process goes on with it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import structlog
from structlog.contextvars import bound_contextvars

from ml_models.contract import Progress
from ml_models.errors import InvalidRequestError, PictureError, StyleTransferError
from processing.folders import Results
from processing.job import Failure, Job, NotYetError, RefusedError, Status, UnknownJobError
from processing.persistence import persist
from processing.store import Store
from reporting.metrics import Metrics

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
#: After so long the admin is told once; the tries go on, since nothing that was painted may be lost.
LATE_S = 600.0


class Delivery(Protocol):
    """The way back to the user."""

    def show(self, job: Job, progress: Progress) -> None:
        """Show how far the job is; never blocks, never raises, throttles itself."""
        ...

    async def deliver(self, job: Job) -> bool:
        """Send the stored picture. True: sent; False: its user cannot be reached any more.

        Raises NotYetError where it has to be tried again, RefusedError where that would be in vain.
        """
        ...

    async def tell_failure(self, job: Job) -> bool:
        """Tell the user why the job failed; returns and raises as deliver does."""
        ...

    async def late(self, job: Job) -> None:
        """Say, where that can be said, that the outcome comes later."""
        ...

    async def clear(self, job: Job) -> None:
        """Take away what showed the progress, after the outcome was sent and marked; never raises."""
        ...

    async def report(self, job: Job, error: BaseException) -> None:
        """Tell the admin of an error that is not the user's fault."""
        ...


class Teller:
    """Tells users what became of their jobs.

    Args:
        stopping: once it is set no further try is begun; what is being sent is sent to its end.
    """

    def __init__(
        self, store: Store, delivery: Delivery, results: Results, metrics: Metrics, stopping: asyncio.Event
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._results = results
        self._metrics = metrics
        self._stopping = stopping
        self._unreported: dict[int, Exception] = {}

    async def tell(self, job: Job) -> None:
        """Tell the user of a painted or failed job, for as long as it takes; other jobs need nothing.

        The admin hears of a failure after the user, or after the first try to tell him. Of an outcome that is late the
        user hears at once, where he can, and the admin after LATE_S.
        """
        pause_s, began, reported = FIRST_PAUSE_S, time.monotonic(), False
        with bound_contextvars(job_id=job.id, user_id=job.user_id):
            while not_yet := await self._try(job):
                if pause_s == FIRST_PAUSE_S:
                    await self._say_late(job)
                if not reported and time.monotonic() - began >= LATE_S:
                    reported = True
                    text = f"an outcome was not taken for {LATE_S:g} s and is tried on: {not_yet}"
                    self._unreported.setdefault(job.id, NotYetError(text))
                await self._report(job)
                wait_s = max(pause_s, not_yet.wait_s)
                log.warning("a user is told later", pause_s=wait_s, reason=str(not_yet))
                try:
                    async with asyncio.timeout(wait_s):
                        await self._stopping.wait()
                    return
                except TimeoutError:
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                self._metrics.flood_wait_seconds.inc(not_yet.wait_s)
            await self._report(job)

    async def fail(self, job: Job, error: Exception) -> None:
        """Store why the job failed, for its user to be told; a job that has ended otherwise meanwhile is left alone."""
        known = error if isinstance(error, StyleTransferError) else StyleTransferError(str(error))
        of_the_user = isinstance(error, PictureError | InvalidRequestError)
        if of_the_user:
            log.info("a job is refused", code=known.code, error=str(error))
        else:
            log.error("a job fails", code=known.code, error=str(error), exc_info=error)
        failure = Failure(known.code, {name: _plain(value) for name, value in known.details.items()})
        try:
            stored = await persist(lambda: self._store.mark_failed(job.id, failure), self._stopping)
        except UnknownJobError:
            return
        if stored.status is Status.FAILED:
            await self._results.discard(job.id)
            if not of_the_user:
                self._unreported[job.id] = error

    async def _try(self, job: Job) -> NotYetError | None:
        """Do what the row says is still to be done; return why it has to be tried again, or None."""
        try:
            claimed = await self._store.claim(job.id)
            if claimed is None:
                log.warning("another process tells the user")
                return None
            job = claimed
            if job.status is Status.PAINTED:
                return await self._tell_painted(job)
            if job.status is Status.FAILED and job.told_at is None:
                await self._tell_failed(job)
            return None
        except UnknownJobError:
            # Its user was forgotten.
            return None
        except NotYetError as error:
            return error
        except Exception as error:
            log.exception("a user could not be told")
            return NotYetError(str(error))

    async def _tell_painted(self, job: Job) -> NotYetError | None:
        try:
            if not await self._results.has(job.id):
                raise RefusedError("its picture is gone from the disk")
            reached = await self._delivery.deliver(job)
        except RefusedError as error:
            await self.fail(job, error)
            return await self._try(job)
        await persist(lambda: self._store.mark_delivered(job.id), self._stopping)
        self._metrics.end(job, "delivered" if reached else "unreachable")
        await self._delivery.clear(job)
        return None

    async def _tell_failed(self, job: Job) -> None:
        try:
            await self._delivery.tell_failure(job)
        except RefusedError as error:
            self._unreported.setdefault(job.id, error)
        await persist(lambda: self._store.mark_told(job.id), self._stopping)
        self._metrics.end(job, "failed")
        await self._delivery.clear(job)

    async def _say_late(self, job: Job) -> None:
        try:
            await self._delivery.late(job)
        except Exception:
            log.exception("that an outcome is late could not be said")

    async def _report(self, job: Job) -> None:
        if error := self._unreported.pop(job.id, None):
            try:
                await self._delivery.report(job, error)
            except Exception:
                log.exception("an error could not be reported")


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
