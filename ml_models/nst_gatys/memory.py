"""What a run will take, told before it starts."""

from __future__ import annotations

import math

import torch

from ml_models.contract import MIN_SIZE_PX, StyleTransferRequest
from ml_models.devices import half_precision
from ml_models.errors import NotEnoughMemoryError
from ml_models.nst_gatys.settings import SETTINGS

#: Interpreter, torch, weights, working space: MB of a run whatever its picture.
PROCESS_MB = 450
#: Bytes for each pixel of the picture, whatever the precision: history, images, gradients.
PICTURE_BYTES = 12 * (2 * SETTINGS.history + 10)
#: Bytes for each pixel of a tile and its neighbourhood, in bfloat16.
TILE_BYTES = {"slim": 900, "vgg19": 2000}
#: Bytes for each pixel of an enlarged style.
STYLE_BYTES = 24


def predicted_mb(width_px: int, height_px: int, encoder: str, style_px: int, device: torch.device | None = None) -> int:
    """Return the peak memory of the process in megabytes (2**20 bytes).

    Args:
        style_px: longer side that the styles are measured at.
    """
    halves = 1 if half_precision(device or torch.device("cpu")) is torch.bfloat16 else 2
    pixels = width_px * height_px
    tile = min(pixels, SETTINGS.tile_px**2) * TILE_BYTES[encoder] * halves
    style = min(style_px, SETTINGS.largest_style_px) ** 2 * STYLE_BYTES
    return PROCESS_MB + round((pixels * PICTURE_BYTES + tile + style) / 2**20)


def check_memory(request: StyleTransferRequest, size: tuple[int, int], encoder: str, device: torch.device) -> None:
    """Raise NotEnoughMemoryError where the run would take more than request.memory_mb.

    Its details carry largest_px, the longer side that would fit, where one does.
    """

    def needed(longer_px: int) -> int:
        scale = longer_px / max(size)
        width_px, height_px = (math.ceil(side * scale) for side in size)
        return predicted_mb(width_px, height_px, encoder, math.ceil(longer_px * request.stroke_scale), device)

    limit_mb = request.memory_mb
    if limit_mb is None or device.type != "cpu" or needed(max(size)) <= limit_mb:
        return
    fits = [px for px in range(MIN_SIZE_PX, max(size), 64) if needed(px) <= limit_mb]
    largest = {"largest_px": fits[-1]} if fits else {}
    advice = f"ask for at most {fits[-1]} px" if fits else "give it more memory"
    raise NotEnoughMemoryError(
        f"{request.size_px} px would take {needed(max(size))} MB, {limit_mb} MB are allowed: {advice}",
        needed_mb=needed(max(size)),
        limit_mb=limit_mb,
        size_px=request.size_px,
        **largest,
    )
