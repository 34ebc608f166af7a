"""The contract's entry: pictures in, a painting out."""

from __future__ import annotations

from functools import partial

from ml_models.contract import OnProgress, ShouldStop, StyleTransferRequest, StyleTransferResult, never
from ml_models.devices import choose_device
from ml_models.instant import run_instant
from ml_models.registry import ALGORITHMS
from ml_models.ultrast.cascade import paint
from ml_models.ultrast.memory import needed_mb
from ml_models.ultrast.settings import SETTINGS
from ml_models.ultrast.weights import choose_encoder, load_networks


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
    networks = load_networks(name, device)

    return run_instant(
        request,
        on_progress,
        should_stop,
        algorithm=ALGORITHMS["ultrast"],
        encoder=name,
        device=device,
        render=partial(paint, networks),
        needed_mb=lambda width_px, height_px: needed_mb(width_px, height_px, request, device),
        largest_style_px=SETTINGS.largest_style_px,
    )
