"""The contract's entry: pictures in, a painting out."""

from __future__ import annotations

import math

from ml_models.adain.memory import needed_mb
from ml_models.adain.settings import SETTINGS
from ml_models.adain.weights import choose_encoder, load_model
from ml_models.contract import OnProgress, ShouldStop, StyleTransferRequest, StyleTransferResult, never
from ml_models.devices import choose_device
from ml_models.instant import run_instant
from ml_models.registry import ALGORITHMS


def run_style_transfer(
    request: StyleTransferRequest, on_progress: OnProgress, should_stop: ShouldStop = never
) -> StyleTransferResult:
    """Paint the request's photo in its styles.

    Raises:
        InvalidRequestError: a field is out of its range.
        PictureError: a picture cannot be read, is too large or too small.
        NotEnoughMemoryError: the run would need more than request.memory_mb.
        WeightsError: a file of weights is missing or damaged.
    """
    name, device = choose_encoder(request.encoder), choose_device(request.device)
    model = load_model(name, device)

    def needed(width_px: int, height_px: int) -> int:
        style_px = min(math.ceil(max(width_px, height_px) * request.stroke_scale), SETTINGS.largest_style_px)
        return needed_mb(width_px, height_px, name, style_px, device, len(request.styles))

    return run_instant(
        request,
        on_progress,
        should_stop,
        algorithm=ALGORITHMS["adain"],
        encoder=name,
        device=device,
        render=lambda content, styles, shares, strength, on_fraction, should_stop: model.paint(
            content, [model.style(style) for style in styles], shares, strength, on_fraction
        ),
        needed_mb=needed,
        largest_style_px=SETTINGS.largest_style_px,
        fade=SETTINGS.fade,
    )
