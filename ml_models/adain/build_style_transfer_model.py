"""An encoder and the decoder that belongs to it, as one thing that paints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ml_models.adain.custom_layers import DECODED, Decoder, adaptive_instance_normalisation
from ml_models.adain.statistics import TAPS, Moments, Statistics, mixed, statistics_of, united
from ml_models.encoders.vgg import window, with_margin

#: Pixels by which the photo is continued by reflection, so that the zeros that the decoder is padded with stay outside.
MARGIN_PX = 16
#: Side of the tiles that a style is measured on, in full size, their edges padded with zeros like those of the crops in
#: training.
TILE_PX = 128
#: Of a style's tiles one in so many is measured, but at least FEWEST_TILES where it has them.
TILE_STEP, FEWEST_TILES = 3, 5
#: As many at once as make a picture of 512 px.
TILES_AT_ONCE = 16

Features = Mapping[str, Tensor]


class Encode(Protocol):
    """An encoder without gradients."""

    def __call__(self, image: Tensor) -> Features:
        """Return {tap: feature} at TAPS of RGB 0..1 (B, 3, H, W), edges as the encoder was trained."""
        ...


def normalised(
    features: Features, own: Statistics, target: Statistics, taps: Sequence[str] = DECODED
) -> dict[str, Tensor]:
    """Return what the decoder takes: the features with the target's statistics."""
    return {tap: adaptive_instance_normalisation(features[tap], own[tap], target[tap]) for tap in taps}


class StyleTransferModel:
    """Paints photos in styles.

    Args:
        margin_px: the photo is continued this far, a multiple of 8, and the painting cut to it again; 0 for an encoder
            and a decoder that continue pictures themselves and take styles whole.
    """

    def __init__(self, encode: Encode, decoder: Decoder, margin_px: int = MARGIN_PX) -> None:
        self.encode = encode
        self.decoder = decoder
        self.margin_px = margin_px

    def style(self, image: Tensor) -> dict[str, Moments]:
        """Return the statistics of a style (1, 3, H, W), those of a third of it where it is large enough."""
        if self.margin_px == 0 or min(image.shape[2:]) < TILE_PX:
            return self._encode(image, self._margin_px(image))[1]
        tiles = style_tiles(image)
        parts = (tiles[first : first + TILES_AT_ONCE] for first in range(0, len(tiles), TILES_AT_ONCE))
        return united([statistics_of(self.encode(torch.cat(part))) for part in parts])

    def paint(
        self,
        content: Tensor,
        styles: Sequence[Statistics],
        shares: Sequence[float],
        strength: float = 1.0,
        on_fraction: Callable[[float], None] = lambda fraction: None,
    ) -> Tensor:
        """Return the photo (1, 3, H, W) in the styles' mixture, of the same shape and not clamped."""
        height, width = content.shape[2:]
        margin_px = self._margin_px(content)
        features, own = self._encode(content, margin_px)
        on_fraction(0.5)
        target = mixed([own, *styles], [1 - strength, *(strength * share for share in shares)])
        image: Tensor = self.decoder(normalised(features, own, target, self.decoder.taps), target)
        return image[:, :, margin_px : margin_px + height, margin_px : margin_px + width]

    def _encode(self, image: Tensor, margin_px: int) -> tuple[Features, dict[str, Moments]]:
        """Return the features of the picture with its margin, and the statistics of the part that is the picture."""
        features = self.encode(with_margin(image, margin_px))
        windows = {tap: window(tap, margin_px, margin_px, *image.shape[2:]) for tap in TAPS}
        return features, statistics_of({tap: features[tap][:, :, windows[tap][0], windows[tap][1]] for tap in TAPS})

    def _margin_px(self, image: Tensor) -> int:
        """Return the margin; a picture can be continued by less than its own size, and then on to a multiple of 8."""
        return min(self.margin_px, MARGIN_PX if min(image.shape[2:]) >= MARGIN_PX + 8 else 8)


def style_tiles(image: Tensor) -> list[Tensor]:
    """Return tiles (1, 3, TILE_PX, TILE_PX) of the image (1, 3, H, W), spread evenly over it.

    It is divided into rows and columns of tiles, and those of every TILE_STEP-th diagonal are taken, so that no row and
    no column is left out.
    """
    tops, lefts = (_starts(side) for side in image.shape[2:])
    step = min(TILE_STEP, max(1, len(tops) * len(lefts) // FEWEST_TILES))
    return [
        image[:, :, top : top + TILE_PX, left : left + TILE_PX]
        for row, top in enumerate(tops)
        for column, left in enumerate(lefts)
        if (row + column) % step == 0
    ]


def _starts(side_px: int) -> list[int]:
    """Return where the tiles begin that cover a side; they overlap a little."""
    count = -(-side_px // TILE_PX)
    return [round(index * (side_px - TILE_PX) / max(1, count - 1)) for index in range(count)]
