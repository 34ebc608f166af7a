"""The runner: takes one job from its pictures to a stored painting; the teller takes its outcome to the user.

It works on the store alone, so any engine of the queue can carry it. Whatever goes wrong with a job ends in its row as
a failure with a code. Out of run() comes cancelling, and once the bot stops also an error of the store: the row is then
as it was, and the next start takes the job up again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from ml_models.contract import Progress, Stage, Style, StyleTransferRequest
from ml_models.errors import DownloadError, WorkerLostError
from ml_models.registry import Algorithm, get_algorithm
from processing.folders import Results
from processing.job import (
    FETCH_PAUSES_S,
    WORKER_LOSSES_ALLOWED,
    Job,
    NothingToKeepError,
    Outcome,
    Picture,
    Status,
    UnknownJobError,
)
from processing.persistence import persist
from processing.pool import OnProgress, Painted
from processing.store import Store, StoreError
from processing.teller import Delivery, Teller
from reporting.metrics import Metrics

log = structlog.get_logger(__name__)
T = TypeVar("T")

ATTEMPTS_ALLOWED = 5


class Pictures(Protocol):
    """Where the users' pictures come from."""

    async def fetch(self, picture: Picture) -> bytes:
        """Return the encoded picture in bounded time; raise DownloadError (worth another try) or PictureError (not)."""
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
        self._teller = Teller(store, delivery, results, self._metrics, self._stopping)

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
                await self._teller.fail(job, error)
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
        """Tell the user of a painted or failed job, for as long as it takes; other jobs need nothing."""
        await self._teller.tell(job)

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
                current = await persist(lambda: self._store.count_worker_loss(job.id), self._stopping)
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
        put = partial(self._results.put, job.id, result.image, painted.photo)
        await persist(put, self._stopping, StoreError)
        outcome = Outcome(result.width_px, result.height_px, result.seconds, result.encoder, stopped_at)
        try:
            stored = await persist(lambda: self._store.mark_painted(job.id, outcome), self._stopping)
        except UnknownJobError:
            await self._results.discard(job.id)
            raise
        self._metrics.ran.labels(job.order.algorithm).observe(result.seconds)
        if stored.status is not Status.PAINTED:
            await self._results.discard(job.id)
        seconds = round(result.seconds, 1)
        log.info("a job ends", status=stored.status, seconds=seconds, encoder=result.encoder, stopped=result.stopped)


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
