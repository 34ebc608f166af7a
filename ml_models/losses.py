"""Losses and statistics that more than one algorithm or benchmark uses: pure functions of features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: Values that a piece of a feature holds: 1 to 2 MB, which stays in the processor's cache.
PIECE_VALUES = 1 << 19


def positions_first(feature: Tensor, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
    """Return the positions of a part of a feature (1, C, H, W) as (h w, C), contiguous.

    Channels-last memory in, channels-last gradient out: autograd's own way back from a slice is in the other format,
    which makes everything after it three times as slow.
    """
    return _PositionsFirst.apply(feature, rows, columns)  # type: ignore[no-any-return, no-untyped-call]


def gram_matrix(feature: Tensor) -> Tensor:
    """Return the Gram matrix (C, C), float32, of a feature (1, C, H, W), divided by C H W.

    Gatys et al. 2016 (CVPR, equation 3) leave the division to the loss; dividing here makes pictures of different
    sizes comparable.
    """
    flat = positions_first(feature)
    return second_moment(flat) / flat.numel()


def second_moment(flat: Tensor) -> Tensor:
    """Return X^T X (C, C) in float32 of X (N, C), float32 or bfloat16."""
    return _SecondMoment.apply(flat)  # type: ignore[no-any-return, no-untyped-call]


def sums(flat: Tensor) -> Tensor:
    """Return the sum of each column (C) in float32 of X (N, C), float32 or bfloat16."""
    return _Sums.apply(flat)  # type: ignore[no-any-return, no-untyped-call]


def embedded_second_moment(flat: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return E^T E (D, D) in float32 of E = relu(X W^T + b), X (N, C), W (D, C), b (D).

    The embedded feature is the largest thing of a whole evaluation. Here it never exists as one: each piece of it is
    made, used and made again for the gradient, which takes half the time and a fraction of the memory. W and b get no
    gradient.
    """
    return _EmbeddedSecondMoment.apply(flat, weight, bias)  # type: ignore[no-any-return, no-untyped-call]


class _PositionsFirst(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feature: Tensor, rows: slice, columns: slice) -> Tensor:
        ctx.shape, ctx.rows, ctx.columns = feature.shape, rows, columns
        return feature.permute(0, 2, 3, 1)[0, rows, columns].reshape(-1, feature.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        _, channels, height, width = ctx.shape
        whole = gradients[0].new_zeros(1, height, width, channels)
        part = whole[0, ctx.rows, ctx.columns]
        part.copy_(gradients[0].view(part.shape))
        return whole.permute(0, 3, 1, 2), None, None


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.like = flat.new_empty(())
        ctx.rows = len(flat)
        total = torch.zeros(flat.shape[1], device=flat.device)
        for piece in torch.split(flat, _piece_rows(flat.shape[1])):
            total += piece.sum(0, dtype=torch.float32)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].to(ctx.like.dtype).expand(ctx.rows, -1)


class _SecondMoment(torch.autograd.Function):
    """Its gradient X (S + S^T) takes one product where autograd takes two. Sums of pieces are kept in float32."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        moment = torch.zeros(flat.shape[1], flat.shape[1], device=flat.device)
        for piece in torch.split(flat, _piece_rows(flat.shape[1])):
            moment += piece.T @ piece
        return moment

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        flat: Tensor = ctx.saved_tensors[0]
        return flat @ _both(gradients[0], flat)


class _EmbeddedSecondMoment(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, flat: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(flat, weight, bias)
        moment = torch.zeros(weight.shape[0], weight.shape[0], device=flat.device)
        for piece in torch.split(flat, _piece_rows(weight.shape[0])):
            embedded = torch.addmm(bias, piece, weight.T).relu_()
            moment += embedded.T @ embedded
        return moment

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        flat, weight, bias = ctx.saved_tensors
        both = _both(gradients[0], flat)
        result = torch.empty_like(flat)
        rows = _piece_rows(weight.shape[0])
        for piece, out in zip(torch.split(flat, rows), torch.split(result, rows), strict=True):
            embedded = torch.addmm(bias, piece, weight.T).relu_()
            # Masked through the comparison, for embedded is not needed any more.
            torch.mm((embedded @ both).mul_(embedded.gt_(0)), weight, out=out)
        return result, None, None


def _piece_rows(channels: int) -> int:
    return max(1, PIECE_VALUES // channels)


def _both(gradient: Tensor, like: Tensor) -> Tensor:
    return (gradient + gradient.T).to(like.dtype)


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
