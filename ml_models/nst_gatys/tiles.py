"""A large picture in pieces: how it is cut so that features of the pieces are those of the whole."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ml_models.encoders.vgg import MARGIN_PX, window
from ml_models.losses import positions_first
from ml_models.spans import spans

#: What relu4_1 sees beyond its own 8 pixels: 30 on each side, in multiples of 8.
HALO_PX = 32
#: Pixels that one position of relu4_1 stands for.
UNIT_PX = 8


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of a picture that is continued by MARGIN_PX, and the neighbourhood that its features depend on.

    Attributes:
        rows, columns: of the continued picture, the neighbourhood included.
        top, left: where the rectangle begins within these, multiples of 8.
        height, width: of the rectangle.
    """

    rows: slice
    columns: slice
    top: int
    left: int
    height: int
    width: int

    def of(self, continued: Tensor) -> Tensor:
        """Return the tile's part (1, 3, h, w) of the continued picture, a view."""
        return continued[:, :, self.rows, self.columns]

    def positions(self, tap: str, feature: Tensor) -> Tensor:
        """Return what a feature of the tile has at the positions of the rectangle itself, (N, C)."""
        return positions_first(feature, *window(tap, self.top, self.left, self.height, self.width))


def tiles(height: int, width: int, tile_px: int) -> list[Tile]:
    """Cut a picture of the height and width, continued by MARGIN_PX, into rectangles of at most about tile_px.

    The features of each rectangle are exactly those that the whole picture has there, so what is summed over tiles
    knows no seams.
    """
    result = []
    for top, bottom in spans(height, tile_px, UNIT_PX):
        for left, right in spans(width, tile_px, UNIT_PX):
            # The rectangle itself begins a margin later in the continued picture.
            row, column = max(0, top + MARGIN_PX - HALO_PX), max(0, left + MARGIN_PX - HALO_PX)
            last_row = bottom + MARGIN_PX + HALO_PX if bottom < height else None
            last_column = right + MARGIN_PX + HALO_PX if right < width else None
            place = (top + MARGIN_PX - row, left + MARGIN_PX - column)
            result.append(Tile(slice(row, last_row), slice(column, last_column), *place, bottom - top, right - left))
    return result
