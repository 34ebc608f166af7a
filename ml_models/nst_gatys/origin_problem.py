"""The origin's own problem, solved by this package's optimiser: the same network, losses and start, for comparison.

Gatys's loss as the origin has it: VGG19's first eleven layers with their own zero padding, content conv2_2, style
conv1_1 to conv3_1 before the ReLU, mean squared error of Gram matrices divided by C H W, 1e5 : 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate, mse_loss

from ml_models.encoders.vgg19 import TAPS, VGG19First11Layers
from ml_models.losses import positions_first, second_moment
from ml_models.nst_gatys.build_style_transfer_model import Evaluation
from ml_models.nst_gatys.optimizer import minimise

CONTENT_TAP = "conv2_2"
STYLE_WEIGHT = 1e5
#: Of the distance by which pixels leave 0..1, which the origin clamps; it measures the clamped picture.
RANGE_WEIGHT = 1e3
#: Sides of the coarser stages, as shares of the full one, and the share of the evaluations that each gets.
STAGES = ((0.5, 0.2), (1.0, 0.8))
HISTORY = 20


class OriginLoss:
    """The origin's loss of a picture (1, 3, H, W), with its gradient."""

    @torch.no_grad()
    def __init__(self, vgg19: VGG19First11Layers, content: Tensor, style: Tensor) -> None:
        self.vgg19 = vgg19
        self.content = vgg19(content, [CONTENT_TAP])[CONTENT_TAP]
        self.grams = {tap: _gram(feature) for tap, feature in vgg19(style, TAPS).items()}

    def __call__(self, image: Tensor) -> Evaluation:
        with torch.enable_grad():
            image = image.detach().requires_grad_(True)
            features = self.vgg19(image, TAPS)
            content = mse_loss(features[CONTENT_TAP], self.content)
            style = torch.stack([mse_loss(_gram(features[tap]), gram) for tap, gram in self.grams.items()]).sum()
            outside = (image - image.clamp(0, 1)).square().mean()
            total = content + STYLE_WEIGHT * style + RANGE_WEIGHT * outside
            (gradient,) = torch.autograd.grad(total, image)
        losses = {"content": content, "style": STYLE_WEIGHT * style, "total": total}
        return Evaluation({name: float(loss.detach()) for name, loss in losses.items()}, gradient)


def solve(
    content: Tensor,
    style: Tensor,
    vgg19: VGG19First11Layers,
    evaluations: int,
    on_image: Callable[[int, Tensor], None],
) -> Tensor:
    """Minimise the origin's loss and return the picture (1, 3, H, W), coarse to fine.

    Args:
        content, style: (1, 3, H, W) in 0..1, of one size.
        evaluations: in all stages together.
        on_image: takes the number of evaluations at full size so far and the best picture of full size.
    """
    image = content
    for scale, share in STAGES:
        size = tuple(round(side * scale) for side in content.shape[2:])
        here = [
            picture if scale == 1 else interpolate(picture, size=size, mode="bilinear", antialias=True)
            for picture in (content, style)
        ]
        image = interpolate(image, size=size, mode="bicubic") if image.shape[2:] != here[0].shape[2:] else image

        def go_on(used: int, best: Tensor, full: bool = scale == 1) -> bool:
            if full:
                on_image(used, best)
            return True

        loss = OriginLoss(vgg19, here[0], here[1])
        image = minimise(loss, image, round(evaluations * share), HISTORY, go_on).image
    return image


def _gram(feature: Tensor) -> Tensor:
    flat = positions_first(feature)
    return second_moment(flat) / flat.numel()
