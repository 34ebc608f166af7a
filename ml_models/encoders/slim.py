"""A VGG19 of half the widths, distilled from two VGG19 that were trained apart, with the ways into their spaces.

The 1x1 embeddings follow Collaborative Distillation (Wang et al. 2020, arXiv:2003.08436, section 3.1): the student's
feature times its embedding approximates the teacher's. Departing from it, there are two teachers, for a picture that
one network likes may be noise to another, and the embeddings are kept after training, for the losses are taken in the
teachers' spaces.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ml_models.encoders.vgg import CONVOLUTIONS, TruncatedVGG

#: Half of VGG19's, conv1_1 to conv4_1.
WIDTHS = (32, 32, 64, 64, 128, 128, 128, 128, 256)
#: Taps of the original Oxford VGG19, after the ReLU -> channels there.
OXFORD = {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512}
#: Taps of torchvision's VGG19, before the ReLU, which are the origin's style layers -> channels there.
TORCHVISION = {"conv1_1": 64, "conv1_2": 64, "conv2_1": 128, "conv2_2": 128, "conv3_1": 256}
TEACHER_TAPS = OXFORD | TORCHVISION


def student_tap(teacher_tap: str) -> str:
    """Return the tap of the student that a teacher's tap is embedded from."""
    return f"relu{teacher_tap[4:]}"


class SlimEncoder(TruncatedVGG):
    """The packaged encoder: TruncatedVGG, and embeddings of its features.

    Embedded features are divided by the teacher's root mean square over the training crops, `scales` in the order of
    TEACHER_TAPS.
    """

    scales: Tensor

    def __init__(self) -> None:
        super().__init__(WIDTHS)
        self.register_buffer("scales", torch.ones(len(TEACHER_TAPS)))
        widths = dict(zip(CONVOLUTIONS, WIDTHS, strict=True))
        self.embeddings = nn.ModuleDict(
            {tap: nn.Conv2d(widths[f"conv{tap[4:]}"], channels, 1) for tap, channels in TEACHER_TAPS.items()}
        )

    def embedding(self, teacher_tap: str) -> tuple[Tensor, Tensor]:
        """Return weight (D, C) and bias (D)."""
        embedding = self.embeddings[teacher_tap]
        return embedding.weight[:, :, 0, 0], embedding.bias  # type: ignore[index, return-value]

    def embed(self, teacher_tap: str, feature: Tensor) -> Tensor:
        """Return the teacher's feature (1, C, H, W) that the student's feature at student_tap(teacher_tap) stands for.

        A ReLU follows where one follows the teacher's convolution: a linear map has no way to the zeros that most of
        such a feature consists of.
        """
        weight, bias = self.embedding(teacher_tap)
        embedded = conv2d(feature, weight[:, :, None, None], bias)
        return embedded.relu_() if teacher_tap in OXFORD else embedded


def shapes() -> dict[str, tuple[int, ...]]:
    """Return {name: shape} of what a weights file holds."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in SlimEncoder().state_dict().items()}
