"""What a run will take, told before it starts."""

from __future__ import annotations

import torch

from ml_models.devices import half_precision

#: Interpreter, torch, weights, pictures as they came: MB of a run whatever its size.
PROCESS_MB = {"slim": 395, "oxford": 400}
#: Bytes for each pixel of the photo and of a style, in half precision: features of full size, as many as are held at
#: once, and the picture as floats.
CONTENT_BYTES = {"slim": 500, "oxford": 660}
STYLE_BYTES = {"slim": 250, "oxford": 440}


def needed_mb(
    width_px: int, height_px: int, encoder: str, style_px: int, device: torch.device | None = None, styles: int = 1
) -> int:
    """Return the peak memory of the process in megabytes (2**20 bytes).

    Args:
        style_px: longer side that the styles are measured at, taken as squares.
        styles: how many there are; they are measured one after the other.
    """
    floats = 1 if half_precision(device or torch.device("cpu")) is torch.bfloat16 else 2
    content = width_px * height_px * CONTENT_BYTES[encoder] * floats
    style = style_px**2 * STYLE_BYTES[encoder] * floats
    pictures = 15 * styles * style_px**2
    return PROCESS_MB[encoder] + round((max(content, style) + pictures) / 2**20)
