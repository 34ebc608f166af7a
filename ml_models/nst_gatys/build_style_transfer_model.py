"""From networks, a photo and styles to one function of the picture: its loss and the gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ml_models.encoders.vgg import MARGIN_PX, shrinkage, with_margin
from ml_models.losses import total_variation
from ml_models.nst_gatys.custom_layers import FeatureExtractor
from ml_models.nst_gatys.settings import GatysSettings
from ml_models.nst_gatys.tiles import tiles

#: {tap: Gram matrix (D, D) of a whole picture, divided by D H W}
Grams = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known of an image.

    Attributes:
        losses: "content", "style" and their weighted sum with all else, "total".
        gradient: of the total, (1, 3, H, W).
    """

    losses: dict[str, float]
    gradient: Tensor

    @property
    def total(self) -> float:
        return self.losses["total"]


class StyleTransferModel:
    """Evaluates an image (1, 3, H, W) in 0..1.

    A picture larger than a tile is evaluated in two passes: the Gram matrices of the whole from all tiles, and then
    each tile's part of the gradient, which is linear in its share of the matrices once they are known. So tiles give
    the gradient of the untiled picture at the memory of one tile, for half as much work again.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        content: Tensor,
        style_grams: Grams,
        settings: GatysSettings,
        strength: float,
    ) -> None:
        self.extractor = extractor
        self.settings = settings
        self.style_weight = settings.style_weight * strength**settings.strength_power
        self.total_variation_weight = settings.total_variation_weight * strength**settings.strength_power
        self.style_grams = style_grams
        self.tiles = tiles(content.shape[2], content.shape[3], settings.tile_px)
        continued = with_margin(content, MARGIN_PX)
        #: Of one tile after another.
        self.contents = [extractor(tile.of(continued), tile, style=False)[1] for tile in self.tiles]
        counts = {tap: sum(each[tap].numel() for each in self.contents) for tap in settings.content_layers}
        #: What a sum of squared differences is multiplied by: the layer's weight over its size and variance.
        self.content_scales = {
            tap: weight / counts[tap] / _variance([each[tap] for each in self.contents])
            for tap, weight in settings.content_layers.items()
        }

    def __call__(self, image: Tensor) -> Evaluation:
        """Return the losses and the gradient; the image is not changed."""
        with torch.enable_grad():
            image = image.detach().requires_grad_(True)
            continued = with_margin(image, MARGIN_PX)
            evaluate = self._whole if len(self.tiles) == 1 else self._tiled
            content, style, gradient = evaluate(continued.detach(), image)
            (gradient,) = torch.autograd.grad(continued, image, gradient)
            total = self.settings.range_weight * (image - image.clamp(0, 1)).square().mean()
            if self.total_variation_weight:
                total = total + self.total_variation_weight * total_variation(image)
            (own_gradient,) = torch.autograd.grad(total, image)
        losses = {"content": content, "style": style}
        losses["total"] = float(total.detach()) + self.settings.content_weight * content + self.style_weight * style
        return Evaluation(losses, gradient + own_gradient)

    def _whole(self, continued: Tensor, image: Tensor) -> tuple[float, float, Tensor]:
        """Return content and style loss and their gradient to the continued picture."""
        continued.requires_grad_(True)
        grams, features = self.extractor(continued, self.tiles[0])
        content = self._content_loss(features, self.contents[0])
        style = self._style_loss(grams, image)
        loss = self.settings.content_weight * content + self.style_weight * style
        (gradient,) = torch.autograd.grad(loss, continued)
        return float(content.detach()), float(style.detach()), gradient

    def _tiled(self, continued: Tensor, image: Tensor) -> tuple[float, float, Tensor]:
        totals: Grams = {}
        with torch.no_grad():
            for tile in self.tiles:
                _add(totals, self.extractor(tile.of(continued), tile, content=False)[0])
        totals = {tap: total.requires_grad_(True) for tap, total in totals.items()}
        style = self._style_loss(totals, image)
        wanted = dict(zip(totals, torch.autograd.grad(self.style_weight * style, list(totals.values())), strict=True))
        content = 0.0
        gradient = torch.zeros_like(continued)
        for tile, targets in zip(self.tiles, self.contents, strict=True):
            part = tile.of(continued).clone().requires_grad_(True)
            grams, features = self.extractor(part, tile)
            loss = self._content_loss(features, targets)
            linear = torch.stack([(gram * wanted[tap]).sum() for tap, gram in grams.items()]).sum()
            tile.of(gradient).add_(torch.autograd.grad(self.settings.content_weight * loss + linear, part)[0])
            content += float(loss.detach())
        return content, float(style.detach()), gradient

    def _content_loss(self, features: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
        losses = [
            scale * mse_loss(features[tap].float(), targets[tap].float(), reduction="sum")
            for tap, scale in self.content_scales.items()
        ]
        return torch.stack(losses).sum()

    def _style_loss(self, gram_sums: Grams, image: Tensor) -> Tensor:
        """Return Gatys et al. 2016, equation 5, in relative terms: 1.0 is the loss of a picture without features."""
        layers = self.settings.style_layers
        losses = []
        for tap, weight in layers.items():
            target = self.style_grams[tap]
            gram = gram_sums[tap] / positions(tap, image)
            losses.append(weight * mse_loss(gram, target) / target.square().mean())
        return torch.stack(losses).sum() / sum(layers.values())


@torch.no_grad()
def build_style_transfer_model(
    extractor: FeatureExtractor,
    content: Tensor,
    styles: Iterable[Tensor],
    weights: Sequence[float],
    settings: GatysSettings,
    strength: float = 1.0,
) -> StyleTransferModel:
    """Compute the targets once and return the model.

    Args:
        content: the photo, (1, 3, H, W) in 0..1.
        styles: the style pictures, each (1, 3, h, w) in 0..1, and their shares.
        strength: 0.0..1.0; the weights of style and total variation grow with its power.
    """
    target: Grams = {}
    for style, weight in zip(styles, weights, strict=True):
        share = weight / sum(weights)
        _add(target, {tap: share * gram for tap, gram in style_grams(extractor, style, settings.tile_px).items()})
    return StyleTransferModel(extractor, content, target, settings, strength)


@torch.no_grad()
def style_grams(extractor: FeatureExtractor, style: Tensor, tile_px: int) -> Grams:
    """Return the Gram matrices of a style (1, 3, H, W), made from tiles so that memory has a bound."""
    totals: Grams = {}
    continued = with_margin(style, MARGIN_PX)
    for tile in tiles(style.shape[2], style.shape[3], tile_px):
        _add(totals, extractor(tile.of(continued), tile, content=False)[0])
    return {tap: total / positions(tap, style) for tap, total in totals.items()}


def positions(tap: str, image: Tensor) -> int:
    """Return how many positions a tap has over the image."""
    return -(-image.shape[2] // shrinkage(tap)) * -(-image.shape[3] // shrinkage(tap))


def _add(totals: Grams, more: Grams) -> None:
    for tap, gram in more.items():
        totals[tap] = totals[tap] + gram if tap in totals else gram


def _variance(parts: list[Tensor]) -> float:
    """Return the variance of a feature's channels over all positions, averaged over the channels, of parts (N, D)."""
    count = sum(len(part) for part in parts)
    mean = torch.stack([part.float().sum(0) for part in parts]).sum(0) / count
    square = torch.stack([part.float().square().sum(0) for part in parts]).sum(0) / count
    return max(1e-6, float((square - mean.square()).mean()))
