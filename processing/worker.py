"""The main loop of a worker process: take a request, paint, answer. torch is imported here and nowhere else."""

from __future__ import annotations

import gc
import io
import os
import queue
import random
import signal
import socket
import threading
import time
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path

from ml_models.contract import Progress, StyleTransferResult
from ml_models.errors import NotEnoughMemoryError, StyleTransferError
from processing.painting import paint as run
from processing.wire import Message, Paint, Stop, pack, receive

NICENESS = 10
OOM_SCORE = 500
SECONDS_BETWEEN_PROGRESS = 0.1
# What torch says, in an error of no class of its own on the CPU, when it is given no memory.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def serve(connection: socket.socket, lifeline: int, threads: int) -> None:
    """Answer requests until the bot hangs up.

    Args:
        lifeline: a pipe that nothing is written to; its end means that the bot is gone.
        threads: how many threads one run may use.
    """
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    _step_back()
    import torch

    torch.set_num_threads(threads)
    wishes = _Wishes(connection)
    while (paint := wishes.next_paint()) is not None:
        answer = _perform(connection, paint, wishes)
        del paint
        connection.sendall(pack(answer))


def _die_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)


def _step_back() -> None:
    """Let the bot answer first, let it decide about signals, and be the one that the kernel kills for memory."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


class _Wishes:
    """What the bot sends, read by a thread of its own, so that it hears in the middle of a run that it is to stop."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._paints: queue.SimpleQueue[Paint | None] = queue.SimpleQueue()
        self._stopped_run = 0
        threading.Thread(target=self._read, daemon=True).start()

    def next_paint(self) -> Paint | None:
        """Return the next picture to paint, or None when the bot has hung up; blocks."""
        return self._paints.get()

    def stop_asked(self, run: int) -> bool:
        """Tell whether this run, and no earlier one, is to end with the picture so far; asked at every step."""
        return self._stopped_run == run

    def _read(self) -> None:
        try:
            while (message := receive(self._connection)) is not None:
                if isinstance(message, Stop):
                    self._stopped_run = message.run
                else:
                    self._paints.put(message)
                del message  # its pictures are the run's to keep or to drop
        finally:
            self._paints.put(None)


class _Reporter:
    """Sends progress on: every preview, and otherwise at most ten a second and the last."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sent_at = 0.0
        self._held: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.preview is None and now - self._sent_at < SECONDS_BETWEEN_PROGRESS:
            self._held = progress
            return
        self._send(progress)
        self._sent_at = now

    def flush(self) -> None:
        if self._held:
            self._send(self._held)

    def _send(self, progress: Progress) -> None:
        self._held = None
        message: Message = {
            "is": "progress",
            "fraction": float(progress.fraction),
            "stage": str(progress.stage),
            "preview": progress.preview,
        }
        self._connection.sendall(pack(message))


def _perform(connection: socket.socket, paint: Paint, wishes: _Wishes) -> Message:
    request, reporter = paint.request, _Reporter(connection)
    try:
        _seed(request.seed)
        result = run(paint.algorithm, paint.start, request, reporter, partial(wishes.stop_asked, paint.run))
        reporter.flush()
        return _painted(result)
    except StyleTransferError as error:
        return _failed(error)
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY):
            gc.collect()
            text = f"no memory was left at {request.size_px} px"
            return _failed(NotEnoughMemoryError(text, limit_mb=paint.memory_mb, size_px=request.size_px))
        return _failed(StyleTransferError(f"{type(error).__name__}: {error}"))


def _painted(result: StyleTransferResult) -> Message:
    return {
        "is": "painted",
        "image": bytes(result.image),
        "width_px": int(result.width_px),
        "height_px": int(result.height_px),
        "seconds": float(result.seconds),
        "encoder": str(result.encoder),
        "losses": {str(name): float(value) for name, value in result.losses.items()},
        "stopped": bool(result.stopped),
        "photo": _photo(result),
    }


def _photo(result: StyleTransferResult) -> bytes:
    from PIL import Image

    from ml_models.images import encode_jpeg

    # Opened as it is: the limits for a user's picture are not those of a result.
    with Image.open(io.BytesIO(result.image)) as picture:
        return encode_jpeg(picture.convert("RGB"))


def _failed(error: StyleTransferError) -> Message:
    """Describe the error being handled in plain values, for whatever it carries may not cross the pipe."""
    return {
        "is": "failed",
        "code": str(error.code),
        "message": str(error),
        "details": {str(name): _plain(value) for name, value in error.details.items()},
        "traceback": traceback.format_exc(),
    }


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)


def _seed(seed: int) -> None:
    """Seed everything random that an algorithm might use."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
