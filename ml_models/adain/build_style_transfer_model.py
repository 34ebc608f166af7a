"""An encoder and the decoder that belongs to it, as one thing that paints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from ml_models.adain.custom_layers import Decoder
from ml_models.adain.statistics import Moments, Statistics, mixed, statistics_of
from ml_models.encoders.vgg import with_margin

#: Pixels by which the photo is continued by reflection: near to the zeros that it is padded with the decoder paints a
#: frame.
MARGIN_PX = 32
#: By which the deviations of a style's relu1_1 are asked for larger than they are. Of whole pictures the packaged
#: decoder gives only 0.85 to 0.9 of the deviations asked for, and all layers above see what relu1_1 lacks.
CONTRAST = 1.14

Features = Mapping[str, Tensor]


class Encode(Protocol):
    """An encoder without gradients."""

    def __call__(self, image: Tensor) -> Features:
        """Return {tap: feature} at TAPS of RGB 0..1 (B, 3, H, W), edges as the encoder was trained."""
        ...


class StyleTransferModel:
    """Paints photos in styles.

    Args:
        margin_px: the photo is continued this far, a multiple of 8, and the painting cut to it again; 0 for an encoder
            and a decoder that continue pictures themselves.
        contrast: factor of the deviations of a style's relu1_1; 1.0 asks for them as they are.
    """

    def __init__(
        self, encode: Encode, decoder: Decoder, margin_px: int = MARGIN_PX, contrast: float = CONTRAST
    ) -> None:
        self.encode = encode
        self.decoder = decoder
        self.margin_px = margin_px
        self.contrast = contrast

    def style(self, image: Tensor) -> dict[str, Moments]:
        """Return what a style (1, 3, H, W) asks for, its edges as those of the styles in training."""
        statistics = statistics_of(self.encode(image))
        mean, deviation = statistics["relu1_1"]
        return statistics | {"relu1_1": (mean, self.contrast * deviation)}

    def paint(
        self,
        content: Tensor,
        styles: Sequence[Statistics],
        shares: Sequence[float],
        strength: float = 1.0,
        on_fraction: Callable[[float], None] = lambda fraction: None,
    ) -> Tensor:
        """Return the photo (1, 3, H, W) in the styles' mixture, of the same shape and not clamped."""
        margin_px = self._margin_px(content)
        features = self.encode(with_margin(content, margin_px))
        own = statistics_of(features)
        on_fraction(0.5)
        target = mixed([own, *styles], [1 - strength, *(strength * share for share in shares)])
        image: Tensor = self.decoder(features, own, target)
        height, width = content.shape[2:]
        return without_margin(image, margin_px)[:, :, :height, :width]

    def _margin_px(self, image: Tensor) -> int:
        """Return the margin; a picture can be continued by less than its own size, and then on to a multiple of 8."""
        return min(self.margin_px, (min(image.shape[2:]) - 8) // 8 * 8)


def without_margin(image: Tensor, margin_px: int) -> Tensor:
    """Return the image (B, C, H, W) less what lies so near to its edges."""
    height, width = image.shape[2:]
    return image[:, :, margin_px : height - margin_px, margin_px : width - margin_px]
