"""One picture of any size through the stages: features to the style's statistics, and back to a picture.

The two largest sizes of features exist only tile by tile; the deeper ones, which are small, for the whole picture at
once. Statistics are those of the whole picture, so tiles know no seams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ml_models.contract import ShouldStop, never
from ml_models.ultrast.canvas import Canvas, Tile
from ml_models.ultrast.custom_layers import GREY, SHALLOW, STAGES, Decoder, Encoder, names_of
from ml_models.ultrast.settings import SETTINGS
from ml_models.ultrast.wct import Affine, Moments, MomentSums, Transfer, mixed

#: The first stage whose features exist for the whole picture, and what comes into its first convolution is shrunk by.
DEEP_STAGE = 3
#: What each stage takes of a pass, measured at 3000 x 3000.
STAGE_SHARES: dict[int, float] = {5: 0.32, 4: 0.27, 3: 0.19, 2: 0.15, 1: 0.07}
ENCODING_SHARE = 0.5

OnFraction = Callable[[float], None]


@dataclass(frozen=True)
class Networks:
    """Encoders and decoders by stage, and how their features are moved.

    Attributes:
        encoders: one for all stages, or one for each.
        margin_px: how far pictures are continued for them.
        transfer: the map of features, and epsilon, its regularisation.
        stages: those that a picture goes through, in this order.
    """

    encoders: Mapping[int, Encoder]
    decoders: Mapping[int, Decoder]
    margin_px: int
    transfer: Transfer
    epsilon: float
    stages: Sequence[int] = STAGES

    @property
    def dtype(self) -> torch.dtype:
        return self.encoders[self.stages[0]].dtype

    def to(self, device: torch.device, dtype: torch.dtype) -> Networks:
        """Move them and return them."""
        for network in {id(each): each for each in (*self.encoders.values(), *self.decoders.values())}.values():
            network.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self


@torch.inference_mode()
def paint(
    networks: Networks,
    content: Tensor,
    styles: Sequence[Tensor],
    shares: Sequence[float],
    strength: float = 1.0,
    on_fraction: OnFraction = lambda fraction: None,
    should_stop: ShouldStop = never,
    tile_px: int = SETTINGS.tile_px,
) -> Tensor:
    """Return the painting (1, 3, H, W), float32, mostly within 0..1.

    Args:
        content: RGB 0..1, (1, 3, H, W), at least 16 pixels on each side. styles: the same of other sizes.
        shares: of the styles, they add up to 1.
        strength: of the style's statistics in every stage, 0..1.
        should_stop: asked after each stage; true: the picture as it is by then.
    """
    wanted = [style_moments(networks, style, tile_px) for style in styles]
    canvas = Canvas(content.shape[2], content.shape[3], networks.margin_px)
    image = (content - GREY).to(networks.dtype, memory_format=torch.channels_last)
    done, total = 0.0, sum(STAGE_SHARES[stage] for stage in networks.stages)
    for stage in networks.stages:
        start, share = done, STAGE_SHARES[stage] / total

        def on_part(fraction: float, start: float = start, share: float = share) -> None:
            on_fraction(start + share * fraction)

        targets = [moments[stage] for moments in wanted]
        image = _stage(networks, stage, image, canvas, targets, shares, strength, tile_px, on_part)
        done += share
        if should_stop():
            break
    on_fraction(1.0)
    return image.float().add_(GREY)


def style_moments(networks: Networks, style: Tensor, tile_px: int) -> dict[int, Moments]:
    """Return {stage: moments of relu{stage}_1} of a style (1, 3, h, w) in 0..1, for the networks' stages."""
    canvas = Canvas(style.shape[2], style.shape[3], networks.margin_px)
    image = (style - GREY).to(networks.dtype, memory_format=torch.channels_last)
    result: dict[int, Moments] = {}
    for encoder in {id(networks.encoders[stage]): networks.encoders[stage] for stage in networks.stages}.values():
        stages = [stage for stage in networks.stages if networks.encoders[stage] is encoder]
        sums = {stage: MomentSums() for stage in stages}
        encode(encoder, image, canvas, sums, tile_px)
        result |= {stage: each.moments() for stage, each in sums.items()}
    return result


