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
        stages: of the packaged networks, in their order; a picture goes through all of the published networks' five.
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


# Departing from the paper, there is no fifth and no first stage. By the Oxford VGG19's losses (style / content, means
# of six pairs at 768 px, none trained on, after 700 steps of the decoders): 4, 3 and 2: 0.27 / 2.26; 4 and 3: 0.38 /
# 2.03; with a first stage that only rebuilds: 0.96 / 2.54. Of the published networks, transport in place of whitening
# and colouring: 0.99 / 3.08 in place of 0.99 / 3.21 (six pairs at 512 px).
SETTINGS = UltraSTSettings()
