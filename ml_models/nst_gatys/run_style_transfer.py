"""The contract's entry: pictures in, a painting out."""

from __future__ import annotations

import math
import time

from torch import Tensor

from ml_models.contract import (
    MAX_SIZE_PX,
    MIN_SIZE_PX,
    OnProgress,
    Progress,
    ShouldStop,
    Stage,
    StyleTransferRequest,
    StyleTransferResult,
    never,
)
from ml_models.encoders import load_encoder
from ml_models.errors import InvalidRequestError, NotEnoughMemoryError
from ml_models.images import MIN_SIDE_PX, encode_png, encode_preview, read_picture, scaled_size
from ml_models.nst_gatys.image_preparation import at_size, to_image, with_colours_of
from ml_models.nst_gatys.settings import BY_ENCODER
from ml_models.nst_gatys.train_loop import paint

PREVIEW_PAUSE_S = 2.5
PREVIEW_PX = 384
#: What a run takes whatever its picture: interpreter, torch, weights, working space, in MB. For its measurement see
#: settings.py.
PROCESS_MB = 450
#: What an enlarged style takes: its tensor of floats and the picture itself.
STYLE_BYTES_PER_PIXEL = 16


def run_style_transfer(
    request: StyleTransferRequest, on_progress: OnProgress, should_stop: ShouldStop = never
) -> StyleTransferResult:
    """Paint the request's photo in its styles.

    Raises:
        InvalidRequestError: a field is out of its range.
        PictureError: a picture cannot be read, is too large or too small.
        NotEnoughMemoryError: the run would need more than request.memory_mb.
        WeightsError: the encoder's file is missing or damaged.
    """
    started = time.perf_counter()
    _check(request)
    on_progress(Progress(0.0, Stage.PREPARING))
    content = read_picture(request.content, request.max_megapixels, fit_px=request.size_px)
    style_px = math.ceil(request.size_px * request.stroke_scale)
    styles = [read_picture(style.image, request.max_megapixels, fit_px=style_px) for style in request.styles]
    name, encoder = load_encoder(request.encoder)
    settings = BY_ENCODER[name]
    width_px, height_px = scaled_size(content.width, content.height, request.size_px, MIN_SIDE_PX)
    style_bytes = min(style_px, settings.largest_style_px) ** 2 * STYLE_BYTES_PER_PIXEL
    _check_memory(request, width_px * height_px * settings.bytes_per_pixel + style_bytes)

    shown_at = started

    def on_image(fraction: float, image: Tensor) -> None:
        nonlocal shown_at
        preview = None
        if time.perf_counter() - shown_at >= PREVIEW_PAUSE_S:
            preview = encode_preview(to_image(image), PREVIEW_PX)
            shown_at = time.perf_counter()
        on_progress(Progress(0.98 * fraction, Stage.PAINTING, preview))

    painting = paint(
        encoder,
        content,
        styles,
        [style.weight for style in request.styles],
        settings,
        size_px=request.size_px,
        strength=request.strength,
        stroke_scale=request.stroke_scale,
        seed=request.seed,
        on_image=on_image,
    )
    on_progress(Progress(0.99, Stage.FINISHING))
    image = painting.image
    if request.keep_colours:
        image = with_colours_of(image, at_size(content, request.size_px))
    picture = to_image(image)
    data = encode_png(picture)
    on_progress(Progress(1.0, Stage.FINISHING))
    losses = painting.losses | {"evaluations": float(painting.evaluations)}
    return StyleTransferResult(data, picture.width, picture.height, time.perf_counter() - started, name, losses)


def _check(request: StyleTransferRequest) -> None:
    def within(field: str, value: float, low: float, high: float) -> None:
        if not low <= value <= high:
            raise InvalidRequestError(f"{field}={value} is not allowed: give {low} to {high}", field=field)

    within("size_px", request.size_px, MIN_SIZE_PX, MAX_SIZE_PX)
    within("strength", request.strength, 0.0, 1.0)
    within("stroke_scale", request.stroke_scale, 0.25, 4.0)
    within("styles", len(request.styles), 1, 4)
    for style in request.styles:
        if not 0 < style.weight < math.inf:
            raise InvalidRequestError(
                f"a style's weight of {style.weight} is not allowed: give more than 0", field="styles"
            )


def _check_memory(request: StyleTransferRequest, run_bytes: int) -> None:
    needed_mb = PROCESS_MB + round(run_bytes / 1e6)
    if request.memory_mb is not None and needed_mb > request.memory_mb:
        raise NotEnoughMemoryError(
            f"{request.size_px} px would take {needed_mb} MB, "
            f"{request.memory_mb} MB are allowed: ask for a smaller size",
            needed_mb=needed_mb,
            limit_mb=request.memory_mb,
            size_px=request.size_px,
        )
