"""What AdaIN's decoder begins with: each layer undoes the encoder's as well as least squares can.

From random values a decoder that is pressed to match statistics before it knows forms learns a relief of strokes that
covers every photo alike. Behind this it knows forms from the first step.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu
from tqdm import tqdm

from ml_models.adain.custom_layers import JOINED_AFTER, MIRRORED, SLOPE, Decoder, scale_and_shift_from
from ml_models.adain.statistics import moments, scale_and_shift
from ml_models.encoders.vgg import TruncatedVGG
from ml_models.training.least_squares import EDGE_PX, Samples

#: Taps of the encoder that are undone.
SEEN = ("relu1_1", "relu2_1", "relu2_2", "relu3_1", "relu4_1")


def set_random(decoder: Decoder) -> None:
    """Set what is not solved for, and random values elsewhere."""
    for convolution in decoder.convolutions.values():
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # type: ignore[arg-type]
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    for tap, join in decoder.joins.items():
        # What is joined in is at first the normalised feature itself: forms are there from the start. The pixels' own
        # layer begins with nothing, for as long as it gives all forms, nothing deeper learns to.
        (nn.init.zeros_ if tap == "relu1_1" else nn.init.dirac_)(join.weight)  # type: ignore[arg-type]
        nn.init.zeros_(join.bias)  # type: ignore[arg-type]
    last = decoder.convolutions["conv1_1"]
    with torch.no_grad():
        last.weight.mul_(0.1)  # type: ignore[operator]
        last.bias.fill_(0.5)  # type: ignore[operator]


@torch.no_grad()
def solve(decoder: Decoder, encoder: TruncatedVGG, crops: list[Tensor]) -> None:
    """Give the decoder's convolutions, one after the other, the weights that bring them nearest to what is wanted.

    Every other crop is decoded from relu4_1 alone, and the others with the features joined in.

    Args:
        encoder: in half precision.
        crops: RGB 0..1, (1, 3, H, W), sizes multiples of 8.
    """
    seen = [encoder.raw(crop, SEEN) for crop in tqdm(crops, desc="seeing", unit="crop")]
    decoded = [features["relu4_1"] for features in seen]
    for name in tqdm(MIRRORED, desc="solving", unit="layer"):
        convolution = cast(nn.Conv2d, decoder.convolutions[name])
        samples = Samples(convolution.in_channels, convolution.out_channels)
        generator = torch.Generator().manual_seed(0)
        for crop, features, hidden in zip(crops, seen, decoded, strict=True):
            edge = EDGE_PX * hidden.shape[2] // crop.shape[2]
            samples.add(hidden, wanted(name, features, crop), edge, generator)
        for parameter, value in zip((convolution.weight, convolution.bias), samples.solution(), strict=True):
            cast(Tensor, parameter).copy_(value)
        for index, features in enumerate(seen):
            hidden = conv2d(decoded[index].float(), convolution.weight, convolution.bias, padding=1)
            decoded[index] = _onwards(decoder, name, hidden, features, joined=index % 2 == 1).to(encoder.dtype)


def wanted(name: str, seen: dict[str, Tensor], image: Tensor) -> Tensor:
    """Return what a convolution of the decoder is to give of a picture that is to come out as it is, (1, D, H, W)."""

    def whole(tap: str) -> Tensor:
        return seen[tap].float()

    def halved(tap: str) -> Tensor:
        return avg_pool2d(whole(tap), 2)

    match name:
        case "conv4_1":
            return halved("relu3_1")
        case "conv3_4":
            return whole("relu3_1")
        case "conv3_3" | "conv3_2":
            # Between them the encoder's channels are fewer; the rest tells what pooling loses.
            mean = halved("relu2_1")
            variance = avg_pool2d(whole("relu2_1").square(), 2) - mean.square()
            return torch.cat([halved("relu2_2"), mean, variance.clamp_min(0).sqrt()], dim=1)
        case "conv3_1":
            return halved("relu2_1")
        case "conv2_2":
            return whole("relu2_1")
        case "conv2_1":
            return halved("relu1_1")
        case "conv1_2":
            return whole("relu1_1")
        case _:
            return image


def _onwards(decoder: Decoder, name: str, hidden: Tensor, seen: dict[str, Tensor], *, joined: bool) -> Tensor:
    """Return what the decoder makes of a convolution's output (1, D, H, W) where the picture's style is its own."""
    if name != MIRRORED[-1]:
        hidden = leaky_relu(hidden, SLOPE)
    if name not in JOINED_AFTER:
        return hidden
    tap = JOINED_AFTER[name]
    own = moments(seen[tap])
    hidden = scale_and_shift(hidden, *scale_and_shift_from(moments(hidden), own))
    hidden = interpolate(hidden, scale_factor=2.0, mode="nearest")
    if joined:
        hidden += conv2d(seen[tap].float(), cast(Tensor, decoder.joins[tap].weight))
    return scale_and_shift(hidden, *scale_and_shift_from(moments(hidden), own))
