"""Faint random strokes that follow a photo's forms: what the generator paints its strokes from.

A convolutional network makes no difference between two places of a bare sky, and so can only repeat a pattern there.
As in texture networks (Ulyanov et al. 2016, arXiv:1603.03417) noise tells it where to put what; here the noise is drawn
out along the edges nearby (line integral convolution, Cabral and Leedom 1993, doi:10.1145/166117.166151).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, pad

from ml_models.cyclegan.custom_layers import surroundings

#: Width of a stroke, and how many samples of how many pixels make its length.
WIDTH_PX, SAMPLES, SAMPLE_PX = 4, 7, 2.2
#: Deviation of the strokes' lightness, of values in -1..1, and of each colour besides.
LIGHTNESS, COLOUR = 0.22, 0.16
#: Where nothing has an edge strokes lie level: the weight of that beside gradients of values in -1..1.
LEVEL = 1e-4


@torch.no_grad()
def brushed(image: Tensor, generator: torch.Generator) -> Tensor:
    """Return a picture (1, 3, H, W), RGB in -1..1, with faint strokes added, in float32.

    Args:
        generator: draws the strokes, on the CPU.
    """
    image = image.float()
    height, width = image.shape[2:]
    size = (max(2, height // WIDTH_PX), max(2, width // WIDTH_PX))
    noise = torch.randn(1, 4, *size, generator=generator).to(image.device)
    noise = interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)
    strokes = _drawn_out(noise, tangents(image))
    strokes = strokes - surroundings(strokes)
    strokes = strokes / (strokes.std(dim=(2, 3), correction=0, keepdim=True) + 1e-6)
    return image + LIGHTNESS * strokes[:, :1] + COLOUR * strokes[:, 1:]


def tangents(image: Tensor) -> Tensor:
    """Return the angle (1, H, W) in radians, from the x axis, along which a picture changes least nearby."""
    grey = pad(image.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]
    down = grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
    products = surroundings(torch.cat([across * across, across * down, down * down + LEVEL], dim=1))
    xx, xy, yy = products.unbind(1)
    return 0.5 * torch.atan2(2 * xy, xx - yy) + torch.pi / 2


def _drawn_out(noise: Tensor, angle: Tensor) -> Tensor:
    """Return the mean of the noise (1, C, H, W) on a line through each pixel."""
    height, width = noise.shape[2:]
    rows = (torch.arange(height, device=noise.device) + 0.5) * (2 / height) - 1
    columns = (torch.arange(width, device=noise.device) + 0.5) * (2 / width) - 1
    here = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], dim=2)[None]
    along = torch.stack([angle.cos() * (2 / width), angle.sin() * (2 / height)], dim=3)
    drawn = torch.zeros_like(noise)
    for sample in range(SAMPLES):
        grid = here + along * (SAMPLE_PX * (sample - SAMPLES // 2))
        drawn += grid_sample(noise, grid, padding_mode="reflection", align_corners=False)
    return drawn / SAMPLES
