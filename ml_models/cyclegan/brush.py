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
#: More than half a stroke's length.
MARGIN_PX = 8
#: Deviation of the strokes' lightness, of values in -1..1, and of each colour besides.
LIGHTNESS, COLOUR = 0.24, 0.17
#: Deviation of a photo's lightness from its surroundings at which strokes are half as strong: faces are to stay.
DETAIL = 0.5
#: Where nothing has an edge strokes lie level: the weight of that beside gradients of values in -1..1.
LEVEL = 1e-4


@torch.no_grad()
def brushed(image: Tensor, generator: torch.Generator) -> Tensor:
    """Return a picture (1, 3, H, W), RGB in -1..1, with faint strokes added, in float32.

    Args:
        generator: draws the strokes, on the CPU.
    """
    image = image.float()
    height, width = (side + 2 * MARGIN_PX for side in image.shape[2:])
    noise = torch.randn(1, 4, height // WIDTH_PX, width // WIDTH_PX, generator=generator).to(image.device)
    noise = interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)
    strokes = _drawn_out(noise, tangents(image))
    strokes = strokes - surroundings(strokes)
    strokes = strokes / (strokes.std(dim=(2, 3), correction=0, keepdim=True) + 1e-6)
    grey = image.mean(dim=1, keepdim=True)
    detail = surroundings((grey - surroundings(grey)).square()).sqrt()
    return image + (LIGHTNESS * strokes[:, :1] + COLOUR * strokes[:, 1:]) / (1 + detail / DETAIL)


def tangents(image: Tensor) -> Tensor:
    """Return the angle (1, H, W) in radians, from the x axis, along which a picture changes least nearby."""
    grey = pad(image.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]
    down = grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
    products = surroundings(torch.cat([across * across, across * down, down * down + LEVEL], dim=1))
    xx, xy, yy = products.unbind(1)
    return 0.5 * torch.atan2(2 * xy, xx - yy) + torch.pi / 2


def _drawn_out(noise: Tensor, angle: Tensor) -> Tensor:
    """Return the mean of the noise, which is larger by a margin, on a line through each pixel of angle (1, H, W)."""
    height, width = angle.shape[1:]
    to_grid = torch.tensor([2 / noise.shape[3], 2 / noise.shape[2]], device=noise.device)
    rows, columns = (torch.arange(side, device=noise.device) + MARGIN_PX + 0.5 for side in (height, width))
    here = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], dim=2) * to_grid - 1
    along = torch.stack([angle.cos(), angle.sin()], dim=3) * to_grid
    drawn = torch.zeros(1, noise.shape[1], height, width, device=noise.device)
    for sample in range(SAMPLES):
        line = here + along * (SAMPLE_PX * (sample - SAMPLES // 2))
        drawn += grid_sample(noise, line, align_corners=False)
    return drawn / SAMPLES
