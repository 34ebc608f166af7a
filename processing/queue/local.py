"""The queue of one machine: jobs in the store, carried by tasks of the bot's own process."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import structlog

from processing.estimate import Estimator, Place, Turn
from processing.job import Job, JobEndedError, NewJob, Status, Ticket, UnknownJobError
from processing.lanes import Lane, lane_of, may_begin
from processing.queue.line import Line
from processing.store import Store
from reporting.metrics import Metrics

log = structlog.get_logger(__name__)

CANCEL_TIMEOUT_S = 1.5
CUT_TIMEOUT_S = 5.0
LAST_MESSAGES_S = 5.0
STORE_PAUSE_S = 1.0


class JobRunner(Protocol):
    """What the queue needs of the runner."""

    async def run(self, job: Job) -> None: ...

    async def finish(self, job: Job) -> None: ...

    def keep(self, job_id: int) -> bool: ...

    def stop(self) -> None: ...


class LocalQueue:
    """One task a job, as many at work as there are slots; a job whose user is being told holds no slot.

    Args:
        slots: of long jobs; processing.lanes tells what short ones have beside them.
    """

    def __init__(
        self,
        store: Store,
        runner: JobRunner,
        *,
        slots: int,
        queue_limit: int,
        user_queue_limit: int,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._runner = runner
        self._slots = slots
        self._queue_limit = queue_limit
        self._user_queue_limit = user_queue_limit
        self._metrics = metrics or Metrics()
        self.estimator = Estimator(store, slots)
        self._line = Line(store)
        self._wake = asyncio.Event()
        self._running: dict[asyncio.Task[None], Job] = {}
        #: Lanes in which a job may wait, so that nobody asks the store in vain again and again.
        self._awaited: set[Lane] = set(Lane)
        self._finishing: set[asyncio.Task[None]] = set()
        self._closing = False
        #: This process does what one alone is to do.
        self.leads = True
        self._dispatcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if left := await self._store.requeue_running():
            log.info("jobs are taken up again", count=left)
        for job in await self._store.unfinished():
            self._finish(job)
        self._begin()

    def _begin(self) -> None:
        self._wake.set()
        self._dispatcher = asyncio.create_task(self._dispatch(), name="dispatcher")

    async def close(self, grace_s: float = 0.0) -> None:
        until = time.monotonic() + grace_s
        if self._dispatcher:
            await _cut([self._dispatcher])
            self._dispatcher = None
        if self._running and grace_s:
            log.info("jobs may end", count=len(self._running), grace_s=grace_s)
            await asyncio.wait(self._running, timeout=grace_s)
        self._closing = True
        self._runner.stop()
        await _cut(self._running)
        await self._hand_back()
        # A photo that is just being sent would be sent once more after the restart.
        if self._finishing:
            await asyncio.wait(self._finishing, timeout=max(LAST_MESSAGES_S, until - time.monotonic()))
        await _cut(self._finishing)

    async def _hand_back(self) -> None:
        for turn in await self._store.line():
            if turn.started_at:
                await self._store.give_back(turn.job_id)

    async def submit(self, new: NewJob) -> Ticket:
        job, is_new = await self._store.add(new, queue_limit=self._queue_limit, user_queue_limit=self._user_queue_limit)
        if is_new:
            self._line.joined(Turn(job.id, job.user_id, job.order.algorithm, job.order.size_px, None))
            log.info("a job is accepted", job_id=job.id, origin=job.origin)
        self._look_for(job)
        return await self._ticket(job)

    async def cancel(self, job_id: int, user_id: int) -> Job:
        job = await self.job(job_id, user_id)
        if not job.status.active:
            return job
        job = await self._store.mark_cancelled(job_id)
        self._line.changed()
        if job.status is Status.CANCELLED:
            self._metrics.end(job, "cancelled")
            await self._stop_work(job_id)
        return job

    async def replace(self, job_id: int, user_id: int, new: NewJob) -> Ticket:
        # Read before: once it is replaced its user may be forgotten.
        replaced = await self.job(job_id, user_id)
        job, is_new = await self._store.replace(job_id, user_id, new)
        self._line.changed()
        self._look_for(job)
        if is_new:
            log.info("a job is accepted", job_id=job.id, origin=job.origin, replaces=job_id)
            self._metrics.end(replaced, "cancelled")
        await self._stop_work(job_id)
        return await self._ticket(job)

    async def keep(self, job_id: int, user_id: int) -> bool:
        job = await self.job(job_id, user_id)
        if not job.status.active:
            raise JobEndedError(f"job {job_id} neither waits nor runs any more")
        return self._runner.keep(job_id)

    async def job(self, job_id: int, user_id: int) -> Job:
        job = await self._store.get(job_id)
        if job.user_id != user_id:
            raise UnknownJobError(f"there is no job {job_id} of user {user_id}")
        return job

    async def active_jobs(self, user_id: int) -> list[Job]:
        return await self._store.active_jobs(user_id)

    async def set_status_message(self, job_id: int, message_id: int) -> Job:
        return await self._store.set_status_message(job_id, message_id)

    async def counts(self) -> dict[Status, int]:
        return await self._store.counts()

    async def _stop_work(self, job_id: int) -> None:
        await _cut(self._runs(job_id), CANCEL_TIMEOUT_S)

    async def _ticket(self, job: Job) -> Ticket:
        place = Place(0, None)
        if job.status.active:
            places = await self.estimator.places(await self._line.read())
            place = places.get(job.id, place)
        return Ticket(job, place.position, place.seconds, place.follows)

    async def _dispatch(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while job := await self._take_next():
                    self._run(job)
            except Exception as error:
                log.error("no job could be taken", error=str(error), pause_s=STORE_PAUSE_S)
                await asyncio.sleep(STORE_PAUSE_S)
                self._wake.set()

    def _look_for(self, job: Job) -> None:
        self._awaited.add(_lane_of(job))
        self._wake.set()

    async def _take_next(self) -> Job | None:
        """Return the job that begins now, marked as running, or None."""
        for lane in may_begin(Counter(map(_lane_of, self._running.values())), self._slots):
            if lane not in self._awaited:
                continue
            # Before the store is asked: a job that comes meanwhile is looked for again.
            self._awaited.discard(lane)
            try:
                job = await self._store.take_next(lane)
            except BaseException:
                self._awaited.add(lane)
                raise
            if job is not None:
                self._awaited.add(lane)
                return job
        return None

    def _run(self, job: Job) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            del self._running[task]
            self._line.changed()
            self._wake.set()
            if not task.cancelled() and not self._closing:
                self._finish(job)

        self._line.changed()
        task = asyncio.create_task(self._work(job), name=f"run job {job.id}")
        self._running[task] = job
        task.add_done_callback(_log_error)
        task.add_done_callback(ended)

    async def _work(self, job: Job) -> None:
        await self._runner.run(job)

    def _runs(self, job_id: int) -> list[asyncio.Task[None]]:
        """Return what is at work on the job here."""
        return [task for task, job in self._running.items() if job.id == job_id]

    def _finish(self, job: Job) -> None:
        task = asyncio.create_task(self._runner.finish(job), name=f"finish job {job.id}")
        self._finishing.add(task)
        task.add_done_callback(_log_error)
        task.add_done_callback(self._finishing.discard)


def _lane_of(job: Job) -> Lane:
    return lane_of(job.order.algorithm, job.order.size_px)


def _log_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("a task fails", task=task.get_name(), exc_info=error)


async def _cut(tasks: Iterable[asyncio.Task[None]], timeout_s: float = CUT_TIMEOUT_S) -> None:
    """Cancel the tasks and wait for their end, within reason."""
    if cut := list(tasks):
        for task in cut:
            task.cancel()
        await asyncio.wait(cut, timeout=timeout_s)
