"""The origin's own problem, solved by this package's optimiser: the same network, losses and start, for comparison.

Gatys's loss as the origin has it: VGG19's first eleven layers with their own zero padding, content conv2_2, style
conv1_1 to conv3_1 before the ReLU, mean squared error of Gram matrices divided by C H W, 1e5 : 1.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ml_models.devices import half_precision
from ml_models.encoders.vgg19 import TAPS, VGG19First11Layers
from ml_models.losses import gram_matrix
from ml_models.nst_gatys.build_style_transfer_model import Evaluation
from ml_models.nst_gatys.optimizer import minimise

CONTENT_TAP = "conv2_2"
STYLE_WEIGHT = 1e5
HISTORY = 50
#: Share of the evaluations made in half precision, where the device has it: twice as fast, and near enough while
#: the loss still falls by more than its rounding.
ROUGH_SHARE = 0.3


class OriginLoss:
    """The origin's loss of a picture (1, 3, H, W), with its gradient."""

    @torch.no_grad()
    def __init__(self, vgg19: VGG19First11Layers, content: Tensor, style: Tensor) -> None:
        self.vgg19 = vgg19
        self.content = vgg19(content, [CONTENT_TAP])[CONTENT_TAP]
        self.grams = {tap: gram_matrix(feature) for tap, feature in vgg19(style, TAPS).items()}

    def __call__(self, image: Tensor) -> Evaluation:
        with torch.enable_grad():
            image = image.detach().requires_grad_(True)
            features = self.vgg19(image, TAPS)
            content = mse_loss(features[CONTENT_TAP].float(), self.content.float())
            style = torch.stack([mse_loss(gram_matrix(features[tap]), gram) for tap, gram in self.grams.items()]).sum()
            total = content + STYLE_WEIGHT * style
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
    """Minimise the origin's loss and return the picture (1, 3, H, W).

    Args:
        content, style: (1, 3, H, W) in 0..1, of one size.
        evaluations: at most.
        on_image: takes the number of evaluations so far and the best picture so far.
    """
    image, before = content, 0
    half = half_precision(content.device)
    rough = round(evaluations * ROUGH_SHARE) if half is not torch.float32 else 0
    for precision, count in ((half, rough), (torch.float32, evaluations - rough)):
        if count == 0:
            continue

        def go_on(used: int, best: Tensor, before: int = before) -> bool:
            on_image(before + used, best)
            return True

        fast = copy.deepcopy(vgg19).to(precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
        minimum = minimise(OriginLoss(fast, content, style), image, count, HISTORY, go_on, (0.0, 1.0))
        image, before = minimum.image, before + minimum.evaluations
    return image
