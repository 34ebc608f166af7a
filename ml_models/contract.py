"""What every algorithm takes and returns. Free of torch, so that the bot's own process can import it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

MIN_SIZE_PX = 64
DEFAULT_SIZE_PX = 512
#: Of most algorithms; the registry says which paint larger.
MAX_SIZE_PX = 2048
#: The sizes that people are offered; any other in between is allowed too.
SIZES_PX = (512, 768, 1024, 2048)
MIN_STROKE_SCALE, MAX_STROKE_SCALE = 0.25, 4.0
#: The strokes that people are offered, by name.
STROKE_SCALES = {"fine": 0.5, "normal": 1.0, "bold": 2.0}
#: Where a run may take place; auto is the fastest that is there.
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class Style:
    """One style picture and its share.

    Attributes:
        image: an encoded picture (JPEG, PNG, WebP, HEIC, ...).
        weight: its share beside the other styles, greater than 0; shares need not add up to 1.
    """

    image: bytes
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class StyleTransferRequest:
    """One picture to paint.

    Attributes:
        content: the encoded photo.
        styles: the style pictures, as many as the registry says the algorithm takes.
        size_px: longer side of the result, MIN_SIZE_PX to the registry's max_size_px of the algorithm; the photo's
            proportions are kept.
        strength: 0.0 (the photo) .. 1.0 (all the style that the algorithm gives).
        stroke_scale: size of the strokes against the algorithm's own, MIN_STROKE_SCALE..MAX_STROKE_SCALE; 2.0 gives
            strokes twice as large.
        keep_colours: take the lightness from the painting and the colours from the photo.
        seed: of everything random, any integer from 0; same request, same seed, same machine, same bytes (on the CPU).
        encoder: a name the algorithm knows, or None for its best installed one.
        initial: an encoded picture of the photo's proportions to start from, such as an instant draft, or None; only
            painted algorithms start from one.
        device: one of DEVICES.
        max_megapixels: larger pictures are refused before they are decoded, in millions of pixels.
        memory_mb: what a run on the CPU may take in all; one that would need more is refused at once. None: no limit.
    """

    content: bytes = field(repr=False)
    styles: tuple[Style, ...] = field(repr=False)
    size_px: int = DEFAULT_SIZE_PX
    strength: float = 1.0
    stroke_scale: float = 1.0
    keep_colours: bool = False
    seed: int = 0
    encoder: str | None = None
    initial: bytes | None = field(default=None, repr=False)
    device: str = "auto"
    max_megapixels: float = 50.0
    memory_mb: int | None = None


class Stage(StrEnum):
    """What the algorithm is doing, for a person; the words are in locales/."""

    PREPARING = "preparing"
    PAINTING = "painting"
    FINISHING = "finishing"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        fraction: 0.0..1.0, never falling within a run.
        stage: what is being done.
        preview: a small JPEG of the picture so far, or None where there is nothing new to show.
    """

    fraction: float
    stage: Stage
    preview: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class StyleTransferResult:
    """A finished picture.

    Attributes:
        image: PNG bytes.
        width_px, height_px: its size.
        seconds: wall time of the run, without queueing.
        encoder: the network whose features were used.
        losses: final values by name, as the algorithm defines them.
        stopped: its owner asked to keep what was there, so that the run ended before its time.
    """

    image: bytes = field(repr=False)
    width_px: int
    height_px: int
    seconds: float
    encoder: str
    losses: dict[str, float]
    stopped: bool = False


def never() -> bool:
    """Nobody asks for the picture before it is done."""
    return False


OnProgress = Callable[[Progress], None]
#: Asked between the steps of a run; true: end at once with the best picture so far, at its full size.
ShouldStop = Callable[[], bool]
RunStyleTransfer = Callable[[StyleTransferRequest, OnProgress, ShouldStop], StyleTransferResult]
