"""The contract's entry: a photo in, a Monet out."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ml_models.contract import OnProgress, ShouldStop, StyleTransferRequest, StyleTransferResult, never
from ml_models.cyclegan.brush import brushed
from ml_models.cyclegan.custom_layers import STRIDE_PX, Generator
from ml_models.cyclegan.settings import GeneratorSettings
from ml_models.cyclegan.weights import GENERATORS, choose_generator, generator_on
from ml_models.devices import choose_device, half_precision
from ml_models.images import MIN_SIDE_PX
from ml_models.instant import run_instant
from ml_models.registry import ALGORITHMS

#: The generator works on at most so many pixels of the longer side: strokes get no finer than that.
LARGEST_WORKING_PX = 2048
#: Interpreter, torch, weights, pictures as they came: MB of a run whatever its size.
PROCESS_MB = 420
#: Floats for each pixel of the result (photo, painting, both mixed, bytes), and features of ngf channels for each
#: pixel that the generator works on (before and after its last padding, what the convolution makes of them; strokes).
RESULT_FLOATS, WORKING_FEATURES = 16, 3.3


def run_style_transfer(
    request: StyleTransferRequest, on_progress: OnProgress, should_stop: ShouldStop = never
) -> StyleTransferResult:
    """Paint the request's photo; below strength 1 the photo is mixed in.

    Raises what run_instant raises, and WeightsError where the generator's file is missing or damaged.
    """
    name, device = choose_generator(request.encoder), choose_device(request.device)

    def needed_mb(width_px: int, height_px: int) -> int:
        return predicted_mb(width_px, height_px, request.stroke_scale, GENERATORS[name][1], device)

    return run_instant(
        request,
        on_progress,
        should_stop,
        algorithm=ALGORITHMS["cyclegan"],
        encoder=name,
        device=device,
        render=lambda content, styles, shares, strength, on_fraction, should_stop: paint(
            generator_on(name, device), content, request.stroke_scale, on_fraction, request.seed
        ),
        needed_mb=needed_mb,
        largest_style_px=MIN_SIDE_PX,
        fade=1.0,
    )


def working_size(width_px: int, height_px: int, stroke_scale: float) -> tuple[int, int]:
    """Return the (width_px, height_px) that the generator works at: strokes are as large in its own pixels always."""
    scale = min(1 / stroke_scale, LARGEST_WORKING_PX / max(width_px, height_px))
    # Below this a picture has no room for what the generator does at a quarter of the size.
    scale = max(scale, MIN_SIDE_PX / min(width_px, height_px))
    return round(width_px * scale), round(height_px * scale)


@torch.inference_mode()
def paint(
    generator: Generator, photo: Tensor, stroke_scale: float, on_fraction: Callable[[float], None], seed: int = 0
) -> Tensor:
    """Return the painting (1, 3, H, W), float32, of a photo of that shape, H and W any size; RGB in 0..1.

    Args:
        seed: of the strokes.
    """
    height, width = photo.shape[2:]
    working_width, working_height = working_size(width, height, stroke_scale)
    hidden = _resized(photo, working_height, working_width) * 2 - 1
    below, right = -working_height % STRIDE_PX, -working_width % STRIDE_PX
    weight = next(generator.parameters())
    image = pad(hidden, (0, right, 0, below), mode="reflect")
    if generator.settings.brushed:
        image = brushed(image, torch.Generator().manual_seed(seed))
    hidden = image.to(weight.dtype, memory_format=torch.channels_last)
    layers = list(generator.model)
    for index, layer in enumerate(layers):
        hidden = layer(hidden)
        on_fraction((index + 1) / len(layers))
    hidden = generator.with_colours(hidden, image)
    return _resized(hidden[:, :, :working_height, :working_width].float() * 0.5 + 0.5, height, width)


def _resized(image: Tensor, height_px: int, width_px: int) -> Tensor:
    if image.shape[2:] == (height_px, width_px):
        return image
    return interpolate(image, size=(height_px, width_px), mode="bicubic", antialias=True, align_corners=False)


def predicted_mb(
    width_px: int, height_px: int, stroke_scale: float, settings: GeneratorSettings, device: torch.device
) -> int:
    """Return the peak memory of the process in megabytes (2**20 bytes); `python -m benchmarks.cyclegan` compares."""
    value_bytes = half_precision(device).itemsize
    working_px = math.prod(working_size(width_px, height_px, stroke_scale))
    features = working_px * settings.ngf * value_bytes * WORKING_FEATURES
    return PROCESS_MB + round((width_px * height_px * 4 * RESULT_FLOATS + features) / 2**20)
