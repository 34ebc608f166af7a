"""Adaptive instance normalisation and the decoder (Huang and Belongie 2017, arXiv:1703.06868)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu_, linear, pad, silu

from ml_models.adain.statistics import TAPS, Moments, Statistics, moments, scale_and_shift
from ml_models.encoders.vgg import CONVOLUTIONS, POOLED_BEFORE

#: Undone by the decoder, in its order; each of its convolutions is called like the encoder's that it mirrors.
MIRRORED = tuple(reversed(CONVOLUTIONS))
#: The encoder's features that join the decoder's of the same size, by the convolution after which it has this size.
JOINED_AFTER = {"conv4_1": "relu3_1", "conv3_1": "relu2_1", "conv2_1": "relu1_1"}
#: Of the modulated decoder's activations below zero. With none most channels of conv1_2 fell silent in training.
SLOPE = 0.1
#: Values between the statistics and what they do to the decoder.
HIDDEN = 96

#: A scale and a shift of each channel, both (B, C, 1, 1) float32.
Map = tuple[Tensor, Tensor]


def adaptive_instance_normalisation(feature: Tensor, own: Moments, target: Moments) -> Tensor:
    """Return the feature (B, C, H, W), of the moments `own`, with the moments `target`, all (B, C, 1, 1).

    Equation 8 of the paper. Mixing the result with the feature itself (equation 14) or with that of other styles
    (equation 15) is the same as mixing the targets, which takes no pass over the feature.
    """
    return scale_and_shift(feature, *scale_and_shift_from(own, target))


def scale_and_shift_from(own: Moments, target: Moments) -> Map:
    """Return by what a feature of the moments `own` gets the moments `target`."""
    scale = target[1] / own[1]
    return scale, target[0] - own[0] * scale


class Modulation(nn.Module):
    """Turns the style's statistics into a scale and a shift of every channel of the decoder.

    Departing from the paper, whose decoder is told of the style through relu4_1 alone: it is judged by the statistics
    of four layers and here knows them all. Its last map begins with zeros, so that it begins as the paper's decoder.

    Args:
        inputs: means and deviations of all taps.
        outputs: {name of a convolution: its output channels}.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, inputs: int, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.outputs = dict(outputs)
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        self.hidden = nn.Linear(inputs, HIDDEN)
        self.last = nn.Linear(HIDDEN, 2 * sum(outputs.values()))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, statistics: Statistics) -> dict[str, Map]:
        """Return {convolution: what it is to be followed by}."""
        values = (flat(statistics) - self.centre) / self.spread
        hidden = silu(linear(values, self.hidden.weight, self.hidden.bias))
        parts = self.last(hidden)[:, :, None, None].split([2 * width for width in self.outputs.values()], dim=1)
        pairs = (part.chunk(2, dim=1) for part in parts)
        return {name: (1 + scale, shift) for name, (scale, shift) in zip(self.outputs, pairs, strict=True)}


def flat(statistics: Statistics) -> Tensor:
    """Return all values (B, N), tap by tap, means before deviations."""
    return torch.cat([moment.flatten(1) for tap in TAPS for moment in statistics[tap]], dim=1)


class Decoder(nn.Module):
    """Maps features of the encoder, of the style's statistics, to RGB, about 0..1, of 8 times relu4_1's size.

    It computes in the type of the features and in channels-last memory.

    Args:
        widths: output channels of the convolutions that it mirrors, conv1_1 first; at TAPS the encoder's.
        modulated: with Modulation; with the encoder's features of larger sizes joined in, each time brought
            to the style's statistics of that size, which are what it is judged by; and padded with zeros, so that a
            margin is to be cut off. Otherwise as published: relu4_1 alone, padded by reflection.
    """

    def __init__(self, widths: Sequence[int], *, modulated: bool) -> None:
        super().__init__()
        inputs = dict(zip(CONVOLUTIONS, (3, *widths), strict=False))
        outputs = dict(zip(CONVOLUTIONS, widths, strict=True))
        self.convolutions = nn.ModuleDict({name: nn.Conv2d(outputs[name], inputs[name], 3) for name in MIRRORED})
        self.modulation: Modulation | None = None
        self.joins = nn.ModuleDict()
        if modulated:
            taps = {tap: outputs[f"conv{tap[4:]}"] for tap in TAPS}
            self.modulation = Modulation(2 * sum(taps.values()), {name: inputs[name] for name in MIRRORED[:-1]})
            self.joins = nn.ModuleDict({tap: nn.Conv2d(taps[tap], taps[tap], 1) for tap in JOINED_AFTER.values()})

    def forward(self, features: Mapping[str, Tensor], own: Statistics, target: Statistics) -> Tensor:
        """Return the image (B, 3, H, W).

        Args:
            features: of the photo: "relu4_1" (B, C, H / 8, W / 8) and, where modulated, "relu3_1"
                (B, C, H / 4, W / 4), "relu2_1" and "relu1_1".
            own: the photo's statistics.
            target: those that it gets.
        """
        modulated = self.modulation(target) if self.modulation else {}
        hidden = adaptive_instance_normalisation(features["relu4_1"], own["relu4_1"], target["relu4_1"])
        before: Map | None = None
        for name, convolution in self.convolutions.items():
            if not self.modulation:
                hidden = pad(hidden, (1, 1, 1, 1), mode="reflect")
            padding = 1 if self.modulation else 0
            hidden = _convolve(hidden, convolution, padding, before=before, after=modulated.get(name))
            if name != MIRRORED[-1]:
                hidden = leaky_relu_(hidden, SLOPE) if self.modulation else hidden.relu_()
            tap, before = JOINED_AFTER.get(name, ""), None
            if tap in self.joins:
                # Else what grows from layer to layer drowns what is joined in.
                hidden = scale_and_shift(hidden, *scale_and_shift_from(moments(hidden), target[tap]))
            if name in POOLED_BEFORE:
                hidden = interpolate(hidden, scale_factor=2.0, mode="nearest")
            if tap in self.joins:
                to_style = scale_and_shift_from(own[tap], target[tap])
                hidden += _convolve(features[tap], self.joins[tap], before=to_style)
                before = scale_and_shift_from(moments(hidden), target[tap])
        return hidden


def _convolve(
    feature: Tensor, convolution: nn.Module, padding: int = 0, before: Map | None = None, after: Map | None = None
) -> Tensor:
    """Return the convolution of a feature (B, C, H, W) to which the map `before` was applied, and apply `after` to it.

    For one picture without gradients the maps go into the kernel, which spares a pass over the feature for each. The
    shift before is then missing in the padding, which changes a pixel along the edges, in the margin that is cut off.
    """
    weight, bias = cast(Tensor, convolution.weight), cast(Tensor, convolution.bias)
    if len(feature) == 1 and not torch.is_grad_enabled():
        weight, bias = _with_maps(weight.float(), bias.float(), before, after)
        before = after = None
    if before:
        feature = scale_and_shift(feature, *before)
    result = conv2d(feature, weight.to(feature.dtype), bias.to(feature.dtype), padding=padding)
    return scale_and_shift(result, *after) if after else result


def _with_maps(weight: Tensor, bias: Tensor, before: Map | None, after: Map | None) -> tuple[Tensor, Tensor]:
    """Return weight (D, C, h, w) and bias (D) of the convolution between the two maps, each (1, C or D, 1, 1)."""
    if before:
        scale, shift = before
        weight, bias = weight * scale, bias + weight.sum((2, 3)) @ shift.flatten()
    if after:
        scale, shift = (each.flatten() for each in after)
        weight, bias = weight * scale.view(-1, 1, 1, 1), bias * scale + shift
    return weight, bias
