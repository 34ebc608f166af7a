"""Pictures from files to a file, with a progress bar: the command line's way into the models."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ml_models.contract import Progress, Style, StyleTransferRequest, StyleTransferResult, never
from ml_models.errors import InvalidRequestError
from ml_models.images import encode_jpeg
from ml_models.registry import get_algorithm

OUTPUTS = (".png", ".jpg", ".jpeg")


def stylize_files(
    content: Path,
    styles: Sequence[Path],
    output: Path,
    *,
    algorithm_key: str,
    size_px: int,
    seed: int,
    max_megapixels: float,
) -> StyleTransferResult:
    """Paint content in the styles and write the painting to output.

    Raises:
        StyleTransferError: whatever is wrong with the pictures or the request.
        OSError: a file cannot be read or written.
    """
    if output.suffix.lower() not in OUTPUTS:
        raise InvalidRequestError(f"the painting cannot be written as {output.name}: end it in .png or .jpg")
    if not output.parent.is_dir():
        raise InvalidRequestError(f"the folder {output.parent} does not exist: make it, or name another")
    algorithm = get_algorithm(algorithm_key)
    request = StyleTransferRequest(
        content=content.read_bytes(),
        styles=tuple(Style(style.read_bytes()) for style in styles),
        size_px=size_px,
        seed=seed,
        max_megapixels=max_megapixels,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bars(*columns, transient=True) as bars:
        task = bars.add_task(algorithm.title, total=1.0)

        def show(progress: Progress) -> None:
            bars.update(task, completed=progress.fraction, description=f"{algorithm.title}: {progress.stage}")

        result = algorithm.load()(request, show, never)
    output.write_bytes(result.image if output.suffix.lower() == ".png" else _jpeg(result.image))
    return result


def _jpeg(png: bytes) -> bytes:
    with Image.open(BytesIO(png), formats=("PNG",)) as image:
        return encode_jpeg(image.convert("RGB"))
