"""The original Oxford VGG19 up to relu4_1: the teacher in training and the judge in benchmarks, never packaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

#: Index in the reflection-padded Sequential of pytorch-AdaIN -> name; index 0 is a 1x1 convolution of the colours.
CONVOLUTIONS: dict[int, str] = {
    2: "conv1_1",
    5: "conv1_2",
    9: "conv2_1",
    12: "conv2_2",
    16: "conv3_1",
    19: "conv3_2",
    22: "conv3_3",
    25: "conv3_4",
    29: "conv4_1",
}
POOLED_BEFORE = frozenset({"conv2_1", "conv3_1", "conv4_1"})


class OxfordVGG19(nn.Module):
    """Maps RGB in 0..1, shape (B, 3, H, W), to {tap: feature}, before a ReLU ("conv2_1") or after it ("relu2_1")."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        weights = load_file(path)
        self.colours = nn.Conv2d(3, 3, 1)
        self.convolutions = nn.ModuleDict()
        with torch.no_grad():
            self.colours.weight.copy_(weights["0.weight"])
            self.colours.bias.copy_(weights["0.bias"])  # type: ignore[union-attr]
            for index, name in CONVOLUTIONS.items():
                weight = weights[f"{index}.weight"]
                convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, padding_mode="reflect")
                convolution.weight.copy_(weight)
                convolution.bias.copy_(weights[f"{index}.bias"])  # type: ignore[union-attr]
                self.convolutions[name] = convolution
        self.requires_grad_(False)

    def forward(
        self, image: Tensor, taps: Sequence[str] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    ) -> dict[str, Tensor]:
        """Return {tap: (B, C, H / 2**k, W / 2**k)}."""
        features: dict[str, Tensor] = {}
        hidden = self.colours(image)
        for name, convolution in self.convolutions.items():
            if name in POOLED_BEFORE:
                hidden = nn.functional.max_pool2d(hidden, 2, ceil_mode=True)
            convolved = convolution(hidden)
            hidden = nn.functional.relu(convolved)
            found = {name: convolved, f"relu{name[4:]}": hidden}
            features |= {tap: feature for tap, feature in found.items() if tap in taps}
        return features
