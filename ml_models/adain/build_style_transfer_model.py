"""An encoder and the decoder that belongs to it, as one thing that paints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from ml_models.adain.custom_layers import DECODED, Decoder, adaptive_instance_normalisation
from ml_models.adain.statistics import TAPS, Moments, Statistics, mixed, statistics_of
from ml_models.encoders.vgg import window, with_margin

#: Pixels by which the photo is continued by reflection, so that the zeros that the decoder is padded with stay outside.
MARGIN_PX = 16

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
        margin_px: the photo is continued this far, a multiple of 8, and the painting cut to it again.
    """

    def __init__(self, encode: Encode, decoder: Decoder, margin_px: int = MARGIN_PX) -> None:
        self.encode = encode
        self.decoder = decoder
        self.margin_px = margin_px

    def style(self, image: Tensor) -> dict[str, Moments]:
        """Return the statistics of a style (1, 3, H, W)."""
        return self._encode(image, self._margin_px(image))[1]

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
