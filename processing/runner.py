"""The runner: takes one job from its pictures to a stored painting, and its outcome to the user.

It works on the store alone, so any engine of the queue can carry it. Whatever goes wrong with a job ends in its row as
a failure with a code. Out of run() comes cancelling, and once the bot stops also an error of the store: the row is then
as it was, and the next start takes the job up again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from ml_models.contract import Progress, Stage, Style, StyleTransferRequest
from ml_models.errors import (
    DownloadError,
    InvalidRequestError,
    PictureError,
    StyleTransferError,
    WorkerLostError,
)
from ml_models.registry import Algorithm, get_algorithm
from processing.folders import Results
from processing.job import (
    Failure,
    Job,
    NothingToKeepError,
    NotYetError,
    Outcome,
    Picture,
    RefusedError,
    Status,
    UnknownJobError,
)
from processing.pool import OnProgress, Painted
from processing.store import Store, StoreError
from reporting.metrics import Metrics

log = structlog.get_logger(__name__)
T = TypeVar("T")

FETCH_PAUSES_S = (1.0, 3.0, 9.0)
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
#: After so long the admin is told once; the tries go on, since nothing that was painted may be lost.
LATE_S = 600.0
LONGEST_STORE_PAUSE_S = 60.0
WORKER_LOSSES_ALLOWED = 1
ATTEMPTS_ALLOWED = 5


class Pictures(Protocol):
    """Where the users' pictures come from."""

    async def fetch(self, picture: Picture) -> bytes:
        """Return the encoded picture in bounded time; raise DownloadError (worth another try) or PictureError (not)."""
        ...


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


class Painter(Protocol):
    """What the runner needs of the pool."""

    async def run(
        self,
        algorithm: Algorithm,
        request: StyleTransferRequest,
        on_progress: OnProgress,
        timeout_s: float,
        stop: asyncio.Event,
        start: Algorithm | None,
    ) -> Painted: ...


