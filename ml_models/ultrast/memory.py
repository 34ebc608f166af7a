"""What a run will take, told before it starts."""

from __future__ import annotations

import math

import torch

from ml_models.contract import StyleTransferRequest
from ml_models.devices import half_precision
from ml_models.ultrast.settings import SETTINGS

#: Interpreter, torch, weights, pictures as they came: MB of a run whatever its size.
PROCESS_MB = 400
#: Bytes for each pixel of the picture, in half precision: features of the whole picture and images between stages, and
#: the float images that it begins and ends as.
PICTURE_BYTES = 70
#: Bytes for each pixel of a tile, in half precision.
TILE_BYTES = 120
#: Bytes for each pixel of a style.
STYLE_BYTES = 45


def needed_mb(width_px: int, height_px: int, request: StyleTransferRequest, device: torch.device) -> int:
    """Return the peak memory of the process in megabytes (2**20 bytes); `python -m benchmarks.ultrast` compares."""
    longer_px = max(width_px, height_px)
    style_px = min(math.ceil(longer_px * request.stroke_scale), SETTINGS.largest_style_px)
    floats = 1 if half_precision(device) is torch.bfloat16 else 2
    tile = min(SETTINGS.tile_px, width_px) * min(SETTINGS.tile_px, height_px) * TILE_BYTES * floats
    picture = width_px * height_px * PICTURE_BYTES * floats
    styles = len(request.styles) * style_px**2 * STYLE_BYTES
    return PROCESS_MB + round((picture + tile + styles) / 2**20)
