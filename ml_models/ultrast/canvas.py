"""A picture as the networks see it: continued by reflection, and cut into tiles that join without a seam."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from ml_models.spans import spans
from ml_models.ultrast.custom_layers import shrinkage

#: The deepest positions are 16 pixels wide.
UNIT_PX = 16
#: What the four shallow convolutions see beyond a position of their own, either way: 6, in multiples of 4.
HALO_PX = 8


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of the canvas in pixels, or of a feature in positions."""

    top: int
    left: int
    bottom: int
    right: int

    def shrunk(self, stage: int) -> Area:
        """Return the positions of relu{stage}_1 that lie in the rectangle; its sides are multiples of theirs."""
        size = shrinkage(stage)
        return Area(self.top // size, self.left // size, self.bottom // size, self.right // size)

    def within(self, other: Area) -> Area:
        """Return the rectangle in the other's coordinates."""
        return Area(self.top - other.top, self.left - other.left, self.bottom - other.top, self.right - other.left)

    def common(self, other: Area) -> Area:
        """Return what both have; it may be empty, its sides then negative or 0."""
        return Area(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    @property
    def empty(self) -> bool:
        return self.bottom <= self.top or self.right <= self.left

    def of(self, feature: Tensor) -> Tensor:
        """Return this part of a feature (1, C, h, w), a view."""
        return feature[:, :, self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the canvas and the part around it that its features depend on."""

    own: Area
    seen: Area


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture of height x width pixels, continued by margin_px on each side and up to multiples of UNIT_PX.

    Attributes:
        margin_px: a multiple of UNIT_PX, or 0.
    """

    height: int
    width: int
    margin_px: int

    @property
    def whole(self) -> Area:
        """All of the canvas."""
        return Area(0, 0, *(_upwards(side) + 2 * self.margin_px for side in (self.height, self.width)))

    @property
    def picture(self) -> Area:
        """The picture itself, in pixels."""
        margin = self.margin_px
        return Area(margin, margin, margin + self.height, margin + self.width)

    def positions(self, stage: int) -> Area:
        """Return the positions of relu{stage}_1 that the picture covers, wholly or in part."""
        size, margin = shrinkage(stage), self.margin_px
        bottom, right = (-(-(margin + side) // size) for side in (self.height, self.width))
        return Area(margin // size, margin // size, bottom, right)

    def part(self, image: Tensor, area: Area) -> Tensor:
        """Return the canvas of an image (1, 3, height, width) within the area, channels-last."""
        inner = area.within(self.picture)
        own = inner.common(Area(0, 0, self.height, self.width))
        beyond = (own.left - inner.left, inner.right - own.right, own.top - inner.top, inner.bottom - own.bottom)
        if not any(beyond):
            part = own.of(image)
        elif max(beyond[:2]) < own.right - own.left and max(beyond[2:]) < own.bottom - own.top:
            part = pad(own.of(image), beyond, mode="reflect")
        else:  # a picture that is smaller than its margins
            rows = _reflected(inner.top, inner.bottom, self.height).to(image.device)
            columns = _reflected(inner.left, inner.right, self.width).to(image.device)
            part = image[:, :, rows[:, None], columns]
        return part.contiguous(memory_format=torch.channels_last)

    def tiles(self, tile_px: int) -> list[Tile]:
        """Cut the canvas into rectangles of at most about tile_px; what a tile sees beyond itself is HALO_PX."""
        whole = self.whole
        result = []
        for top, bottom in spans(whole.bottom, tile_px, UNIT_PX):
            for left, right in spans(whole.right, tile_px, UNIT_PX):
                seen = Area(top - HALO_PX, left - HALO_PX, bottom + HALO_PX, right + HALO_PX)
                result.append(Tile(Area(top, left, bottom, right), seen.common(whole)))
        return result


def _upwards(side: int) -> int:
    return -(-side // UNIT_PX) * UNIT_PX


def _reflected(start: int, end: int, length: int) -> Tensor:
    """Return the places start..end - 1, those outside 0..length - 1 mirrored at the first and the last."""
    period = max(1, 2 * (length - 1))
    places = torch.arange(start, end).remainder(period)
    return torch.minimum(places, period - places)