@dataclass(slots=True)
class _Attempt:
    """One try to paint a job, as far as its owner may end it early.

    Attributes:
        stop: set once the owner wants the picture so far.
        fraction: of the work that was done when it was last heard of, without the finishing.
        has_picture: the owner has been shown something to keep.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    fraction: float = 0.0
    has_picture: bool = False

    def note(self, progress: Progress) -> None:
        if progress.stage is Stage.PAINTING:
            self.fraction = progress.fraction
        self.has_picture = self.has_picture or progress.preview is not None


class Runner:
    """Runs jobs.

    Args:
        timeout_s: seconds that one painting may take.
        max_megapixels: largest picture that is read, in millions of pixels.
        memory_mb: what one worker may hold, in megabytes.
        device: where it is painted, one of ml_models.contract.DEVICES.
    """

    def __init__(
        self,
        store: Store,
        pool: Painter,
        pictures: Pictures,
        delivery: Delivery,
        results: Results,
        *,
        timeout_s: float,
        max_megapixels: float,
        memory_mb: int,
        device: str = "auto",
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._pool = pool
        self._pictures = pictures
        self._delivery = delivery
        self._results = results
        self._timeout_s = timeout_s
        self._max_megapixels = max_megapixels
        self._memory_mb = memory_mb
        self._device = device
        self._metrics = metrics or Metrics()
        self._attempts: dict[int, _Attempt] = {}
        self._stopping = asyncio.Event()
        self._unreported: dict[int, Exception] = {}

    async def run(self, job: Job) -> None:
        """Paint a running job and leave it painted, failed, or as somebody else has ended it meanwhile."""
        with bound_contextvars(job_id=job.id, user_id=job.user_id):
            self._metrics.begun(job)
            log.info("a job begins", algorithm=job.order.algorithm, size_px=job.order.size_px, attempt=job.attempts)
            try:
                if job.attempts > ATTEMPTS_ALLOWED:
                    raise WorkerLostError(f"given up after {ATTEMPTS_ALLOWED} attempts")
                painted = await self._paint(job)
                await _to_the_end(self._keep(job, painted))
            except UnknownJobError:
                log.info("a job ends, as its user is forgotten")
            except Exception as error:
                await self._fail(job, error)
            finally:
                self._attempts.pop(job.id, None)

    def keep(self, job_id: int) -> bool:
        """Have a running job end with the picture so far, which then comes as any other; False: that was asked before.

        Raises NothingToKeepError where it has shown no picture yet. A wish dies with its worker: the run then begins
        anew, and may be asked anew.
        """
        attempt = self._attempts.get(job_id)
        if attempt is None or not attempt.has_picture:
            raise NothingToKeepError(f"job {job_id} has no picture yet")
        if attempt.stop.is_set():
            return False
        log.info("a job is to end with what there is", job_id=job_id, fraction=round(attempt.fraction, 2))
        attempt.stop.set()
        return True

    async def finish(self, job: Job) -> None:
        """Tell the user of a painted or failed job, for as long as it takes; other jobs need nothing.

        The admin hears of a failure after the user, or after the first try to tell him. Of an outcome that is late the
        user hears at once, where he can, and the admin after LATE_S.
        """
        pause_s, began, reported = FIRST_PAUSE_S, time.monotonic(), False
        with bound_contextvars(job_id=job.id, user_id=job.user_id):
            while not_yet := await self._tell(job):
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

    def stop(self) -> None:
        """Begin no further try to tell a user; what is being sent is sent to its end."""
        self._stopping.set()

    async def _paint(self, job: Job) -> Painted:
        algorithm = get_algorithm(job.order.algorithm)
        start = get_algorithm(job.order.start) if job.order.start else None
        request = await self._request(job)
        while True:
            attempt = self._attempts[job.id] = _Attempt()

            def show(progress: Progress, attempt: _Attempt = attempt) -> None:
                attempt.note(progress)
                self._delivery.show(job, progress)

            try:
                return await self._pool.run(algorithm, request, show, self._timeout_s, attempt.stop, start)
            except WorkerLostError as error:
                current = await self._persist(lambda: self._store.count_worker_loss(job.id))
                log.warning("a worker was lost", losses=current.worker_losses, error=str(error))
                if current.worker_losses > WORKER_LOSSES_ALLOWED:
                    raise

    async def _request(self, job: Job) -> StyleTransferRequest:
        order = job.order
        pictures = [order.content, *(style.picture for style in order.styles)]
        try:
            async with asyncio.TaskGroup() as group:
                fetched = [group.create_task(self._fetch(picture)) for picture in pictures]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        content, *styles = (task.result() for task in fetched)
        return StyleTransferRequest(
            content=content,
            styles=tuple(Style(image, style.weight) for image, style in zip(styles, order.styles, strict=True)),
            size_px=order.size_px,
            strength=order.strength,
            stroke_scale=order.stroke_scale,
            keep_colours=order.keep_colours,
            seed=order.seed,
            max_megapixels=self._max_megapixels,
            memory_mb=self._memory_mb,
            device=self._device,
        )

    async def _fetch(self, picture: Picture) -> bytes:
        for pause_s in (*FETCH_PAUSES_S, None):
            try:
                return await self._pictures.fetch(picture)
            except DownloadError as error:
                if pause_s is None:
                    raise
                log.warning("a picture could not be fetched", error=str(error), pause_s=pause_s)
                await asyncio.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    async def _keep(self, job: Job, painted: Painted) -> None:
        """Store the pictures, then the outcome; a job that was cancelled or forgotten meanwhile leaves nothing."""
        result = painted.result
        # Read before anything is awaited: a cancel in between forgets the attempt.
        stopped_at = self._attempts[job.id].fraction if result.stopped else None
        await self._persist(lambda: self._results.put(job.id, result.image, painted.photo), StoreError)
        outcome = Outcome(result.width_px, result.height_px, result.seconds, result.encoder, stopped_at)
        try:
            stored = await self._persist(lambda: self._store.mark_painted(job.id, outcome))
        except UnknownJobError:
            await self._results.discard(job.id)
            raise
        self._metrics.ran.labels(job.order.algorithm).observe(result.seconds)
        if stored.status is not Status.PAINTED:
            await self._results.discard(job.id)
        seconds = round(result.seconds, 1)
        log.info("a job ends", status=stored.status, seconds=seconds, encoder=result.encoder, stopped=result.stopped)

    async def _fail(self, job: Job, error: Exception) -> None:
        known = error if isinstance(error, StyleTransferError) else StyleTransferError(str(error))
        of_the_user = isinstance(error, PictureError | InvalidRequestError)
        if of_the_user:
            log.info("a job is refused", code=known.code, error=str(error))
        else:
            log.error("a job fails", code=known.code, error=str(error), exc_info=error)
        failure = Failure(known.code, {name: _plain(value) for name, value in known.details.items()})
        try:
            stored = await self._persist(lambda: self._store.mark_failed(job.id, failure))
        except UnknownJobError:
            return
        if stored.status is Status.FAILED:
            await self._results.discard(job.id)
            if not of_the_user:
                self._unreported[job.id] = error

    async def _tell(self, job: Job) -> NotYetError | None:
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
            await self._fail(job, error)
            return await self._tell(job)
        await self._persist(lambda: self._store.mark_delivered(job.id))
        self._metrics.end(job, "delivered" if reached else "unreachable")
        await self._delivery.clear(job)
        return None

    async def _tell_failed(self, job: Job) -> None:
        try:
            await self._delivery.tell_failure(job)
        except RefusedError as error:
            self._unreported.setdefault(job.id, error)
        await self._persist(lambda: self._store.mark_told(job.id))
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

    async def _persist(self, change: Callable[[], Awaitable[T]], passing: type[Exception] = Exception) -> T:
        """Change the store, and try until that succeeds (a full disk): the row is what everything else goes by.

        Raises UnknownJobError where its user was forgotten meanwhile, what is not passing, and once the bot stops what
        the store raises.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await change()
            except UnknownJobError:
                raise
            except passing as error:
                if self._stopping.is_set():
                    raise
                log.error("the store fails", error=str(error), pause_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_STORE_PAUSE_S)


async def _to_the_end(work: Awaitable[T]) -> T:
    """Await work that cancelling must not cut in the middle: it is finished first, then the cancelling goes on.

    However often it is cancelled: whoever waits for the end of a job must not go on while it is still being stored.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()):
            log.error("a cancelled job fails", error=str(error))
        raise


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
