"""Adaptive instance normalisation and the decoder (Huang and Belongie 2017, arXiv:1703.06868)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, linear, pad, silu

from ml_models.adain.statistics import TAPS, Moments, Statistics, moments, scale_and_shift
from ml_models.encoders.vgg import CONVOLUTIONS, POOLED_BEFORE

#: Undone by the decoder, in its order; each of its convolutions is called like the encoder's that it mirrors.
MIRRORED = tuple(reversed(CONVOLUTIONS))
#: The encoder's features that join the decoder's of the same size, by the convolution after which it has this size.
JOINED_AFTER = {"conv4_1": "relu3_1", "conv3_1": "relu2_1", "conv2_1": "relu1_1"}
#: The features that are decoded, the deepest first.
DECODED = ("relu4_1", *JOINED_AFTER.values())
#: Values between the statistics and what they do to the decoder.
HIDDEN = 128


def adaptive_instance_normalisation(feature: Tensor, own: Moments, target: Moments) -> Tensor:
    """Return the feature (B, C, H, W), of the moments `own`, with the moments `target`, all (B, C, 1, 1).

    Equation 8 of the paper. Mixing the result with the feature itself (equation 14) or with that of other styles
    (equation 15) is the same as mixing the targets, which takes no pass over the feature.
    """
    scale = target[1] / own[1]
    shift = target[0] - own[0] * scale
    return scale_and_shift(feature, scale, shift)


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

    def forward(self, statistics: Statistics) -> dict[str, tuple[Tensor, Tensor]]:
        """Return {convolution: (scale, shift)}, both (B, C, 1, 1) float32."""
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
        widths: output channels of the encoder's convolutions, conv1_1 first.
        modulated: with Modulation; with the encoder's features of larger sizes joined in, each time brought to the
            style's statistics of that size, which are what it is judged by; and padded with zeros, so that a margin is
            to be cut off. Otherwise as published: relu4_1 alone, padded by reflection.
    """

    def __init__(self, widths: Sequence[int], *, modulated: bool) -> None:
        super().__init__()
        inputs = dict(zip(CONVOLUTIONS, (3, *widths), strict=False))
        outputs = dict(zip(CONVOLUTIONS, widths, strict=True))
        self.convolutions = nn.ModuleDict({name: nn.Conv2d(outputs[name], inputs[name], 3) for name in MIRRORED})
        #: What forward takes.
        self.taps = DECODED if modulated else DECODED[:1]
        self.modulation: Modulation | None = None
        self.joins = nn.ModuleDict()
        if modulated:
            taps = {tap: outputs[f"conv{tap[4:]}"] for tap in TAPS}
            self.modulation = Modulation(2 * sum(taps.values()), {name: inputs[name] for name in MIRRORED[:-1]})
            self.joins = nn.ModuleDict({tap: nn.Conv2d(taps[tap], taps[tap], 1) for tap in JOINED_AFTER.values()})

    def forward(self, features: Mapping[str, Tensor], statistics: Statistics | None = None) -> Tensor:
        """Return the image (B, 3, H, W).

        Args:
            features: "relu4_1" (B, C, H / 8, W / 8), and where modulated "relu3_1" (B, C, H / 4, W / 4) and "relu2_1".
            statistics: of the style, float32, where modulated.
        """
        hidden = features["relu4_1"]
        modulated: dict[str, Moments] = {}
        joined: dict[str, Moments] = {}
        if self.modulation and statistics:
            modulated = self.modulation(statistics)
            joined = {name: statistics[tap] for name, tap in JOINED_AFTER.items()}
        for name, convolution in self.convolutions.items():
            if not self.modulation:
                hidden = pad(hidden, (1, 1, 1, 1), mode="reflect")
            hidden = _convolve(hidden, convolution, padding=1 if self.modulation else 0)
            if name in modulated:
                hidden = scale_and_shift(hidden, *modulated[name])
            if name != MIRRORED[-1]:
                hidden = hidden.relu_()
            if name in POOLED_BEFORE:
                hidden = interpolate(hidden, scale_factor=2.0, mode="nearest")
            if name in joined:
                tap, target = JOINED_AFTER[name], joined[name]
                hidden += _convolve(features[tap], self.joins[tap])
                hidden = adaptive_instance_normalisation(hidden, moments(hidden), target)
        return hidden


def _convolve(feature: Tensor, convolution: nn.Module, padding: int = 0) -> Tensor:
    weight: Tensor = convolution.weight.to(feature.dtype)  # type: ignore[assignment]
    bias: Tensor = convolution.bias.to(feature.dtype)  # type: ignore[assignment]
    return conv2d(feature, weight, bias, padding=padding)
