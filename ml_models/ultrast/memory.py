"""What a run will take, told before it starts."""

from __future__ import annotations

import math

import torch

from ml_models.contract import StyleTransferRequest
from ml_models.devices import half_precision
from ml_models.ultrast.settings import SETTINGS

#: Interpreter, torch, weights, pictures as they came: MB of a run whatever its size.
PROCESS_MB = 330
#: Bytes for each pixel, in half precision, measured: of the picture while it is painted (the floats that it begins and
#: ends as, two images between stages, relu1_1 of all of it); of the photo that waits while a style is measured, and of
#: that style; of every style as the floats that it came as.
PAINTED_BYTES, WAITING_BYTES, MEASURED_BYTES, STYLE_BYTES = 88, 15, 73, 15
#: Bytes for each pixel of a tile.
TILE_BYTES = 240


def needed_mb(width_px: int, height_px: int, request: StyleTransferRequest, device: torch.device) -> int:
    """Return the peak memory of the process in megabytes (2**20 bytes); `python -m benchmarks.ultrast` compares."""
    floats = 1 if half_precision(device) is torch.bfloat16 else 2
    style_px = min(math.ceil(max(width_px, height_px) * request.stroke_scale), SETTINGS.largest_style_px)
    picture, style = width_px * height_px, style_px**2
    tile = min(SETTINGS.tile_px, max(width_px, style_px)) * min(SETTINGS.tile_px, max(height_px, style_px))
    phase = max(picture * PAINTED_BYTES, picture * WAITING_BYTES + style * MEASURED_BYTES)
    taken = (phase + tile * TILE_BYTES) * floats + len(request.styles) * style * STYLE_BYTES
    return PROCESS_MB + round(taken / 2**20)
