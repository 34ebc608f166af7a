"""Means and deviations of features: what a style is to AdaIN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import batch_norm

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
#: Added to the variance, as in the paper's program.
EPSILON = 1e-5

#: Mean and standard deviation of each channel, both (B, C, 1, 1) float32.
Moments = tuple[Tensor, Tensor]
#: Tap -> its moments.
Statistics = Mapping[str, Moments]


def moments(feature: Tensor) -> Moments:
    """Return mean and deviation (arXiv:1703.06868, equations 5 to 7) of a feature (B, C, H, W), summed in float32."""
    mean, deviation = _Moments.apply(feature)  # type: ignore[no-untyped-call]
    return mean, deviation


def statistics_of(features: Mapping[str, Tensor]) -> dict[str, Moments]:
    return {tap: moments(features[tap]) for tap in TAPS}


def mixed(statistics: Sequence[Statistics], shares: Sequence[float | Tensor]) -> dict[str, Moments]:
    """Return the mixture; shares are numbers or (B, 1, 1, 1), and add up to 1."""
    return {
        tap: (
            sum((share * one[tap][0] for one, share in zip(statistics, shares, strict=True)), torch.zeros(())),
            sum((share * one[tap][1] for one, share in zip(statistics, shares, strict=True)), torch.zeros(())),
        )
        for tap in statistics[0]
    }


def scale_and_shift(feature: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return feature * scale + shift, in the feature's type; feature (B, C, H, W), the others (B, C, 1, 1) float32.

    To a batch normalisation these are weight and bias, and of all ways on a CPU it is the fastest, there and back.
    """
    nothing, one = shift.new_zeros(feature.shape[1]), shift.new_ones(feature.shape[1])
    samples = zip(torch.split(feature, 1), scale.flatten(1), shift.flatten(1), strict=True)
    parts = [batch_norm(sample, nothing, one, weight, bias, eps=0.0) for sample, weight, bias in samples]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class _Moments(torch.autograd.Function):
    """Autograd's way there and back makes many passes over float32 copies of the feature: a fifth of a training step.

    Here the statistics are those of a batch normalisation of each sample, and the way back is one pass.
    """

    @staticmethod
    def forward(ctx: Any, feature: Tensor) -> tuple[Tensor, Tensor]:
        variance, mean = _variance_and_mean(feature)
        mean, deviation = mean[:, :, None, None], (variance + EPSILON).sqrt_()[:, :, None, None]
        ctx.save_for_backward(feature, mean, deviation)
        return mean, deviation

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        feature, mean, deviation = ctx.saved_tensors
        to_mean, to_deviation = (gradient / feature[0, 0].numel() for gradient in gradients)
        scale = to_deviation / deviation
        shift = to_mean - mean * scale
        return scale_and_shift(feature, scale, shift)


def _variance_and_mean(feature: Tensor) -> tuple[Tensor, Tensor]:
    """Return both (B, C) float32."""
    if feature.device.type != "cpu":
        return torch.var_mean(feature.float(), dim=(2, 3), correction=0)
    variance, mean = feature.new_zeros(2, *feature.shape[:2], dtype=torch.float32)
    for index, sample in enumerate(torch.split(feature, 1)):
        # The running statistics, which nobody asks for, make it compute in float32.
        running = mean[index].clone(), variance[index].clone()
        mean[index], variance[index] = torch.batch_norm_update_stats(sample, *running, 0.0)
    return variance, mean
