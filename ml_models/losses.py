"""Losses that more than one algorithm or benchmark uses: pure functions of features."""

from __future__ import annotations

import torch
from torch import Tensor


def gram_matrix(feature: Tensor) -> Tensor:
    """Return the Gram matrices (B, C, C) of a feature (B, C, H, W), divided by C H W.

    Gatys et al. 2016 (CVPR, equation 3) leave the division to the loss; dividing here makes pictures of different
    sizes comparable.
    """
    batch, channels, height, width = feature.shape
    # Positions before channels is how channels-last memory lies: no copy is made there.
    flat = feature.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    return torch.bmm(flat.transpose(1, 2), flat) / (channels * height * width)


def mean_and_deviation(feature: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of each channel, both (B, C, 1, 1).

    The statistics of AdaIN (Huang and Belongie 2017, arXiv:1703.06868, equations 5 to 7), with their epsilon of 1e-5.
    """
    variance, mean = torch.var_mean(feature, dim=(2, 3), keepdim=True, correction=0)
    return mean, (variance + 1e-5).sqrt()


def total_variation(image: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels of an image (B, C, H, W)."""
    vertical = (image[:, :, 1:] - image[:, :, :-1]).square().mean()
    horizontal = (image[:, :, :, 1:] - image[:, :, :, :-1]).square().mean()
    return vertical + horizontal
