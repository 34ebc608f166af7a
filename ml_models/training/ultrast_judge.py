"""What the Oxford VGG19 says of a painting, as UltraST's training uses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ml_models.encoders.teacher import OxfordVGG19
from ml_models.training.ultrast_cascade import ChannelsLastGradient

#: Of AdaIN (ml_models/losses.py).
VARIANCE_EPSILON = 1e-5


class _Moments(torch.autograd.Function):
    """Mean and variance (B, C) in float32 of a channels-last feature (B, C, H, W) in bfloat16.

    One pass over it each way; autograd makes several, in float32, which took a third of a step.
    """

    @staticmethod
    def forward(ctx: Any, feature: Tensor) -> tuple[Tensor, Tensor]:
        flat = feature.permute(0, 2, 3, 1).flatten(1, 2)
        mean = flat.sum(1, dtype=torch.float32) / flat.shape[1]
        square = torch.linalg.vector_norm(flat, dim=1, dtype=torch.float32).square() / flat.shape[1]
        ctx.save_for_backward(feature, mean)
        return mean, (square - mean.square()).clamp(min=0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        feature, mean = ctx.saved_tensors
        count = feature.shape[2] * feature.shape[3]
        slope = 2 * gradients[1] / count
        constant = gradients[0] / count - slope * mean
        slope, constant = (each.to(feature.dtype)[:, :, None, None] for each in (slope, constant))
        return torch.addcmul(constant, feature, slope)


def mean_and_deviation(feature: Tensor) -> tuple[Tensor, Tensor]:
    """Return both (B, C), float32, of a channels-last feature (B, C, H, W)."""
    mean, variance = _Moments.apply(feature)  # type: ignore[no-untyped-call]
    return mean, (variance + VARIANCE_EPSILON).sqrt()


@dataclass
class Targets:
    """What it sees in photos and in paintings: {tap: feature}, {tap: mean and deviation}."""

    photo: dict[str, Tensor]
    style: dict[str, tuple[Tensor, Tensor]]


class Judge(nn.Module):
    """The losses of AdaIN (Huang and Belongie 2017, arXiv:1703.06868, equations 12 and 13), content at the photo."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.oxford = OxfordVGG19(path).to(torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def targets(self, photos: Tensor, paintings: Tensor) -> Targets:
        photo, painting = self.features(photos), self.features(paintings)
        return Targets(photo, {tap: mean_and_deviation(feature) for tap, feature in painting.items()})

    def losses(self, images: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Return style and content loss (B) of images (B, 3, H, W) in 0..1."""
        features = self.features(images)
        style = torch.zeros(len(images))
        for tap, (mean, deviation) in targets.style.items():
            own_mean, own_deviation = mean_and_deviation(features[tap])
            style = style + (own_mean - mean).square().mean(1) + (own_deviation - deviation).square().mean(1)
        content = features["relu4_1"].float() - targets.photo["relu4_1"].float()
        return style, content.square().mean((1, 2, 3))

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return {tap: feature} in bfloat16 of images (B, 3, H, W) in 0..1."""
        images = ChannelsLastGradient.of(images.contiguous(memory_format=torch.channels_last).to(torch.bfloat16))
        return self.oxford(images)  # type: ignore[no-any-return]
