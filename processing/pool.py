"""The bounded pool of worker processes: one process and one pipe a slot, nothing shared between slots.

A worker that dies, hangs or eats too much memory harms the one run it holds. It is killed and another is forked in
the background. The event loop only ever awaits the pipes, so a worker that stops in the middle of a message holds
nobody up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
import structlog

from ml_models.contract import Progress, Stage, StyleTransferRequest, StyleTransferResult
from ml_models.errors import ERRORS, JobTimeoutError, NotEnoughMemoryError, StyleTransferError, WorkerLostError
from ml_models.registry import Algorithm
from processing.spawner import Child, Spawner
from processing.wire import Message, Paint, Stop, WireError, pack, read_plain

log = structlog.get_logger(__name__)

MEMORY_CHECK_S = 0.5
LONGEST_PAUSE_S = 30.0
# A worker that keeps this share of its limit after a run is replaced: the next run may need all of it.
IDLE_MEMORY_SHARE = 0.5
READ_BUFFER = 2**20

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Painted:
    """A finished run.

    Attributes:
        result: with the PNG.
        photo: the same picture as a JPEG, made in the worker.
    """

    result: StyleTransferResult
    photo: bytes = field(repr=False)


class _Worker:
    """One living worker process; `alive` until its pipe has ended, `idle` while it owes no answer."""

    def __init__(self, process: psutil.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.process = process
        self.alive = True
        self.idle = True
        self._reader = reader
        self._writer = writer
        self._answer: asyncio.Future[Painted] | None = None
        self._on_progress: OnProgress | None = None
        self._run = 0

    @classmethod
    async def connect(cls, child: Child) -> _Worker:
        try:
            reader, writer = await asyncio.open_connection(sock=child.connection, limit=READ_BUFFER)
        except BaseException:
            child.connection.close()
            raise
        return cls(child.process, reader, writer)

    async def paint(
        self,
        algorithm: Algorithm,
        start: Algorithm | None,
        request: StyleTransferRequest,
        memory_mb: int,
        on_progress: OnProgress,
        stop: asyncio.Event,
    ) -> Painted:
        self.idle = False
        self._run += 1
        self._answer = asyncio.get_running_loop().create_future()
        # Nobody may be left to take the error when the run was cancelled.
        self._answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._on_progress = on_progress
        if not self.alive:
            self.fail(WorkerLostError("the worker died before it began"))
        with suppress(OSError):  # it died: listen() knows it as well and fails the run
            self._writer.write(pack(Paint(self._run, algorithm, start, request, memory_mb)))
            await self._writer.drain()
        asking = asyncio.create_task(self._ask_to_stop(stop))
        try:
            return await self._answer
        finally:
            asking.cancel()

    async def _ask_to_stop(self, stop: asyncio.Event) -> None:
        """Pass the wish on; where it crosses the answer, the run's number keeps it from the next run."""
        await stop.wait()
        self._writer.write(pack(Stop(self._run)))

    def fail(self, error: StyleTransferError) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)

    def kill(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self.process.kill()
        self._writer.transport.abort()  # a process that it left behind may still hold the other end

    def memory_mb(self) -> float:
        """Return the resident memory; 0 of a process that is gone."""
        with suppress(psutil.Error):
            return float(self.process.memory_info().rss / 2**20)
        return 0.0

    async def listen(self) -> None:
        """Take the worker's messages until its pipe ends, and leave nobody waiting then."""
        try:
            while True:
                self._take(await read_plain(self._reader))
        except (asyncio.IncompleteReadError, OSError):
            pass
        except (WireError, KeyError, TypeError, ValueError) as error:
            log.error("a worker talks nonsense", pid=self.process.pid, error=str(error))
        finally:
            self.alive = False
            self.kill()
            self.fail(WorkerLostError(f"worker {self.process.pid} died in mid-job"))
            self._writer.close()

    def _take(self, message: Message) -> None:
        if self._answer is None or self._answer.done():
            return
        match message["is"]:
            case "progress" if self._on_progress:
                progress = Progress(message["fraction"], Stage(message["stage"]), message["preview"])
                try:
                    self._on_progress(progress)
                except Exception:
                    log.exception("a progress could not be shown")
            case "painted":
                names = ("image", "width_px", "height_px", "seconds", "encoder", "losses", "stopped")
                result = StyleTransferResult(**{name: message[name] for name in names})
                self.idle = True
                self._answer.set_result(Painted(result, message["photo"]))
            case "failed":
                error = ERRORS.get(message["code"], StyleTransferError)(message["message"])
                error.details = message["details"]
                error.add_note(message["traceback"])
                self.idle = True
                self._answer.set_exception(error)


class Pool:
    """As many workers as slots, kept warm.

    Args:
        size: slots that share the processors among them.
        memory_mb: resident memory that one worker may hold, in megabytes.
        spare: slots beside them, whose runs are so short that no processor is set aside for them.
    """

    def __init__(self, size: int, *, memory_mb: int, spare: int = 0) -> None:
        self._slots = size + spare
        self._memory_mb = memory_mb
        self._spawner = Spawner(threads=max(1, _cores() // max(1, size)))
        self._workers: set[_Worker] = set()
        self._waiting: asyncio.Queue[_Worker | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def slots(self) -> int:
        """How many workers there are to be."""
        return self._slots

    @property
    def free(self) -> int:
        """How many workers wait for a run."""
        return sum(worker.alive and worker.idle for worker in self._workers)

    def pids(self) -> list[int]:
        return sorted(worker.process.pid for worker in self._workers if worker.alive)

    async def start(self) -> None:
        """Start all workers, torch imported; raise OSError where that fails."""
        try:
            for _ in range(self._slots):
                await self._add_worker()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Kill every worker and wait until no process is left; a run that is not done raises WorkerLostError."""
        self._closed = True
        self._waiting.put_nowait(None)
        for worker in self._workers:
            worker.kill()
        while tasks := list(self._tasks):
            for task in tasks:
                if task.get_name() == "replace worker":
                    task.cancel()
            await asyncio.wait(tasks)
        await self._spawner.close()

    async def run(
        self,
        algorithm: Algorithm,
        request: StyleTransferRequest,
        on_progress: OnProgress,
        timeout_s: float,
        stop: asyncio.Event | None = None,
        start: Algorithm | None = None,
    ) -> Painted:
        """Paint in the next free worker. Cancelling kills the worker.

        Args:
            stop: once it is set, the run is asked to end with the picture so far. One that does not hear it goes on.
            start: the instant algorithm whose result the run starts from.

        Raises:
            StyleTransferError: of the algorithm; anything unexpected in it becomes one, with its traceback as a note.
            JobTimeoutError: the run took longer than timeout_s, the wait for a worker not counted.
            NotEnoughMemoryError: the worker passed the limit, or was given no more memory.
            WorkerLostError: the worker died.
        """
        worker = await self._next_worker()
        watch = asyncio.create_task(self._watch_memory(worker, request.size_px))
        try:
            async with asyncio.timeout(timeout_s):
                asked = stop or asyncio.Event()
                return await worker.paint(algorithm, start, request, self._memory_mb, on_progress, asked)
        except TimeoutError:
            raise JobTimeoutError(f"the run was stopped after {timeout_s:g} s", limit_s=timeout_s) from None
        finally:
            watch.cancel()
            if worker.idle and worker.memory_mb() < self._memory_mb * IDLE_MEMORY_SHARE:
                self._waiting.put_nowait(worker)
            else:
                worker.idle = False
                worker.kill()

    async def _next_worker(self) -> _Worker:
        while True:
            worker = await self._waiting.get()
            if worker is None:
                self._waiting.put_nowait(None)  # for the next who waits
                raise WorkerLostError("the pool is closed")
            if worker.alive:
                return worker

    async def _watch_memory(self, worker: _Worker, size_px: int) -> None:
        while True:
            await asyncio.sleep(MEMORY_CHECK_S)
            if (held := worker.memory_mb()) > self._memory_mb:
                text = f"the worker held {held:.0f} MB, {self._memory_mb} are allowed"
                worker.fail(NotEnoughMemoryError(text, limit_mb=self._memory_mb, size_px=size_px))
                worker.kill()
                return

    async def _add_worker(self) -> None:
        worker = await _Worker.connect(await self._spawner.spawn())
        self._workers.add(worker)
        self._waiting.put_nowait(worker)
        self._keep(asyncio.create_task(self._mind(worker), name="mind worker"))

    async def _mind(self, worker: _Worker) -> None:
        await worker.listen()
        self._workers.discard(worker)
        if not self._closed:
            log.info("a worker has ended", pid=worker.process.pid)
            self._keep(asyncio.create_task(self._replace_worker(), name="replace worker"))

    async def _replace_worker(self) -> None:
        pause_s = 1.0
        while not self._closed:
            try:
                await self._add_worker()
            except OSError as error:
                log.error("a worker could not be started", error=str(error), next_try_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                return

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _cores() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
