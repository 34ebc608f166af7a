"""A VGG19 of a quarter of the widths, distilled from the Oxford VGG19, with the way back into its feature space.

The widths and the 1x1 embeddings follow Collaborative Distillation (Wang et al. 2020, arXiv:2003.08436, section 3.1):
the student's feature times its embedding approximates the teacher's feature. Departing from it, a ReLU follows the
embedding, as one follows the teacher's convolution: a linear map has no way to the zeros that most of a teacher's
feature consists of.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ml_models.losses import embedded_gram_matrix

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: (name, input channels, output channels, max pooling before it); torchvision's VGG19 widths divided by four.
LAYERS: tuple[tuple[str, int, int, bool], ...] = (
    ("conv1_1", 3, 16, False),
    ("conv1_2", 16, 16, False),
    ("conv2_1", 16, 32, True),
    ("conv2_2", 32, 32, False),
    ("conv3_1", 32, 64, True),
    ("conv3_2", 64, 64, False),
    ("conv3_3", 64, 64, False),
    ("conv3_4", 64, 64, False),
    ("conv4_1", 64, 128, True),
)

#: Tap -> (student channels, teacher channels).
TAPS: dict[str, tuple[int, int]] = {
    "relu1_1": (16, 64),
    "relu2_1": (32, 128),
    "relu3_1": (64, 256),
    "relu4_1": (128, 512),
}
SHAPES: dict[str, tuple[int, ...]] = {}
for _name, _inputs, _outputs, _ in LAYERS:
    SHAPES[f"convolutions.{_name}.weight"] = (_outputs, _inputs, 3, 3)
    SHAPES[f"convolutions.{_name}.bias"] = (_outputs,)
for _tap, (_student, _teacher) in TAPS.items():
    SHAPES[f"embeddings.{_tap}.weight"] = (_teacher, _student, 1, 1)
    SHAPES[f"embeddings.{_tap}.bias"] = (_teacher,)


class SlimEncoder(nn.Module):
    """Maps an RGB image in 0..1, shape (B, 3, H, W), to the features at the requested taps.

    Edges are padded by reflection at every convolution, so that a picture's border does not become a style of its own.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.convolutions = nn.ModuleDict(
            {
                name: nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")
                for name, inputs, outputs, _ in LAYERS
            }
        )
        self.embeddings = nn.ModuleDict(
            {tap: nn.Conv2d(student, teacher, 1) for tap, (student, teacher) in TAPS.items()}
        )

    def forward(self, image: Tensor, taps: Sequence[str] = tuple(TAPS)) -> dict[str, Tensor]:
        """Return {tap: (B, C, H / 2**k, W / 2**k)} of the student's own features; raise KeyError for an unknown tap."""
        wanted = set(taps)
        unknown = wanted - {f"relu{name[4:]}" for name, *_ in LAYERS}
        if unknown:
            raise KeyError(f"unknown tap {sorted(unknown)}")
        features: dict[str, Tensor] = {}
        hidden = (image - self.mean) / self.std
        for name, _, _, pooled in LAYERS:
            if pooled:
                hidden = nn.functional.max_pool2d(hidden, 2, ceil_mode=True)
            hidden = nn.functional.relu_(self.convolutions[name](hidden))
            tap = f"relu{name[4:]}"
            if tap in wanted:
                features[tap] = hidden
                if len(features) == len(wanted):
                    break
        return features

    def embed(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the approximated teacher's features, scaled to a root mean square of one a layer."""
        return {tap: self.comparable(tap, feature) for tap, feature in features.items()}

    def comparable(self, tap: str, feature: Tensor) -> Tensor:
        """Return what a content loss compares: the approximated teacher's feature, (B, 64..512, H, W)."""
        return nn.functional.relu(self.embeddings[tap](feature))

    def gram(self, tap: str, feature: Tensor) -> Tensor:
        """Return the Gram matrix (64..512, 64..512) of the approximated teacher's feature."""
        embedding = self.embeddings[tap]
        return embedded_gram_matrix(feature, embedding.weight[:, :, 0, 0], embedding.bias)  # type: ignore[arg-type, index]

    def to_channels_last(self) -> SlimEncoder:
        """Return the encoder frozen, in the memory format that is fastest on a CPU."""
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self
