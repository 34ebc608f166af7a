"""What a run will take, told before it starts."""

from __future__ import annotations

import torch

from ml_models.devices import half_precision
from ml_models.encoders.vgg import MARGIN_PX
from ml_models.nst_gatys.settings import SETTINGS
from ml_models.nst_gatys.tiles import HALO_PX, tiles

#: Interpreter, torch, weights, pictures as they came: MB of a run whatever its size.
PROCESS_MB = 400
#: Images of three floats a pixel that a run holds besides the history: the picture and its gradients before and after a
#: step, their Fourier transforms, the photo.
IMAGES = 20
#: Bytes for each pixel of the photo's content features, in half precision.
CONTENT_BYTES = 48
#: Bytes for each pixel of a tile and its neighbourhood, in half precision: features and their gradients.
TILE_BYTES = {"slim": 1000, "vgg19": 1900}
#: Bytes for each pixel of the style that is being measured, as floats and continued beyond its edges, and of every
#: style as the picture that it came as.
STYLE_BYTES, PICTURE_BYTES = 25, 3


def predicted_mb(
    width_px: int, height_px: int, encoder: str, style_px: int, device: torch.device | None = None, styles: int = 1
) -> int:
    """Return the peak memory of the process in megabytes (2**20 bytes); `python -m benchmarks.memory` compares.

    Args:
        style_px: longer side that the styles are measured at.
        styles: how many there are.
    """
    floats = 1 if half_precision(device or torch.device("cpu")) is torch.bfloat16 else 2
    pixels = width_px * height_px
    picture = pixels * (12 * (2 * SETTINGS.pairs(pixels) + IMAGES) + CONTENT_BYTES * floats)
    style_px = min(style_px, SETTINGS.largest_style_px)
    tile = _tile_pixels(width_px, height_px) * TILE_BYTES[encoder] * floats
    style_tile = _tile_pixels(style_px, style_px) * TILE_BYTES[encoder] * floats // 2
    # The style is measured before the picture is painted, without gradients, and then let go.
    measuring = pixels * 48 + style_px**2 * STYLE_BYTES + style_tile
    return PROCESS_MB + round((max(picture + tile, measuring) + styles * style_px**2 * PICTURE_BYTES) / 2**20)


def _tile_pixels(width_px: int, height_px: int) -> int:
    """Return the pixels of the largest tile with its neighbourhood."""
    cut = tiles(height_px, width_px, SETTINGS.tile_px)
    if len(cut) == 1:
        return (width_px + 2 * MARGIN_PX) * (height_px + 2 * MARGIN_PX)
    return max((tile.width + 2 * HALO_PX) * (tile.height + 2 * HALO_PX) for tile in cut)
