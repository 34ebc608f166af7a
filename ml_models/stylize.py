"""Pictures from files to a file, with a progress bar: the command line's way into the models."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import FrameType

from PIL import Image
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ml_models.contract import (
    DEFAULT_SIZE_PX,
    DEVICES,
    MAX_STROKE_SCALE,
    MIN_STROKE_SCALE,
    STROKE_SCALES,
    Progress,
    Stage,
    Style,
    StyleTransferRequest,
    StyleTransferResult,
)
from ml_models.errors import InvalidRequestError
from ml_models.images import encode_jpeg
from ml_models.registry import get_algorithm
from ml_models.shares import parse_shares

OUTPUTS = (".png", ".jpg", ".jpeg")
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What people write on the command line; the fields of StyleTransferRequest in their words.

    Attributes:
        strength: percent, 0..100.
        stroke: a name of STROKE_SCALES or a number, MIN_STROKE_SCALE..MAX_STROKE_SCALE.
        style_weights: shares such as "70/30", one for each style, or None for equal ones.
        seed: 0..LARGEST_SEED.
        initial: the picture to start from.
    """

    size_px: int = DEFAULT_SIZE_PX
    strength: float = 100.0
    stroke: str = "normal"
    keep_colours: bool = False
    style_weights: str | None = None
    seed: int = 0
    encoder: str | None = None
    device: str = "auto"
    initial: Path | None = None
    max_megapixels: float = 50.0


class _Interrupt:
    """Ctrl+C while the picture is being painted: the first keeps it as it is, the next ends the program.

    Before there is anything to keep, the first ends the program too.
    """

    def __init__(self) -> None:
        self.asked = False
        self.painting = False

    def stop_asked(self) -> bool:
        return self.asked

    @contextmanager
    def caught(self) -> Iterator[None]:
        before = signal.signal(signal.SIGINT, self._meet)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _meet(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked or not self.painting:
            raise KeyboardInterrupt
        self.asked = True


def stylize_files(
    content: Path, styles: Sequence[Path], output: Path, *, algorithm_key: str, options: Options
) -> StyleTransferResult:
    """Paint content in the styles and write the painting to output; Ctrl+C keeps what there is by then.

    Raises:
        StyleTransferError: whatever is wrong with the pictures or the request.
        OSError: a file cannot be read or written.
        KeyboardInterrupt: Ctrl+C before there was anything to keep, or a second one; nothing is written.
    """
    if output.suffix.lower() not in OUTPUTS:
        raise InvalidRequestError(f"the painting cannot be written as {output.name}: end it in .png or .jpg")
    if not output.parent.is_dir():
        raise InvalidRequestError(f"the folder {output.parent} does not exist: make it, or name another")
    algorithm = get_algorithm(algorithm_key)
    if not algorithm.min_styles <= len(styles) <= algorithm.max_styles:
        allowed = f"{algorithm.min_styles} to {algorithm.max_styles}" if algorithm.max_styles else "none"
        raise InvalidRequestError(f"{len(styles)} styles are not allowed: {algorithm.title} takes {allowed}")
    request = request_of(content, styles, options)
    run_style_transfer = algorithm.load()
    interrupt = _Interrupt()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bars(*columns, transient=True) as bars:
        task = bars.add_task(algorithm.title, total=1.0)

        def show(progress: Progress) -> None:
            interrupt.painting = interrupt.painting or progress.stage is Stage.PAINTING
            what = "keeping what there is" if interrupt.asked else progress.stage
            bars.update(task, completed=progress.fraction, description=f"{algorithm.title}: {what}")

        with interrupt.caught():
            result = run_style_transfer(request, show, interrupt.stop_asked)
            output.write_bytes(result.image if output.suffix.lower() == ".png" else _jpeg(result.image))
    return result


def request_of(content: Path, styles: Sequence[Path], options: Options) -> StyleTransferRequest:
    """Read the files and the options; raise InvalidRequestError or OSError. Sizes are left to the algorithm."""
    if not 0 <= options.strength <= 100:
        raise _not_allowed("strength", f"{options.strength:g}", "0 to 100")
    if not 0 <= options.seed <= LARGEST_SEED:
        raise _not_allowed("seed", options.seed, f"0 to {LARGEST_SEED}")
    if options.device not in DEVICES:
        raise _not_allowed("device", repr(options.device), f"one of {', '.join(DEVICES)}")
    count = len(styles)
    weights = parse_shares(options.style_weights, count) if options.style_weights is not None else (1.0,) * count
    return StyleTransferRequest(
        content=content.read_bytes(),
        styles=tuple(Style(path.read_bytes(), weight) for path, weight in zip(styles, weights, strict=True)),
        size_px=options.size_px,
        strength=options.strength / 100,
        stroke_scale=stroke_scale(options.stroke),
        keep_colours=options.keep_colours,
        seed=options.seed,
        encoder=options.encoder,
        initial=options.initial.read_bytes() if options.initial else None,
        device=options.device,
        max_megapixels=options.max_megapixels,
    )


def stroke_scale(text: str) -> float:
    """Return the scale of the strokes: of a name in STROKE_SCALES, or the number itself."""
    if text.lower() in STROKE_SCALES:
        return STROKE_SCALES[text.lower()]
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not MIN_STROKE_SCALE <= scale <= MAX_STROKE_SCALE:
        allowed = f"{', '.join(STROKE_SCALES)}, or a number from {MIN_STROKE_SCALE:g} to {MAX_STROKE_SCALE:g}"
        raise _not_allowed("stroke", repr(text), allowed)
    return scale


def _not_allowed(name: str, given: object, allowed: str) -> InvalidRequestError:
    return InvalidRequestError(f"{name}={given} is not allowed: give {allowed}", field=name)


def _jpeg(png: bytes) -> bytes:
    with Image.open(BytesIO(png), formats=("PNG",)) as image:
        return encode_jpeg(image.convert("RGB"))
