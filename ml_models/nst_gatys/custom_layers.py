"""Losses against fixed targets, as modules that return their score."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ml_models.losses import gram_matrix


class ContentLoss(nn.Module):
    """Mean squared error against the photo's feature (B, C, H, W). Does not include Gatys's factor 1/2."""

    target: Tensor

    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self.register_buffer("target", target)

    def forward(self, feature: Tensor) -> Tensor:
        return mse_loss(feature, self.target)


class StyleLoss(nn.Module):
    """Mean squared error of Gram matrices against the weighted mean of the styles'."""

    target: Tensor

    def __init__(self, features: list[Tensor], weights: list[float]) -> None:
        super().__init__()
        self.register_buffer("target", weighted_mean([gram_matrix(feature) for feature in features], weights))

    def forward(self, feature: Tensor) -> Tensor:
        return mse_loss(gram_matrix(feature), self.target)


class EmbeddedContentLoss(nn.Module):
    """Squared distance from the photo's feature, measured after the 1x1 embedding, relative to the photo's variance.

    With the embedding W, |W d|^2 = d^T (W^T W) d: the teacher's space costs a matrix of the student's size.
    """

    target: Tensor
    metric: Tensor
    scale: Tensor

    def __init__(self, target: Tensor, embedding: nn.Conv2d) -> None:
        super().__init__()
        weight = embedding.weight.detach().flatten(1)
        metric = weight.T @ weight
        deviation = (target - target.mean(dim=(2, 3), keepdim=True)).permute(0, 2, 3, 1)
        self.register_buffer("target", target)
        self.register_buffer("metric", metric)
        self.register_buffer("scale", ((deviation @ metric) * deviation).sum(-1).mean().clamp_min(1e-6))

    def forward(self, feature: Tensor) -> Tensor:
        difference = (feature - self.target).permute(0, 2, 3, 1)
        return ((difference @ self.metric) * difference).sum(-1).mean() / self.scale


class EmbeddedStyleLoss(nn.Module):
    """Squared error of Gram matrices in the teacher's space, relative to the style's own Gram matrix there.

    The embedding is affine, W f + b. With f extended by a constant one and W' = [W b], the teacher's Gram matrix is
    W' G W'^T of the student's extended Gram matrix G, and the squared norm of a difference D is
    tr(D K D K) with K = W'^T W'.
    """

    target: Tensor
    metric: Tensor
    scale: Tensor

    def __init__(self, features: list[Tensor], weights: list[float], embedding: nn.Conv2d) -> None:
        super().__init__()
        bias = embedding.bias
        assert bias is not None  # noqa: S101 - the slim encoder's embeddings have one
        extended = torch.cat([embedding.weight.detach().flatten(1), bias.detach().unsqueeze(1)], dim=1)
        target = weighted_mean([extended_gram(feature) for feature in features], weights)
        self.register_buffer("metric", extended.T @ extended)
        self.register_buffer("target", target)
        self.register_buffer("scale", self._squared_norm(target))

    def _squared_norm(self, difference: Tensor) -> Tensor:
        product = difference @ self.metric
        return (product * product.transpose(1, 2)).sum()

    def forward(self, feature: Tensor) -> Tensor:
        return self._squared_norm(extended_gram(feature) - self.target) / self.scale


def extended_gram(feature: Tensor) -> Tensor:
    """Return the Gram matrix (B, C + 1, C + 1) of a feature extended by a constant one, divided by H W."""
    channels = feature.shape[1]
    gram = gram_matrix(feature) * channels
    mean = feature.mean(dim=(2, 3)).unsqueeze(2)
    one = torch.ones_like(mean[:, :1])
    return torch.cat([torch.cat([gram, mean], dim=2), torch.cat([mean.transpose(1, 2), one], dim=2)], dim=1)


def weighted_mean(values: list[Tensor], weights: list[float]) -> Tensor:
    total = sum(weights)
    return torch.stack([value * (weight / total) for value, weight in zip(values, weights, strict=True)]).sum(0)
