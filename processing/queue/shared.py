"""The queue of many machines: jobs carried by procrastinate in PostgreSQL, painted by whichever process has a slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from processing.estimate import Turn
from processing.job import Job, JobEndedError, NothingToKeepError, Status, UnknownJobError
from processing.lanes import Lane
from processing.queue.line import Line
from processing.queue.local import CANCEL_TIMEOUT_S, JobRunner, LocalQueue
from processing.shared.listener import Listener
from processing.shared.store import Held, Pulse, SharedStore, Word
from processing.store import StoreError
from reporting.metrics import Metrics

#: How often a process says that it lives, and looks for what no notification told it.
BEAT_S = 2.0
#: After so long a silence a process is thought dead and others go on with its jobs.
STALLED_AFTER_S = 15.0
LOOK_S = 0.05
SHOWN_WITHIN_S = 2.0

log = structlog.get_logger(__name__)

Quiet = Callable[[int], Awaitable[None]]


class _StoredLine(Line):
    """The line, read anew every time: other processes change it too."""

    async def read(self) -> list[Turn]:
        return await self._lines.line()


class _CarriedRunner:
    """A runner that lets go of a job once it is over here: nobody else may begin with it before."""

    def __init__(self, runner: JobRunner, store: SharedStore, quiet: Quiet) -> None:
        self._runner = runner
        self._store = store
        self._quiet = quiet
        self.telling: set[int] = set()
        self.closing = False

    async def run(self, job: Job) -> None:
        try:
            await self._runner.run(job)
        except asyncio.CancelledError:
            if not self.closing:
                # Whoever cancelled the job waits for this before it writes under its last words.
                await self._quiet(job.id)
                await self._release(job.id)
            raise

    async def finish(self, job: Job) -> None:
        if job.id in self.telling:
            # This process was thought dead, and has taken up again what it is telling.
            return
        self.telling.add(job.id)
        try:
            await self._runner.finish(job)
            await self._release(job.id)
        finally:
            self.telling.discard(job.id)

    def keep(self, job_id: int) -> bool:
        return self._runner.keep(job_id)

    def stop(self) -> None:
        self.closing = True
        self._runner.stop()

    async def _release(self, job_id: int) -> None:
        try:
            await self._store.release(job_id)
        except StoreError as error:
            # The next beat finds it.
            log.warning("a job is let go of later", job_id=job_id, error=str(error))


class SharedQueue(LocalQueue):
    """As the local queue in every process, but jobs come from all of them, and a job may run in another one.

    The store serialises what changes the queue, so limits, fairness and places hold among all processes. Each says
    every BEAT_S that it lives; the oldest looks for jobs of those that have been silent for STALLED_AFTER_S.

    Args:
        slots: of long jobs in this process; with 0 it takes none, and only tells users of what others have left.
        quiet: ends what is being shown of a job.
    """

    def __init__(
        self,
        store: SharedStore,
        runner: JobRunner,
        *,
        slots: int,
        queue_limit: int,
        user_queue_limit: int,
        quiet: Quiet,
        metrics: Metrics | None = None,
    ) -> None:
        self._carried = _CarriedRunner(runner, store, quiet)
        super().__init__(
            store,
            self._carried,
            slots=slots,
            queue_limit=queue_limit,
            user_queue_limit=user_queue_limit,
            metrics=metrics,
        )
        self._shared = store
        self._line = _StoredLine(store)
        self._listener = Listener(store.conninfo, self._hear)
        self._beating: asyncio.Task[None] | None = None
        #: Held while jobs are taken, and while what is held is compared with what runs.
        self._taking = asyncio.Lock()
        self._steady_since: float | None = None
        self.leads = False

    async def start(self) -> None:
        await self._register()
        self._steady_since = time.monotonic()
        await self._beat()
        self._listener.start()
        self._beating = asyncio.create_task(self._keep_beating(), name="heartbeat")
        self._begin()

    async def close(self, grace_s: float = 0.0) -> None:
        await super().close(grace_s)
        if self._beating:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        await self._listener.close()
        try:
            await self._shared.leave()
        except StoreError as error:
            log.error("its jobs are left to be found", error=str(error))

    async def keep(self, job_id: int, user_id: int) -> bool:
        until = time.monotonic() + SHOWN_WITHIN_S
        while True:
            job = await self.job(job_id, user_id)
            if not job.status.active:
                raise JobEndedError(f"job {job_id} neither waits nor runs any more")
            if job.status is Status.RUNNING and job.status_has_picture:
                return await self._shared.ask_to_keep(job_id)
            # The picture and its button are in the chat a moment before the process that shows them has said so.
            if job.status is Status.QUEUED or time.monotonic() > until:
                raise NothingToKeepError(f"job {job_id} has no picture yet")
            await asyncio.sleep(LOOK_S)

    async def _register(self) -> None:
        await self._shared.register(self._slots)
        log.info("this process is one of many", worker_id=self._shared.worker_id, slots=self._slots)

    async def _hand_back(self) -> None:
        try:
            for job_id, held in (await self._pulse()).items():
                if held.status is Status.RUNNING:
                    await self._shared.give_back(job_id)
        except StoreError as error:
            log.error("jobs are handed back later", error=str(error))

    async def _stop_work(self, job_id: int) -> None:
        """Wait for whichever process runs the job."""
        await super()._stop_work(job_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                while await self._shared.is_carried(job_id):  # noqa: ASYNC110 - another process ends it
                    await asyncio.sleep(LOOK_S)

    async def _take_next(self) -> Job | None:
        async with self._taking:
            while untold := await self._shared.take_untold():
                log.info("another process has left a job to be told", job_id=untold.id)
                self._finish(untold)
            return await super()._take_next() if self._slots else None

    async def _work(self, job: Job) -> None:
        """Run the job; one that was lost and is back begins after its earlier run here, whose picture counts."""
        if earlier := [task for task in self._runs(job.id) if task is not asyncio.current_task()]:
            log.info("a job is back before its earlier run is over", job_id=job.id)
            await asyncio.wait(earlier)
            try:
                job = await self._shared.get(job.id)
            except UnknownJobError:  # its user was forgotten meanwhile
                return
            if job.status is not Status.RUNNING:
                return
        await super()._work(job)

    def _hear(self, word: dict[str, Any]) -> None:
        """Do what a notification says; a beat would find it too, later."""
        match word.get("word"):
            case Word.CUT:
                self._cut_off(word["job_id"])
            case Word.KEEP:
                self._keep_here(word["job_id"])
            case _:
                self._look_everywhere()

    def _look_everywhere(self) -> None:
        self._awaited |= set(Lane)
        self._wake.set()

    def _cut_off(self, job_id: int) -> None:
        for task in self._runs(job_id):
            if not task.cancelling():  # a second cut would go into its last edit
                task.cancel()

    def _keep_here(self, job_id: int) -> None:
        # Without a picture so far the next beat tries again.
        if self._runs(job_id):
            with suppress(NothingToKeepError):
                self._runner.keep(job_id)

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self._beat()
                if self.leads and self._is_steady():
                    await self._sweep()
            except Exception as error:
                self._steady_since, self.leads = None, False
                log.warning("no beat", error=str(error))
            self._look_everywhere()

    def _is_steady(self) -> bool:
        """Tell whether the database was there for so long that a process which was silent is silent by itself."""
        now = time.monotonic()
        self._steady_since = self._steady_since or now
        return now - self._steady_since > STALLED_AFTER_S

    async def _beat(self) -> None:
        async with self._taking:
            held = await self._pulse()
            if not self._closing:
                await self._compare(held)

    async def _pulse(self) -> dict[int, Held]:
        pulse: Pulse | None = await self._shared.beat(STALLED_AFTER_S)
        if pulse is None:
            log.warning("this process was thought dead; others have its jobs")
            await self._register()
            return {}
        self.leads = pulse.leads
        self.estimator.slots = pulse.slots
        return pulse.held

    async def _compare(self, held: dict[int, Held]) -> None:
        """Bring what runs here in line with what the store says is this process's to do."""
        here = {job.id for job in self._running.values()}
        for job_id in here:
            if job_id not in held or held[job_id].status is Status.CANCELLED:
                self._cut_off(job_id)
            elif held[job_id].keep_asked:
                self._keep_here(job_id)
        for job_id, job in held.items():
            if job_id in here or job_id in self._carried.telling:
                continue
            with suppress(UnknownJobError):  # its user was forgotten this moment
                await self._take_up(job_id, job)

    async def _take_up(self, job_id: int, job: Held) -> None:
        """Go on with a job that nothing here minds: an answer of the database was lost on its way."""
        if job.status is Status.RUNNING:
            await self._shared.give_back(job_id)
        elif job.status in (Status.PAINTED, Status.FAILED) and not job.told:
            self._finish(await self._shared.get(job_id))
        else:
            await self._shared.release(job_id)

    async def _sweep(self) -> None:
        swept = await self._shared.sweep(STALLED_AFTER_S)
        if swept.again or swept.failed or swept.to_tell:
            log.warning("jobs of a process that is gone", again=swept.again, failed=swept.failed, to_tell=swept.to_tell)
