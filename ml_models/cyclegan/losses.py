"""The losses of CycleGAN, and the distance of feature statistics that helps it at the beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, l1_loss, mse_loss

from ml_models.losses import positions_first, second_moment, sums

#: Side of the squares whose mean colour is compared.
STROKE_PX = 8

Statistics = dict[str, tuple[Tensor, Tensor, Tensor]]


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


def statistics(features: Mapping[str, Tensor]) -> Statistics:
    """Return of each tap (1, C, h, w) the Gram matrix (C, C), means and deviations (C), the first divided by h w."""
    found: Statistics = {}
    for tap, feature in features.items():
        flat = positions_first(feature)
        gram, mean = second_moment(flat) / len(flat), sums(flat) / len(flat)
        found[tap] = gram, mean, ((gram.diagonal() - mean.square()).clamp_min(0) + 1e-5).sqrt()
    return found


def statistics_loss(found: Statistics, wanted: Statistics) -> Tensor:
    """Return how far apart two pictures' statistics are.

    Of each tap the squared error of the Gram matrix (Gatys et al. 2016), and that of the means and deviations (Huang
    and Belongie 2017, arXiv:1703.06868, equation 13); averaged over taps. Each is a share of both squares together: 0
    where both agree, 1 where one of them is nothing, never above 2, so that a dark painting does not outweigh others.
    """
    parts: list[Tensor] = []
    for tap, (gram, *moments) in found.items():
        wanted_gram, *wanted_moments = wanted[tap]
        parts += [_share(gram, wanted_gram), _share(torch.cat(moments), torch.cat(wanted_moments))]
    return torch.stack(parts).mean()


def _share(value: Tensor, target: Tensor) -> Tensor:
    both = target.square().sum() + value.detach().square().sum()
    return (value - target).square().sum() / both


def content_loss(feature: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of a feature as a share of the target's variance, each channel's mean left out.

    Means say how bright and what colour a picture is, which is the style's to choose.
    """

    def centred(one: Tensor) -> Tensor:
        return one.float() - one.float().mean(dim=(2, 3), keepdim=True)

    wanted = centred(target.detach())
    return mse_loss(centred(feature), wanted) / (wanted.square().mean() + 1e-6)


def tint_loss(image: Tensor, photo: Tensor) -> Tensor:
    """Return the mean absolute difference of both pictures, RGB in -1..1, seen from so far that strokes merge.

    Statistics alone leave open which part gets which colour, and a mean of all answers is grey.
    """
    return l1_loss(avg_pool2d(image.float(), STROKE_PX), avg_pool2d(photo.float(), STROKE_PX))
