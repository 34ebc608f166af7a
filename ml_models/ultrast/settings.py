"""Settings of UltraST."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UltraSTSettings:
    """What one pass does.

    Attributes:
        margin_px: the picture is continued by reflection this far, a multiple of 16, and the result cut to it again, so
            that what the layers are padded with stays outside.
        epsilon: added to the covariances' diagonals, in their mean eigenvalues.
        published_epsilon: the same for the published networks, whose program leaves out what is below 1e-5.
        tile_px: side of the tiles in which the largest features are made.
        largest_style_px: a style is not enlarged beyond this longer side, whatever the size of the strokes.
    """

    margin_px: int = 16
    epsilon: float = 1e-3
    published_epsilon: float = 1e-5
    tile_px: int = 512
    largest_style_px: int = 3072


SETTINGS = UltraSTSettings()
