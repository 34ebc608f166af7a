"""The first eleven layers of torchvision's VGG19 (IMAGENET1K_V1): conv1_1 to conv3_1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ml_models.encoders.vgg import TruncatedVGG

#: Name -> index in torchvision's Sequential.
INDICES = {"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10}
TAPS = tuple(INDICES)


class VGG19First11Layers(TruncatedVGG):
    """TruncatedVGG with torchvision's weights, up to conv3_1."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__((64, 64, 128, 128, 256))
        with torch.no_grad():
            for name, index in INDICES.items():
                convolution = self.convolutions[name]
                convolution.weight.copy_(weights[f"{index}.weight"])  # type: ignore[operator]
                convolution.bias.copy_(weights[f"{index}.bias"])  # type: ignore[operator]
        self.requires_grad_(False)

    def forward(self, image: Tensor, taps: Sequence[str] = TAPS, margin_px: int = 0) -> dict[str, Tensor]:
        """Return the features; by default of the image as it is, as the origin takes them."""
        return super().forward(image, taps, margin_px)
