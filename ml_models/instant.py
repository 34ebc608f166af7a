"""What the instant algorithms share: a request's pictures to tensors, one pass, and back to a picture."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ml_models.contract import (
    OnProgress,
    Progress,
    ShouldStop,
    Stage,
    StyleTransferRequest,
    StyleTransferResult,
)
from ml_models.errors import InvalidRequestError
from ml_models.image_preparation import at_size, grey, grey_like, in_colours_of, to_image
from ml_models.images import MIN_SIDE_PX, encode_png, read_picture, scaled_size
from ml_models.memory import check_memory
from ml_models.registry import Algorithm
from ml_models.requests import check_request

READ, RENDERED = 0.05, 0.95


class Render(Protocol):
    """One pass of an algorithm."""

    def __call__(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        shares: Sequence[float],
        strength: float,
        on_fraction: Callable[[float], None],
        should_stop: ShouldStop,
    ) -> Tensor:
        """Return the painting (1, 3, H, W); values outside 0..1 are clamped.

        Args:
            content: RGB 0..1, (1, 3, H, W), on the device, at the size asked for.
            styles: each (1, 3, h, w).
            shares: of the styles, they add up to 1.
            strength: above 0, at most 1.
            on_fraction: takes how much is done, 0..1.
            should_stop: where a pass takes long: true, return what there is.
        """
        ...


def run_instant(
    request: StyleTransferRequest,
    on_progress: OnProgress,
    should_stop: ShouldStop,
    *,
    algorithm: Algorithm,
    encoder: str,
    device: torch.device,
    render: Render,
    needed_mb: Callable[[int, int], int],
    largest_style_px: int,
    fade: float = 0.25,
) -> StyleTransferResult:
    """Paint the request's photo by one pass.

    Args:
        encoder: name of the network, for the result.
        needed_mb: (width_px, height_px) -> the peak memory of the process on the CPU in megabytes (2**20 bytes).
        largest_style_px: longer side that the styles are reduced to at least.
        fade: strength below which the photo itself is mixed in, so that no strength is the photo as it was, whatever
            the network loses; 1.0 where the network knows no strength of its own.

    Raises:
        InvalidRequestError: a field is out of its range.
        PictureError: a picture cannot be read, is too large or too small.
        NotEnoughMemoryError: the run would need more than request.memory_mb.
    """
    started = time.perf_counter()
    check_request(request, algorithm)
    if request.initial is not None:
        raise InvalidRequestError(f"initial is not allowed: {algorithm.title} starts from the photo", field="initial")
    on_progress(Progress(0.0, Stage.PREPARING))
    photo = read_picture(request.content, request.max_megapixels, fit_px=request.size_px)
    style_px = min(math.ceil(request.size_px * request.stroke_scale), largest_style_px)
    styles = [read_picture(style.image, request.max_megapixels, fit_px=style_px) for style in request.styles]
    if device.type == "cpu":
        check_memory(request, scaled_size(photo.width, photo.height, request.size_px, MIN_SIDE_PX), needed_mb)
    content = photo
    if request.keep_colours:
        content, styles = grey(photo), [grey_like(style, photo) for style in styles]
    total = sum(style.weight for style in request.styles)
    stopped = False

    def asked_to_stop() -> bool:
        nonlocal stopped
        stopped = stopped or should_stop()
        return stopped

    def on_fraction(fraction: float) -> None:
        on_progress(Progress(READ + (RENDERED - READ) * fraction, Stage.PAINTING))

    image = at_size(content, request.size_px, MIN_SIDE_PX)
    on_fraction(0.0)
    if request.strength > 0:
        with torch.inference_mode():
            painted = render(
                image.to(device),
                [at_size(style, style_px, MIN_SIDE_PX).to(device) for style in styles],
                [style.weight / total for style in request.styles],
                request.strength,
                on_fraction,
                asked_to_stop,
            )
            image = image.lerp(painted.float().cpu().clamp(0, 1), min(1.0, request.strength / fade))
    if request.keep_colours:
        image = in_colours_of(image, photo)
    on_progress(Progress(RENDERED, Stage.FINISHING))
    picture = to_image(image)
    data = encode_png(picture)
    on_progress(Progress(1.0, Stage.FINISHING))
    seconds = time.perf_counter() - started
    return StyleTransferResult(data, picture.width, picture.height, seconds, encoder, {}, stopped)
