"""Losses that more than one algorithm or benchmark uses: pure functions of features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: Values that a piece of an embedded feature holds, 2 MB: it stays in the processor's cache.
PIECE_VALUES = 1 << 19


def positions_first(feature: Tensor) -> Tensor:
    """Return the positions of a feature (1, C, H, W) as (H W, C); no copy is made of channels-last memory."""
    return feature[0].permute(1, 2, 0).flatten(0, 1)


def gram_matrix(feature: Tensor) -> Tensor:
    """Return the Gram matrix (C, C) of a feature (1, C, H, W), divided by C H W.

    Gatys et al. 2016 (CVPR, equation 3) leave the division to the loss; dividing here makes pictures of different
    sizes comparable.
    """
    flat = positions_first(feature)
    return _Gram.apply(flat) / flat.numel()  # type: ignore[no-any-return, no-untyped-call]


def embedded_gram_matrix(feature: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return gram_matrix(relu(W feature + b)), (D, D), of a feature (1, C, H, W), W (D, C) and b (D).

    The embedded feature is the largest thing of a whole evaluation. Here it never exists as one: each piece of it is
    made, used and made again for the gradient, which takes half the time and a fraction of the memory. The weights
    get no gradient.
    """
    flat = positions_first(feature)
    gram = _EmbeddedGram.apply(flat, weight, bias)  # type: ignore[no-untyped-call]
    return gram / (flat.shape[0] * weight.shape[0])  # type: ignore[no-any-return]


class _Gram(torch.autograd.Function):
    """X^T X of X (N, C). Its gradient X (S + S^T) takes one product where autograd takes two."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        return flat.T @ flat

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (flat,) = ctx.saved_tensors
        return flat @ (gradients[0] + gradients[0].T)  # type: ignore[no-any-return]


class _EmbeddedGram(torch.autograd.Function):
    """E^T E of E = relu(X W^T + b), piece by piece."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(flat, weight, bias)
        gram = flat.new_zeros(weight.shape[0], weight.shape[0])
        for piece in torch.split(flat, max(1, PIECE_VALUES // weight.shape[0])):
            embedded = torch.addmm(bias, piece, weight.T).relu_()
            gram.addmm_(embedded.T, embedded)
        return gram

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        flat, weight, bias = ctx.saved_tensors
        both = gradients[0] + gradients[0].T
        result = torch.empty_like(flat)
        pieces = max(1, PIECE_VALUES // weight.shape[0])
        for piece, out in zip(torch.split(flat, pieces), torch.split(result, pieces), strict=True):
            embedded = torch.addmm(bias, piece, weight.T).relu_()
            # Masked through the comparison, for embedded is not needed any more.
            torch.mm((embedded @ both).mul_(embedded.gt_(0)), weight, out=out)
        return result, None, None


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
