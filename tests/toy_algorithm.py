"""Toy algorithms for tests: quick, free of torch, and able to do everything that must not harm the bot.

What it does is chosen by the request's seed, which is a member of Behaviour; any other seed paints. Where the seed is
not the test's to choose, the environment variable TOY_BEHAVIOUR names a file, read at every run, that holds a member's
name; the variable must be set before the pool starts. DIE_ONCE keeps its mark in a file beside that one, or beside the
path that TOY_MARK names. Beside that file each run leaves what it was asked for, which last_request() reads.
The instant toys have a file and a request of their own, named behind that of the painted ones with QUICK_SUFFIX.

    from tests.toy_algorithm import TOY, Behaviour
    ALGORITHMS["toy"] = TOY                     # with monkeypatch.setitem
    Order(algorithm="toy", ..., seed=Behaviour.SLOW)
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import sys
import threading
import time
from enum import IntEnum
from pathlib import Path
from typing import Any

from PIL import Image

from ml_models.contract import OnProgress, Progress, ShouldStop, Stage, StyleTransferRequest, StyleTransferResult, never
from ml_models.errors import PictureTooSmallError
from ml_models.registry import Algorithm, Kind

BEHAVIOUR_FILE = "TOY_BEHAVIOUR"
MARK_FILE = "TOY_MARK"
ASKED = ("size_px", "strength", "stroke_scale", "keep_colours", "seed")
QUICK_SUFFIX = ".quick"
SLOW_STEPS = 20
SLOW_STEP_S = 0.06
FLOOD = 20_000

TOY = Algorithm("toy", "Toy", "tests.toy_algorithm:run_style_transfer", Kind.PAINTED, 1, 4, 1.0)
QUICK = Algorithm("quick", "Quick", "tests.toy_algorithm:run_quick", Kind.INSTANT, 1, 4, 0.1, max_size_px=10_240)
BUILT_IN = Algorithm("built_in", "Built-in", "tests.toy_algorithm:run_quick", Kind.INSTANT, 0, 0, 0.1)
DRAFTED = Algorithm(
    "drafted", "Drafted", "tests.toy_algorithm:run_style_transfer", Kind.PAINTED, 1, 4, 1.0, draft=QUICK.key
)
TOYS = (TOY, QUICK, BUILT_IN, DRAFTED)


class Behaviour(IntEnum):
    PAINT = 0
    SLOW = 1001  # SLOW_STEPS steps of SLOW_STEP_S, each with progress, every fifth with a preview
    HANG = 1002  # sleeps and says nothing
    SPIN = 1003  # computes and says nothing
    EAT = 1004  # takes 50 MB every 20 ms
    EXIT = 1005  # os._exit
    KILL = 1006  # SIGKILL to itself
    STOP = 1007  # SIGSTOP to itself
    DIE_ONCE = 1008  # SIGKILL to itself the first time, paints the second
    RAISE = 1009  # a ZeroDivisionError
    SYSTEM_EXIT = 1010
    UNPICKLABLE = 1011  # an error that holds a lock and of a class of its own
    REFUSE = 1012  # PictureTooSmallError
    MEMORY_ERROR = 1013
    TORCH_MEMORY = 1014  # torch is asked for more than there is
    HALF_MESSAGE = 1015  # begins a message, then sleeps
    NONSENSE = 1016  # sends what is no message, then sleeps
    CLASSES = 1017  # sends a message that holds a class, then sleeps
    FLOOD = 1018  # FLOOD pieces of progress at once
    KEEP = 1019  # paints, and keeps 300 MB
    GROW = 1020  # as SLOW, for long enough that a person sees it grow
    DEAF = 1021  # as SLOW, and hears no wish to stop


kept: list[bytearray] = []


def run_style_transfer(
    request: StyleTransferRequest, on_progress: OnProgress, should_stop: ShouldStop = never
) -> StyleTransferResult:
    return _run(request, on_progress, should_stop, "")


def run_quick(
    request: StyleTransferRequest, on_progress: OnProgress, should_stop: ShouldStop = never
) -> StyleTransferResult:
    return _run(request, on_progress, should_stop, QUICK_SUFFIX)


def _run(
    request: StyleTransferRequest, on_progress: OnProgress, should_stop: ShouldStop, suffix: str
) -> StyleTransferResult:
    began = time.perf_counter()
    report(request, suffix)
    share = behave(behaviour_of(request, suffix), on_progress, should_stop)
    on_progress(Progress(1.0, Stage.FINISHING))
    with Image.open(io.BytesIO(request.initial or request.content)) as photo:
        scale = request.size_px / max(photo.size)
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        colour = Image.new("RGB", size, colour_of(request))
        picture = Image.blend(photo.convert("RGB").resize(size), colour, 0.5 * request.strength * share)
    seconds = time.perf_counter() - began
    return StyleTransferResult(encoded(picture, "PNG"), *size, seconds, "toy", {"total": 0.0}, stopped=share < 1)


def colour_of(request: StyleTransferRequest) -> tuple[int, int, int]:
    """Return the mean colour of the first style; without styles one that is built in."""
    if not request.styles:
        return (40, 160, 90)
    with Image.open(io.BytesIO(request.styles[0].image)) as style:
        return style.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[return-value]


def report(request: StyleTransferRequest, suffix: str) -> None:
    if name := os.environ.get(BEHAVIOUR_FILE):
        asked = {name: getattr(request, name) for name in ASKED} | {"weights": [each.weight for each in request.styles]}
        asked["initial"] = request.initial and hashlib.sha256(request.initial).hexdigest()
        Path(name + suffix + ".request").write_text(json.dumps(asked))


def last_request(suffix: str = "") -> dict[str, Any]:
    """Return of the request that a worker ran last: the fields ASKED, the styles' weights, the digest of its start."""
    asked: dict[str, Any] = json.loads(Path(os.environ[BEHAVIOUR_FILE] + suffix + ".request").read_text())
    return asked


