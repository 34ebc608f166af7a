"""The painters of the fault suite: a tenth of a second to two seconds, previews on the way, and mischief on demand.

A file DEMAND in the folder that CHAOS_FOLDER names holds the name of a piece of mischief; the first run that finds it
takes it away and does it. While a run lasts, a file in RUNNING there is named like its process. Every picture is one
colour, so a photo and a style of one colour give a painting of it, whatever the options.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from ml_models.contract import OnProgress, Progress, ShouldStop, Stage, StyleTransferRequest, StyleTransferResult, never
from ml_models.registry import DEFAULT_ALGORITHM, Algorithm, Kind
from processing.wire import pack
from tests.toy_algorithm import Behaviour, behave, colour_of, encoded

FOLDER = "CHAOS_FOLDER"
DEMAND = "demand"
RUNNING = "running"

SHORTEST_S, LONGEST_S = 0.1, 2.0
SKETCH_S = 0.15
STEP_S = 0.05
STEPS_BETWEEN_PREVIEWS = 4
PREVIEW_PX = (48, 32)

HALF_PREVIEW = "half_preview"
MISCHIEF = {"eat": Behaviour.EAT, "hang": Behaviour.HANG, "nonsense": Behaviour.NONSENSE}

PAINTER = Algorithm(
    DEFAULT_ALGORITHM, "Toy", "tests.chaos.toy:run_style_transfer", Kind.PAINTED, 1, 4, 1.0, draft="sketch"
)
SKETCH = Algorithm("sketch", "Sketch", "tests.chaos.toy:run_sketch", Kind.INSTANT, 1, 4, 0.2)


def run_style_transfer(
    request: StyleTransferRequest, on_progress: OnProgress, should_stop: ShouldStop = never
) -> StyleTransferResult:
    # The same pictures take the same time in every run.
    share = hashlib.sha256(request.content).digest()[0] / 255
    return _run(request, on_progress, should_stop, SHORTEST_S + share * (LONGEST_S - SHORTEST_S))


def run_sketch(
    request: StyleTransferRequest, on_progress: OnProgress, should_stop: ShouldStop = never
) -> StyleTransferResult:
    return _run(request, on_progress, never, SKETCH_S)


def _run(
    request: StyleTransferRequest, on_progress: OnProgress, should_stop: ShouldStop, seconds: float
) -> StyleTransferResult:
    folder = Path(os.environ[FOLDER])
    began = time.perf_counter()
    colour = colour_of(request)
    steps = max(1, round(seconds / STEP_S))
    done = 0
    with _running(folder):
        _misbehave(folder, on_progress)
        while done < steps and not should_stop():
            shown = encoded(Image.new("RGB", PREVIEW_PX, colour), "JPEG") if not done % STEPS_BETWEEN_PREVIEWS else None
            on_progress(Progress(done / steps, Stage.PAINTING, shown))
            time.sleep(STEP_S)
            done += 1
        on_progress(Progress(1.0, Stage.FINISHING))
        picture = encoded(Image.new("RGB", (request.size_px, request.size_px * 2 // 3), colour), "PNG")
    spent_s = time.perf_counter() - began
    size = (request.size_px, request.size_px * 2 // 3)
    return StyleTransferResult(picture, *size, spent_s, "toy", {"total": 0.0}, stopped=done < steps)


@contextmanager
def _running(folder: Path) -> Iterator[None]:
    mark = folder / RUNNING / str(os.getpid())
    mark.touch()
    try:
        yield
    finally:
        mark.unlink()


def _misbehave(folder: Path, on_progress: OnProgress) -> None:
    mine = folder / f"{DEMAND}.{os.getpid()}"
    try:
        # Of all the runs that try, one succeeds.
        (folder / DEMAND).rename(mine)
    except FileNotFoundError:
        return
    demand = mine.read_text()
    mine.unlink()
    if demand == HALF_PREVIEW:
        connection: Any = getattr(on_progress, "_connection", None)
        preview = encoded(Image.new("RGB", PREVIEW_PX), "JPEG")
        message = pack({"is": "progress", "fraction": 0.5, "stage": str(Stage.PAINTING), "preview": preview})
        connection.sendall(message[: len(message) // 2])
        os._exit(3)
    behave(MISCHIEF[demand], on_progress, never)
