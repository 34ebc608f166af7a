"""Features of a photo at the mean and the covariance of a style's: one matrix and one vector for a whole picture.

Whitening and colouring (WCT) is of Li et al. 2017 (arXiv:1705.08086, section 3.2). Of the linear maps that reach the
style's covariance it takes one; the transport of Lu et al. 2019 (arXiv:1906.00668, equation 12) is the one that moves
the features least, so that more of the photo is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Positions whose products are summed in float32 before they are added up in float64.
PIECE_POSITIONS = 8192


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean (..., C) and covariance (..., C, C) of features over the positions of a picture."""

    mean: Tensor
    covariance: Tensor

    def regular(self, epsilon: float) -> Tensor:
        """Return the covariance with epsilon of its mean eigenvalue on the diagonal: it has an inverse then."""
        size = self.covariance.shape[-1]
        level = self.covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        # A picture of one colour has no covariance at all.
        return self.covariance + (epsilon * level + 1e-12) * torch.eye(size).to(self.covariance)


class MomentSums:
    """Moments of a picture that is seen in parts: sums add up, whatever the parts are."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: Tensor | float = 0.0
        self._products: Tensor | float = 0.0

    def add(self, feature: Tensor) -> None:
        """Count in all positions of a feature (1, C, h, w) of any type."""
        height, width = feature.shape[2:]
        for rows in torch.split(feature.permute(0, 2, 3, 1)[0], max(1, PIECE_POSITIONS // width)):
            exact = rows.reshape(-1, rows.shape[-1]).to(torch.promote_types(rows.dtype, torch.float32))
            self._sum = self._sum + exact.sum(0).double()
            self._products = self._products + (exact.T @ exact).double()
        self.count += height * width

    def moments(self) -> Moments:
        """Return them in float64, where what is left of the products less the mean is exact enough."""
        mean = torch.as_tensor(self._sum) / self.count
        return Moments(mean, torch.as_tensor(self._products) / self.count - torch.outer(mean, mean))


def moments_of(feature: Tensor) -> Moments:
    """Return the moments (B, C) and (B, C, C) of each feature of a batch (B, C, h, w)."""
    flat = feature.flatten(2)
    mean = flat.mean(2)
    centred = flat - mean[:, :, None]
    return Moments(mean, centred @ centred.mT / flat.shape[2])


@dataclass(frozen=True, slots=True)
class Affine:
    """x -> linear x + offset of a feature's channels, (..., C, C) and (..., C)."""

    linear: Tensor
    offset: Tensor

    def __call__(self, feature: Tensor) -> Tensor:
        """Return the feature (B, C, h, w) mapped, in its own type."""
        flat = self.linear.to(feature) @ feature.flatten(2) + self.offset.to(feature)[..., None]
        return flat.view(feature.shape)

    def at_strength(self, strength: float) -> Affine:
        """Return the map that goes this share, 0..1, of the way from leaving features as they are."""
        same = torch.eye(self.linear.shape[-1]).to(self.linear)
        return Affine(torch.lerp(same, self.linear, strength), strength * self.offset)


Transfer = Callable[[Moments, Moments, float], Affine]


def whitening_colouring(content: Moments, style: Moments, epsilon: float) -> Affine:
    """Return the map of content features: whitened, then coloured: S^(1/2) C^(-1/2), C and S the covariances."""
    whitening = _power(content.regular(epsilon), -0.5)
    return _affine(_power(style.regular(epsilon), 0.5) @ whitening, content, style)


def transport(content: Moments, style: Moments, epsilon: float) -> Affine:
    """Return the map that moves features least: C^(-1/2) (C^(1/2) S C^(1/2))^(1/2) C^(-1/2)."""
    values, vectors = torch.linalg.eigh(content.regular(epsilon))
    roots = values.clamp(min=1e-12).sqrt()
    root = vectors * roots[..., None, :] @ vectors.mT
    inverse = vectors / roots[..., None, :] @ vectors.mT
    between = _power(root @ style.regular(epsilon) @ root, 0.5)
    return _affine(inverse @ between @ inverse, content, style)


def mixed(maps: Sequence[Affine], shares: Sequence[float]) -> Affine:
    """Return the mean of the maps, weighted: what they make of a feature is mixed in these shares."""
    pairs = list(zip(maps, shares, strict=True))
    linear = torch.stack([share * each.linear for each, share in pairs]).sum(0)
    return Affine(linear, torch.stack([share * each.offset for each, share in pairs]).sum(0))


def _affine(linear: Tensor, content: Moments, style: Moments) -> Affine:
    return Affine(linear, style.mean - (linear @ content.mean[..., None])[..., 0])


def _power(symmetric: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(symmetric)
    result: Tensor = vectors * values.clamp(min=1e-12).pow(exponent)[..., None, :] @ vectors.mT
    return result
