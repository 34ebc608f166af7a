"""UltraST's stages over a batch of small pictures, with gradients for their decoders.

ml_models/ultrast/cascade.py does the same for one picture of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ml_models.ultrast.custom_layers import Decoder, Encoder, shrinkage
from ml_models.ultrast.settings import SETTINGS
from ml_models.ultrast.wct import Affine, Moments, Transfer, moments_of, transport

MARGIN_PX = SETTINGS.margin_px


class ChannelsLastGradient(torch.autograd.Function):
    """Leaves a tensor as it is, and brings its gradient into channels-last memory.

    Autograd's own way back from a slice or a padding is in the other format, which makes everything after it two to
    three times as slow.
    """

    @staticmethod
    def of(value: Tensor) -> Tensor:
        return ChannelsLastGradient.apply(value)  # type: ignore[no-any-return, no-untyped-call]

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous(memory_format=torch.channels_last)


def extended(image: Tensor, margin_px: int = MARGIN_PX) -> Tensor:
    """Return the image (B, 3, H, W) continued by reflection, as the networks see it."""
    if margin_px == 0:
        return image
    continued = pad(ChannelsLastGradient.of(image), (margin_px,) * 4, mode="reflect")
    return continued.contiguous(memory_format=torch.channels_last)


def inner(stage: int, feature: Tensor, margin_px: int = MARGIN_PX) -> Tensor:
    """Cut the margin off relu{stage}_1 of an extended image, or off the image itself, stage 0."""
    cut = margin_px // shrinkage(max(stage, 1))
    if cut == 0:
        return feature
    return ChannelsLastGradient.of(feature)[:, :, cut:-cut, cut:-cut]


def stylised(
    encoder_of: Callable[[int], Encoder],
    decoder_of: Callable[[int], Decoder],
    contents: Tensor,
    styles: Tensor,
    *,
    stages: Sequence[int] = SETTINGS.stages,
    transfer: Transfer = transport,
    epsilon: float = SETTINGS.epsilon,
    margin_px: int = MARGIN_PX,
    trained: Collection[int] = (),
) -> dict[int, Tensor]:
    """Return {stage: images after it}; contents and styles (B, 3, H, W) around 0, sides multiples of 16.

    Args:
        stages: that the contents go through, in this order.
        trained: the stages whose images have a gradient, each of its own decoder alone. Through several stages it would
            grow with every whitening, until there is nothing but noise in it.
    """
    wanted: dict[int, Moments] = {}
    with torch.no_grad():
        seen = extended(styles, margin_px)
        for encoder in {id(each): each for each in map(encoder_of, stages)}.values():
            its = [stage for stage in stages if encoder_of(stage) is encoder]
            for stage, feature in encoder(seen, its).items():
                wanted[stage] = moments_of(inner(stage, feature, margin_px).double())
    images: dict[int, Tensor] = {}
    image = contents
    for stage in stages:
        with torch.no_grad():
            feature = encoder_of(stage)(extended(image.detach(), margin_px), [stage])[stage]
            found = moments_of(inner(stage, feature, margin_px).double())
            affine = transfer(found, wanted[stage], epsilon)
        with torch.set_grad_enabled(stage in trained):
            image = inner(0, _decoded(decoder_of(stage), feature, affine), margin_px)
        images[stage] = image
    return images


def _decoded(decoder: Decoder, feature: Tensor, affine: Affine) -> Tensor:
    """Return the images of a feature (B, C, h, w) with each picture's own map, which the first convolution takes in."""
    images = []
    for one, linear, offset in zip(torch.split(feature, 1), affine.linear, affine.offset, strict=True):
        with torch.autocast("cpu", enabled=False):
            first = decoder.first(linear, offset)
        images.append(decoder.layers(one, decoder.names, first))
    return torch.cat(images)
