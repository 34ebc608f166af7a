"""Means and deviations of features: what a style is to AdaIN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ml_models.losses import PIECE_VALUES

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


def united(batches: Sequence[Statistics]) -> dict[str, Moments]:
    """Return the statistics (1, C, 1, 1) of all samples of all batches taken as one picture."""
    return {tap: _united([batch[tap] for batch in batches]) for tap in TAPS}


def _united(batches: Sequence[Moments]) -> Moments:
    means, deviations = (torch.cat([batch[index] for batch in batches]) for index in (0, 1))
    mean = means.mean(0, keepdim=True)
    return mean, (deviations.square() + (means - mean).square()).mean(0, keepdim=True).sqrt()


def scale_and_shift(feature: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return feature * scale + shift, in the feature's type; feature (B, C, H, W), the others (B, C, 1, 1) float32."""
    return _ScaleAndShift.apply(feature, scale, shift)  # type: ignore[no-any-return, no-untyped-call]


class _Moments(torch.autograd.Function):
    """Autograd's way there and back makes many passes over float32 copies of the feature: a fifth of a training step.

    Here pieces that stay in the processor's cache are summed in float32, and the way back is one pass.
    """

    @staticmethod
    def forward(ctx: Any, feature: Tensor) -> tuple[Tensor, Tensor]:
        count = feature[0, 0].numel()
        sums = feature.new_zeros(2, *feature.shape[:2], dtype=torch.float32)
        for index, sample in enumerate(feature.permute(0, 2, 3, 1).flatten(1, 2)):
            for piece in sample.split(_rows(feature)):
                values = piece.float()
                sums[0, index] += values.sum(0)
                sums[1, index] += values.square().sum(0)
        mean, square = sums / count
        deviation = ((square - mean.square()).clamp_(min=0) + EPSILON).sqrt_()
        mean, deviation = mean[:, :, None, None], deviation[:, :, None, None]
        ctx.save_for_backward(feature, mean, deviation)
        return mean, deviation

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        feature, mean, deviation = ctx.saved_tensors
        to_mean, to_deviation = (gradient / feature[0, 0].numel() for gradient in gradients)
        scale = to_deviation / deviation
        shift = to_mean - mean * scale
        return torch.addcmul(shift.to(feature.dtype), feature, scale.to(feature.dtype))


class _ScaleAndShift(torch.autograd.Function):
    """Like _Moments, for the same reason."""

    @staticmethod
    def forward(ctx: Any, feature: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(feature, scale)
        return torch.addcmul(shift.to(feature.dtype), feature, scale.to(feature.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        feature, scale = ctx.saved_tensors
        (gradient,) = gradients
        sums = feature.new_zeros(2, *feature.shape[:2], dtype=torch.float32)
        pairs = zip(*(each.permute(0, 2, 3, 1).flatten(1, 2) for each in (feature, gradient)), strict=True)
        for index, (sample, to_sample) in enumerate(pairs):
            rows = _rows(feature)
            for piece, to_piece in zip(sample.split(rows), to_sample.split(rows), strict=True):
                to_values = to_piece.float()
                sums[1, index] += to_values.sum(0)
                sums[0, index] += (to_values * piece).sum(0)
        return gradient * scale.to(gradient.dtype), sums[0, :, :, None, None], sums[1, :, :, None, None]


def _rows(feature: Tensor) -> int:
    return max(1, PIECE_VALUES // feature.shape[1])