def behaviour_of(request: StyleTransferRequest, suffix: str) -> Behaviour:
    if name := os.environ.get(BEHAVIOUR_FILE):
        return Behaviour[Path(name + suffix).read_text().strip()]
    return Behaviour(request.seed) if request.seed in Behaviour._value2member_map_ else Behaviour.PAINT


def behave(behaviour: Behaviour, on_progress: OnProgress, should_stop: ShouldStop) -> float:
    """Do what is to be done and return the share of the painting that there is then: 1.0, or less when stopped."""
    connection: Any = getattr(on_progress, "_connection", None)
    match behaviour:
        case Behaviour.SLOW | Behaviour.GROW | Behaviour.DEAF:
            for step in range(SLOW_STEPS):
                if behaviour is not Behaviour.DEAF and should_stop():
                    return step / SLOW_STEPS
                preview = encoded(Image.new("RGB", (48, 32), (step * 12, 90, 160)), "JPEG") if step % 5 == 0 else None
                on_progress(Progress(step / SLOW_STEPS, Stage.PAINTING, preview))
                time.sleep(SLOW_STEP_S * (4 if behaviour is Behaviour.GROW else 1))
        case Behaviour.HANG:
            time.sleep(3600)
        case Behaviour.SPIN:
            while True:
                pass
        case Behaviour.EAT:
            while True:
                kept.append(bytearray(b"x") * 50_000_000)
                time.sleep(0.02)
        case Behaviour.EXIT:
            os._exit(3)
        case Behaviour.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Behaviour.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Behaviour.DIE_ONCE:
            mark = Path(os.environ.get(MARK_FILE) or os.environ[BEHAVIOUR_FILE] + ".mark")
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        case Behaviour.RAISE:
            print(1 / 0)
        case Behaviour.SYSTEM_EXIT:
            sys.exit("the algorithm leaves")
        case Behaviour.UNPICKLABLE:
            error = type("OwnError", (Exception,), {})("of a class of its own")
            error.lock = threading.Lock()
            raise error
        case Behaviour.REFUSE:
            raise PictureTooSmallError("too small", width_px=1, height_px=1, limit_px=16)
        case Behaviour.MEMORY_ERROR:
            raise MemoryError
        case Behaviour.TORCH_MEMORY:
            import torch

            torch.empty(2**50)
        case Behaviour.HALF_MESSAGE:
            connection.sendall(b"\0\0\0")
            time.sleep(3600)
        case Behaviour.NONSENSE:
            connection.sendall(b"\0\0\0\0\0\0\0\5hello")
            time.sleep(3600)
        case Behaviour.CLASSES:
            from processing.wire import pack

            connection.sendall(pack({"is": "progress", "fraction": 0.5, "stage": Path("x"), "preview": None}))
            time.sleep(3600)
        case Behaviour.FLOOD:
            for step in range(FLOOD):
                on_progress(Progress(step / FLOOD, Stage.PAINTING))
        case Behaviour.KEEP:
            kept.append(bytearray(b"x") * 300_000_000)
    return 1.0


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the picture's file; the options are Pillow's."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def toy_photo(width: int = 60, height: int = 40, colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """Return a small PNG to be painted, or to paint with."""
    return encoded(Image.new("RGB", (width, height), colour), "PNG")
