"""VGG19 (Simonyan and Zisserman 2014, arXiv:1409.1556, configuration E) up to conv4_1, of any widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, pad

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

CONVOLUTIONS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4", "conv4_1")
POOLED_BEFORE = frozenset({"conv2_1", "conv3_1", "conv4_1"})
#: Pixels by which a picture is continued beyond its edges: what the paddings of conv1_1 to conv2_2 reach, a multiple of
#: what conv4_1 is smaller by.
MARGIN_PX = 8


def shrinkage(tap: str) -> int:
    """Return how many pixels of the picture one position of a tap stands for: 1, 2, 4 or 8."""
    return 1 << (int(tap[4]) - 1)


class TruncatedVGG(nn.Module):
    """Maps RGB in 0..1, shape (1, 3, H, W), to {tap: feature (1, C, ceil(H / s), ceil(W / s))}, s = shrinkage(tap).

    A tap is a convolution before its ReLU ("conv2_1") or after it ("relu2_1"). It computes in the type of its weights,
    float32 or bfloat16, and in channels-last memory, which is two to three times as fast on a CPU.

    Args:
        widths: output channels of conv1_1, conv1_2, ... as far as the network goes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.convolutions = nn.ModuleDict()
        inputs = 3
        for name, outputs in zip(CONVOLUTIONS, widths, strict=False):
            self.convolutions[name] = nn.Conv2d(inputs, outputs, 3, padding=1)
            inputs = outputs

    def forward(self, image: Tensor, taps: Sequence[str], margin_px: int = MARGIN_PX) -> dict[str, Tensor]:
        """Return the features at the taps, in the network's order.

        Args:
            margin_px: the picture is continued by reflection this far, a multiple of 8, and the features are cut to the
                picture again: padded with zeros, as the network was trained, an edge is a feature of its own and gives
                paintings frames. 0 takes the image as it is.

        Raises:
            KeyError: a tap that the network does not have.
        """
        features = self.raw(with_margin(image, margin_px), taps)
        windows = {tap: window(tap, margin_px, margin_px, image.shape[2], image.shape[3]) for tap in features}
        return {tap: feature[:, :, windows[tap][0], windows[tap][1]] for tap, feature in features.items()}

    def raw(self, image: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Return the features of the image (1, 3, H, W) as it is, edges padded with zeros."""
        hidden = (image - self.mean) / self.std
        return self._onwards(hidden.to(self.dtype, memory_format=torch.channels_last), tuple(self.convolutions), taps)

    def after(self, tap: str, feature: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Return the features at later taps of a feature that it has at a tap "relu…", in the feature's type."""
        names = tuple(self.convolutions)
        names = names[names.index(f"conv{tap[4:]}") + 1 :]
        if names[0] in POOLED_BEFORE:
            feature = max_pool2d(feature, 2, ceil_mode=True)
        return self._onwards(feature, names, taps)

    def _onwards(self, hidden: Tensor, names: Sequence[str], taps: Sequence[str]) -> dict[str, Tensor]:
        wanted = set(taps)
        features: dict[str, Tensor] = {}
        for name, following in zip(names, (*names[1:], ""), strict=True):
            convolution = self.convolutions[name]
            weight, bias = cast(Tensor, convolution.weight), cast(Tensor, convolution.bias)
            hidden = conv2d(hidden, weight.to(hidden.dtype), bias.to(hidden.dtype), padding=1)
            if name in wanted:
                features[name] = hidden
            tap = f"relu{name[4:]}"
            if tap in wanted:
                hidden = features[tap] = hidden.relu() if name in wanted else hidden.relu_()
            if len(features) == len(wanted):
                return features
            pooled = following in POOLED_BEFORE
            if pooled:
                # The same before and after the ReLU, of which there is only a quarter to do after it.
                hidden = max_pool2d(hidden, 2, ceil_mode=True)
            if tap not in wanted:
                hidden = hidden.relu() if name in wanted and not pooled else hidden.relu_()
        raise KeyError(f"no such tap: {sorted(wanted - set(features))}")

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


def with_margin(image: Tensor, margin_px: int) -> Tensor:
    """Return the image (1, 3, H, W) continued by reflection on every side, below and right up to a multiple of 8."""
    if margin_px == 0:
        return image
    height, width = image.shape[2:]
    right, below = margin_px + -width % 8, margin_px + -height % 8
    return pad(image, (margin_px, right, margin_px, below), mode="reflect")


def window(tap: str, top: int, left: int, height: int, width: int) -> tuple[slice, slice]:
    """Return which rows and columns of a tap belong to a rectangle of the picture; top and left are multiples of 8."""
    size = shrinkage(tap)
    rows = slice(top // size, (top + height - 1) // size + 1)
    return rows, slice(left // size, (left + width - 1) // size + 1)
