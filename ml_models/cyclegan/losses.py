"""The losses of CycleGAN, and the distance of feature statistics that helps it at the beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from ml_models.losses import positions_first, second_moment, sums


def generator_loss(scores: Sequence[Tensor]) -> Tensor:
    """Return the mean of (D(G(x)) - 1)^2, averaged over the score maps (Zhu et al. 2017, section 4)."""
    return torch.stack([(score.float() - 1).square().mean() for score in scores]).mean()


def discriminator_loss(real: Sequence[Tensor], generated: Sequence[Tensor]) -> Tensor:
    """Return half the mean of (D(y) - 1)^2 plus that of D(G(x))^2; half, as the paper slows the discriminator down."""
    wrong = torch.stack([score.float().square().mean() for score in generated]).mean()
    return 0.5 * (generator_loss(real) + wrong)


def cycle_loss(reconstruction: Tensor, image: Tensor) -> Tensor:
    """Return the mean absolute difference (equation 2), of pictures in -1..1."""
    return l1_loss(reconstruction.float(), image.float())


def statistics_loss(features: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Return how far the statistics of features (1, C, h, w) are from those of the targets.

    Of each tap the squared error of the Gram matrix (Gatys et al. 2016) as a share of the target's own square, and that
    of the means and deviations (Huang and Belongie 2017, arXiv:1703.06868, equation 13) likewise; averaged over taps.
    """
    total: list[Tensor] = []
    for tap, feature in features.items():
        gram, mean, deviation = _statistics(feature)
        with torch.no_grad():
            target_gram, target_mean, target_deviation = _statistics(targets[tap])
        total.append((gram - target_gram).square().sum() / target_gram.square().sum())
        moments = (mean - target_mean).square().sum() + (deviation - target_deviation).square().sum()
        total.append(moments / (target_mean.square().sum() + target_deviation.square().sum()))
    return torch.stack(total).mean()


def _statistics(feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the Gram matrix divided by the positions (C, C), the means (C) and the deviations (C) of (1, C, h, w)."""
    flat = positions_first(feature)
    gram, mean = second_moment(flat) / len(flat), sums(flat) / len(flat)
    return gram, mean, ((gram.diagonal() - mean.square()).clamp_min(0) + 1e-5).sqrt()


def content_loss(feature: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of a feature as a share of the target's variance, each channel's mean left out.

    Means say how bright and what colour a picture is, which is the style's to choose.
    """

    def centred(one: Tensor) -> Tensor:
        return one.float() - one.float().mean(dim=(2, 3), keepdim=True)

    wanted = centred(target.detach())
    return mse_loss(centred(feature), wanted) / (wanted.square().mean() + 1e-6)