def _stage(
    networks: Networks,
    stage: int,
    image: Tensor,
    canvas: Canvas,
    targets: Sequence[Moments],
    shares: Sequence[float],
    strength: float,
    tile_px: int,
    on_part: OnFraction,
) -> Tensor:
    """Return the image (1, 3, H, W) around 0 after one stage."""
    sums = {stage: MomentSums()}
    feature = encode(networks.encoders[stage], image, canvas, sums, tile_px, lambda f: on_part(ENCODING_SHARE * f))
    found = sums[stage].moments()
    maps = [networks.transfer(found, target, networks.epsilon) for target in targets]
    affine = mixed(maps, shares).at_strength(strength)

    def on_decoded(fraction: float) -> None:
        on_part(ENCODING_SHARE + (1 - ENCODING_SHARE) * fraction)

    return decode(networks.decoders[stage], stage, feature, affine, canvas, tile_px, on_decoded)


def encode(
    encoder: Encoder,
    image: Tensor,
    canvas: Canvas,
    sums: Mapping[int, MomentSums],
    tile_px: int,
    on_part: OnFraction = lambda fraction: None,
) -> Tensor:
    """Return relu{stage}_1 (1, C, h, w) of the canvas, of the deepest stage that sums are asked for; fill the sums."""
    deepest = max(sums)
    names = names_of(deepest)
    shallow, deep = names[: len(SHALLOW)], names[len(SHALLOW) :]
    stage = min(deepest, DEEP_STAGE)
    whole = canvas.whole.shrunk(stage)
    collected = torch.empty(0)
    tiles = canvas.tiles(tile_px)
    for index, tile in enumerate(tiles):
        for name, feature in encoder.layers(canvas.part(image, tile.seen), shallow):
            at = int(name[4])
            if name.endswith("_1") and at in sums:
                _count_in(sums[at], at, feature, tile, canvas)
        own = tile.own.shrunk(stage)
        if len(tiles) == 1:
            collected = feature
            break
        if index == 0:
            collected = torch.empty(
                (1, feature.shape[1], whole.bottom, whole.right),
                dtype=feature.dtype,
                device=feature.device,
                memory_format=torch.channels_last,
            )
        own.of(collected).copy_(own.within(tile.seen.shrunk(stage)).of(feature))
        on_part((index + 1) / len(tiles) * (0.5 if deep else 1.0))
    hidden = collected
    for name, feature in encoder.layers(hidden, deep):
        hidden = feature
        at = int(name[4])
        if name.endswith("_1") and at in sums:
            sums[at].add(canvas.positions(at).of(feature))
    on_part(1.0)
    return hidden


def _count_in(sums: MomentSums, stage: int, feature: Tensor, tile: Tile, canvas: Canvas) -> None:
    """Add what a feature of a tile has at the tile's own positions in the picture."""
    counted = tile.own.shrunk(stage).common(canvas.positions(stage))
    if not counted.empty:
        sums.add(counted.within(tile.seen.shrunk(stage)).of(feature))


def decode(
    decoder: Decoder,
    stage: int,
    feature: Tensor,
    affine: Affine,
    canvas: Canvas,
    tile_px: int,
    on_part: OnFraction = lambda fraction: None,
) -> Tensor:
    """Return the image (1, 3, H, W) around 0 of a canvas's feature, mapped."""
    first: tuple[Tensor, Tensor] | None = tuple(  # type: ignore[assignment]
        part.to(feature.dtype) for part in decoder.first(affine.linear, affine.offset)
    )
    names = decoder.names
    deep = names[: -len(SHALLOW)] if stage >= DEEP_STAGE else ()
    shallow = names[len(deep) :]
    if deep:
        feature = decoder.layers(feature, deep, first)
        first = None
        on_part(0.5)
    at = min(stage, DEEP_STAGE)
    image = torch.empty(
        (1, 3, canvas.height, canvas.width),
        dtype=feature.dtype,
        device=feature.device,
        memory_format=torch.channels_last,
    )
    tiles = canvas.tiles(tile_px)
    for index, tile in enumerate(tiles):
        seen = tile.seen.shrunk(at).of(feature).contiguous(memory_format=torch.channels_last)
        made = decoder.layers(seen, shallow, first)
        shown = tile.own.common(canvas.picture)
        if not shown.empty:
            shown.within(canvas.picture).of(image).copy_(shown.within(tile.seen).of(made))
        on_part((0.5 if deep else 0.0) + (index + 1) / len(tiles) * (0.5 if deep else 1.0))
    return image
