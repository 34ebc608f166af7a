"""The first eleven layers of torchvision's VGG19 (IMAGENET1K_V1): conv1_1 to conv3_1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, relu

from ml_models.losses import gram_matrix

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: (name, index in torchvision's Sequential, max pooling before it)
LAYERS: tuple[tuple[str, int, bool], ...] = (
    ("conv1_1", 0, False),
    ("conv1_2", 2, False),
    ("conv2_1", 5, True),
    ("conv2_2", 7, False),
    ("conv3_1", 10, True),
)
TAPS = tuple(name for name, *_ in LAYERS)


class VGG19First11Layers(nn.Module):
    """Maps an RGB image in 0..1, shape (B, 3, H, W), to features before the ReLU, named conv1_1 to conv3_1."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for key, value in weights.items():
            self.register_buffer(key.replace(".", "_"), value)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor, taps: Sequence[str] = TAPS) -> dict[str, Tensor]:
        """Return {tap: (B, C, H / 2**k, W / 2**k)} for the taps asked for, in the network's order."""
        features: dict[str, Tensor] = {}
        hidden = (image - self.mean) / self.std
        for name, index, pooled in LAYERS:
            if pooled:
                hidden = max_pool2d(hidden, 2)
            weight, bias = self.get_buffer(f"{index}_weight"), self.get_buffer(f"{index}_bias")
            convolved = conv2d(hidden, weight, bias, padding=1)
            if name in taps:
                features[name] = convolved
                if len(features) == len(taps):
                    break
            hidden = relu(convolved)
        return features

    def comparable(self, tap: str, feature: Tensor) -> Tensor:
        """Return what a content loss compares: the feature itself."""
        return feature

    def gram(self, tap: str, feature: Tensor) -> Tensor:
        """Return the Gram matrix (C, C) of the feature."""
        return gram_matrix(feature)
