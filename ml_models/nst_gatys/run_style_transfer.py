"""The contract's entry: pictures in, a painting out."""

from __future__ import annotations

import copy
import math
import time

import torch
from PIL import Image
from torch import Tensor

from ml_models.contract import (
    OnProgress,
    Progress,
    ShouldStop,
    Stage,
    StyleTransferRequest,
    StyleTransferResult,
    never,
)
from ml_models.devices import choose_device, half_precision
from ml_models.encoders import choose_encoder, load_slim, load_vgg19
from ml_models.image_preparation import grey, grey_like, in_colours_of, to_image
from ml_models.images import MIN_SIDE_PX, encode_png, encode_preview, read_picture, scaled_size
from ml_models.memory import check_memory
from ml_models.nst_gatys.custom_layers import FeatureExtractor
from ml_models.nst_gatys.memory import predicted_mb
from ml_models.nst_gatys.settings import SETTINGS, GatysSettings
from ml_models.nst_gatys.train_loop import paint
from ml_models.registry import ALGORITHMS
from ml_models.requests import check_request

PREVIEW_PAUSE_S = 2.5
PREVIEW_PX = 384


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
    check_request(request, ALGORITHMS["nst_gatys"])
    name, device = choose_encoder(request.encoder), choose_device(request.device)
    on_progress(Progress(0.0, Stage.PREPARING))
    photo = read_picture(request.content, request.max_megapixels, fit_px=request.size_px)
    style_px = min(math.ceil(request.size_px * request.stroke_scale), SETTINGS.largest_style_px)
    styles = [read_picture(style.image, request.max_megapixels, fit_px=style_px) for style in request.styles]
    initial = request.initial and read_picture(request.initial, request.max_megapixels, fit_px=request.size_px)

    def needed_mb(width_px: int, height_px: int) -> int:
        longest_style_px = math.ceil(max(width_px, height_px) * request.stroke_scale)
        return predicted_mb(width_px, height_px, name, longest_style_px, device, len(styles))

    if device.type == "cpu":
        check_memory(request, scaled_size(photo.width, photo.height, request.size_px, MIN_SIDE_PX), needed_mb)
    content = photo
    if request.keep_colours:
        content, styles = grey(photo), [grey_like(style, photo) for style in styles]
        initial = initial and grey(initial)

    shown_at = started

    def on_image(fraction: float, image: Tensor, stage_ends: bool) -> bool:
        nonlocal shown_at
        preview = None
        if stage_ends or time.perf_counter() - shown_at >= PREVIEW_PAUSE_S:
            preview = encode_preview(to_image(_coloured(image, photo, request)), PREVIEW_PX)
            shown_at = time.perf_counter()
        on_progress(Progress(0.98 * fraction, Stage.PAINTING, preview))
        return not should_stop()

    painting = paint(
        load_extractor(name, SETTINGS, device),
        content,
        styles,
        [style.weight for style in request.styles],
        SETTINGS,
        size_px=request.size_px,
        strength=request.strength,
        stroke_scale=request.stroke_scale,
        seed=request.seed,
        initial=initial or None,
        device=device,
        on_image=on_image,
    )
    on_progress(Progress(0.99, Stage.FINISHING))
    picture = to_image(_coloured(painting.image, photo, request))
    data = encode_png(picture)
    on_progress(Progress(1.0, Stage.FINISHING))
    seconds = time.perf_counter() - started
    return StyleTransferResult(data, picture.width, picture.height, seconds, name, painting.losses, painting.stopped)


def load_extractor(encoder: str, settings: GatysSettings, device: torch.device) -> FeatureExtractor:
    """Return the networks of the encoder's name on the device, in the precision that is fastest there."""
    precision = half_precision(device)
    slim = copy.deepcopy(load_slim()).to(device, precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
    vgg19 = None
    if encoder == "vgg19":
        vgg19 = copy.deepcopy(load_vgg19()).to(device, precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return FeatureExtractor(slim, vgg19, list(settings.style_layers), list(settings.content_layers))


def _coloured(image: Tensor, photo: Image.Image, request: StyleTransferRequest) -> Tensor:
    """Return the image on the CPU, with the photo's colours where they are to be kept."""
    image = image.detach().cpu()
    return in_colours_of(image, photo) if request.keep_colours else image
