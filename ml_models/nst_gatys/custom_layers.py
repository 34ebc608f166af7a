"""Losses against fixed targets, as modules that return their score."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss


class ContentLoss(nn.Module):
    """Mean squared error against the photo's feature (B, C, H, W). Does not include Gatys's factor 1/2.

    relative: divided by the variance of the photo's feature, so that layers and encoders become comparable.
    """

    target: Tensor
    scale: Tensor

    def __init__(self, target: Tensor, *, relative: bool = False) -> None:
        super().__init__()
        variance = target.var(dim=(2, 3), correction=0).mean().clamp_min(1e-6)
        self.register_buffer("target", target)
        self.register_buffer("scale", variance if relative else torch.ones_like(variance))

    def forward(self, feature: Tensor) -> Tensor:
        return mse_loss(feature, self.target) / self.scale


class StyleLoss(nn.Module):
    """Mean squared error of a Gram matrix (C, C) against the weighted mean of the styles'.

    relative: divided by the mean square of the target, so that 1.0 is the loss of a picture without any feature.
    """

    target: Tensor
    scale: Tensor

    def __init__(self, grams: list[Tensor], weights: list[float], *, relative: bool = False) -> None:
        super().__init__()
        target = weighted_mean(grams, weights)
        size = target.square().mean().clamp_min(1e-12)
        self.register_buffer("target", target)
        self.register_buffer("scale", size if relative else torch.ones_like(size))

    def forward(self, gram: Tensor) -> Tensor:
        return mse_loss(gram, self.target) / self.scale


def weighted_mean(values: list[Tensor], weights: list[float]) -> Tensor:
    """Return the sum of the values, each times its share of the weights."""
    total = sum(weights)
    return torch.stack([value * (weight / total) for value, weight in zip(values, weights, strict=True)]).sum(0)
