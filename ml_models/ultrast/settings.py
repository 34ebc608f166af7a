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
        stages: of the packaged networks, that a picture goes through, in this order; published networks go through all.
        published_epsilon: the same for the published networks, whose program leaves out what is below 1e-5.
        tile_px: side of the tiles in which the largest features are made.
        largest_style_px: a style is not enlarged beyond this longer side, whatever the size of the strokes.
    """

    margin_px: int = 16
    epsilon: float = 1e-3
    stages: tuple[int, ...] = (4, 3, 2)
    published_epsilon: float = 1e-5
    tile_px: int = 512
    largest_style_px: int = 3072


# Departing from the paper, chosen by the Oxford VGG19's losses (style / content, means) at 768 px with the weights of
# step 1,700: all five stages 1.27 / 3.17 on the six pairs of benchmarks/pictures.py and 0.94 / 2.43 on fourteen others;
# without the fifth and the first 1.28 / 2.45 and 0.96 / 1.88. The style's statistics are as near, and more of the photo
# is left. Of the published networks, transport in place of whitening and colouring: 0.99 / 3.08 in place of 0.99 / 3.21
# (six pairs at 512 px).
SETTINGS = UltraSTSettings()
