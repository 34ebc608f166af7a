"""The losses of CycleGAN, and those of style, content and tint that help it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, l1_loss

from ml_models.cyclegan.custom_layers import surroundings
from ml_models.losses import positions_first, second_moment, sums

#: Side of the squares whose mean colour is compared.
STROKE_PX = 8

#: {tap: covariance of its channels, (C, C)}
Covariances = dict[str, Tensor]


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


def strokes(image: Tensor) -> Tensor:
    """Return what a picture, RGB in -1..1, differs in from its surroundings: strokes and edges, and no light or colour.

    Compared as a whole, a picture gets the contrast and the hues of the mean painting, at the cost of its own.
    """
    return image.float() - surroundings(image)


def covariances(features: Mapping[str, Tensor]) -> Covariances:
    """Return of each tap (1, C, h, w) the covariance of its channels, (C, C)."""
    found: Covariances = {}
    for tap, feature in features.items():
        flat = positions_first(feature)
        mean = sums(flat) / len(flat)
        found[tap] = second_moment(flat) / len(flat) - torch.outer(mean, mean)
    return found


def style_loss(found: Covariances, wanted: Covariances) -> Tensor:
    """Return how far covariances are from those that are wanted: the squared errors, averaged over taps.

    A Gram matrix (Gatys et al. 2016) is mostly the product of its means, in which strokes hardly count; here means are
    left out. Each error is a share of both squares together: 0 where both agree, 1 where one of them is nothing, never
    above 2, so that a tap or a picture of large values does not outweigh others.
    """
    return torch.stack([_share(found[tap], target) for tap, target in wanted.items()]).mean()


def _share(value: Tensor, target: Tensor) -> Tensor:
    both = target.square().sum() + value.detach().square().sum()
    return (value - target).square().sum() / both


def content_loss(feature: Tensor, target: Tensor) -> Tensor:
    """Return the squared error of a feature as a share of both squares together, each channel's mean left out.

    Means say how bright and what colour a picture is, which is the style's to choose. As a share of the target's alone
    it would forbid all strokes in a bare sky, where the target is next to nothing.
    """

    def centred(one: Tensor) -> Tensor:
        return one.float() - one.float().mean(dim=(2, 3), keepdim=True)

    return _share(centred(feature), centred(target.detach()))


def tint_loss(image: Tensor, photo: Tensor, vividness: float) -> Tensor:
    """Return the mean absolute difference of both pictures, RGB in -1..1, seen from so far that strokes merge.

    Statistics alone leave open which part gets which colour, and a mean of all answers is grey.

    Args:
        vividness: the photo's colours count as so many times as far from grey.
    """
    wanted = avg_pool2d(photo.float(), STROKE_PX)
    grey = wanted.mean(dim=1, keepdim=True)
    wanted = (grey + vividness * (wanted - grey)).clamp(-1, 1)
    return l1_loss(avg_pool2d(image.float(), STROKE_PX), wanted)
