"""The encoders SE_1..SE_5 and the decoders SD_1..SD_5: VGG19 up to conv5_1, of any widths.

Wang et al. 2020 (arXiv:2003.08436), section 3 and table 1. Images in here are RGB with 0.5 taken off, -0.5..0.5, which
is worth one more bit in bfloat16 and makes what a convolution pads with a middle grey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, max_pool2d, pad

#: VGG19's, as far as the published networks go.
CONVOLUTIONS = (
    "conv1_1",
    "conv1_2",
    "conv2_1",
    "conv2_2",
    "conv3_1",
    "conv3_2",
    "conv3_3",
    "conv3_4",
    "conv4_1",
    "conv4_2",
    "conv4_3",
    "conv4_4",
    "conv5_1",
)
#: Of the packaged networks: half of VGG19's, conv1_1 to conv4_1.
WIDTHS = dict(zip(CONVOLUTIONS, (32, 32, 64, 64, 128, 128, 128, 128, 256), strict=False))
POOLED_BEFORE = frozenset({"conv2_1", "conv3_1", "conv4_1", "conv5_1"})
#: The first four see only a few pixels around and make the largest features: large pictures go through them in tiles.
SHALLOW = ("conv1_1", "conv1_2", "conv2_1", "conv2_2")
STAGES = (5, 4, 3, 2, 1)
GREY = 0.5


def names_of(stage: int) -> tuple[str, ...]:
    """Return the convolutions of SE_stage: conv1_1 to convstage_1."""
    return CONVOLUTIONS[: CONVOLUTIONS.index(f"conv{stage}_1") + 1]


def shrinkage(stage: int) -> int:
    """Return how many pixels wide one position of relu{stage}_1 is: 1, 2, 4, 8 or 16."""
    return 1 << (stage - 1)


class Convolution(nn.Conv2d):
    """3x3, the size kept; edges are padded with zeros, or by reflection as the published networks do it."""

    def __init__(self, inputs: int, outputs: int, *, reflect: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.reflect = reflect

    def forward(self, hidden: Tensor) -> Tensor:
        return self.applied(hidden, self.weight, self.own_bias)

    @property
    def own_bias(self) -> Tensor:
        return cast(Tensor, self.bias)

    def applied(self, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the convolution with another weight and bias in place of its own."""
        if self.reflect:
            # What is one position wide has nothing to be reflected.
            mode = "reflect" if min(hidden.shape[2:]) > 1 else "replicate"
            return conv2d(pad(hidden, (1, 1, 1, 1), mode=mode), weight, bias)
        return conv2d(hidden, weight, bias, padding=1)


def _widths(widths: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    """Yield name, inputs, outputs of an encoder's convolutions."""
    inputs = 3
    for name, outputs in widths.items():
        yield name, inputs, outputs
        inputs = outputs


class Network(nn.Module):
    """Convolutions by name, in the order in which they run."""

    def __init__(self, convolutions: Mapping[str, Convolution]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleDict(convolutions)

    def convolution(self, name: str) -> Convolution:
        return cast(Convolution, self.convolutions[name])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.convolutions)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


class Encoder(Network):
    """Maps an image (B, 3, H, W) to features after the ReLU; H and W are multiples of what it shrinks them by.

    Args:
        widths: its convolutions in their order -> output channels.
        reflect: pad by reflection in every layer.
    """

    def __init__(self, widths: Mapping[str, int] = WIDTHS, *, reflect: bool = False) -> None:
        super().__init__(
            {name: Convolution(inputs, outputs, reflect=reflect) for name, inputs, outputs in _widths(widths)}
        )

    def layers(self, hidden: Tensor, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Run these convolutions one after another and yield (name, feature after the ReLU) of each.

        What comes before a pooling is yielded pooled, for a ReLU of the pooled feature is a quarter of the work. The
        feature yielded is the next layer's input: it is not to be changed.
        """
        for name in names:
            hidden = self.convolution(name)(hidden)
            if _next(name) in POOLED_BEFORE:
                hidden = _pooled(hidden)
            hidden = hidden.relu_()
            yield name, hidden

    def forward(self, image: Tensor, stages: Sequence[int]) -> dict[int, Tensor]:
        """Return {stage: relu{stage}_1 (B, C, H / s, W / s)}, s = shrinkage(stage)."""
        wanted = {f"conv{stage}_1": stage for stage in stages}
        features = self.layers(image, names_of(max(stages)))
        return {wanted[name]: feature for name, feature in features if name in wanted}


class Decoder(Network):
    """Maps relu{stage}_1 (B, C, h, w) to the image (B, 3, h s, w s): the encoder's mirror, nearest upsampling.

    Args:
        widths: of the encoder.
        reflect: pad by reflection in every layer.
        lowest: what the image is clamped to from below; the published decoders end in a ReLU, -0.5 here.
    """

    def __init__(
        self, widths: Mapping[str, int] = WIDTHS, *, reflect: bool = False, lowest: float | None = None
    ) -> None:
        super().__init__(
            {
                name: Convolution(outputs, inputs, reflect=reflect)
                for name, inputs, outputs in reversed(list(_widths(widths)))
            }
        )
        self.lowest = lowest

    def first(self, linear: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the first convolution for features x in place of linear x + offset, not in half.

        Args:
            linear: (C, C). offset: (C).
        """
        convolution = self.convolution(self.names[0])
        exact = torch.promote_types(self.dtype, torch.float32)
        weight, bias = convolution.weight.to(exact), convolution.own_bias.to(exact)
        linear, offset = linear.to(weight), offset.to(weight)
        return torch.einsum("ojhw,ji->oihw", weight, linear), bias + torch.einsum("ojhw,j->o", weight, offset)

    def layers(self, hidden: Tensor, names: Sequence[str], first: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Run these convolutions, the first of them with the weight and bias given.

        Where the encoder pools after a convolution, it is upsampled before its mirror, so that what lies between two
        calls is as small as it can be.
        """
        for name in names:
            if _next(name) in POOLED_BEFORE:
                hidden = interpolate(hidden, scale_factor=2, mode="nearest")
            convolution = self.convolution(name)
            weight, bias = first or (convolution.weight, convolution.own_bias)
            first = None
            hidden = convolution.applied(hidden, weight, bias)
            if name == "conv1_1":
                return hidden if self.lowest is None else hidden.clamp_(min=self.lowest)
            hidden = hidden.relu_()
        return hidden

    def forward(self, feature: Tensor) -> Tensor:
        return self.layers(feature, self.names)


def _pooled(feature: Tensor) -> Tensor:
    """Return the maxima of 2 x 2 positions, an odd last one left out.

    Maxima of views take half the time in channels-last memory, but their gradients are slow.
    """
    if feature.requires_grad or not feature.is_contiguous(memory_format=torch.channels_last):
        return max_pool2d(feature, 2)
    height, width = (side // 2 * 2 for side in feature.shape[2:])
    rows = feature.permute(0, 2, 3, 1)[:, :height, :width]
    rows = torch.maximum(rows[:, 0::2], rows[:, 1::2])
    return torch.maximum(rows[:, :, 0::2], rows[:, :, 1::2]).permute(0, 3, 1, 2)


def _next(name: str) -> str | None:
    place = CONVOLUTIONS.index(name) + 1
    return CONVOLUTIONS[place] if place < len(CONVOLUTIONS) else None
