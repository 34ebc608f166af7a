"""From an encoder, a photo and styles to one function of the picture: its loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ml_models.encoders.slim import SlimEncoder
from ml_models.encoders.vgg19 import VGG19First11Layers
from ml_models.losses import total_variation
from ml_models.nst_gatys.custom_layers import ContentLoss, StyleLoss
from ml_models.nst_gatys.settings import GatysSettings

Encoder = SlimEncoder | VGG19First11Layers
#: Longer side of the pieces in which a style is measured.
TILE_PX = 768


class StyleTransferModel(nn.Module):
    """Returns {"content", "style", "total"} of an image (1, 3, H, W) in 0..1, all scalars with gradients."""

    def __init__(
        self,
        encoder: Encoder,
        content_losses: dict[str, nn.Module],
        style_losses: dict[str, nn.Module],
        settings: GatysSettings,
        strength: float,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.content_losses = nn.ModuleDict(content_losses)
        self.style_losses = nn.ModuleDict(style_losses)
        self.settings = settings
        self.style_weight = settings.style_weight * strength**2
        self.total_variation_weight = settings.total_variation_weight * strength**2
        self.taps = [*dict.fromkeys([*style_losses, *content_losses])]

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.encoder(image.contiguous(memory_format=torch.channels_last), self.taps)
        settings = self.settings
        content = image.new_zeros(())
        for tap, loss in self.content_losses.items():
            content = content + settings.content_layers[tap] * loss(self.encoder.comparable(tap, features[tap]))
        style = image.new_zeros(())
        for tap, loss in self.style_losses.items():
            style = style + settings.style_layers[tap] * loss(self.encoder.gram(tap, features[tap]))
        outside = (image - image.clamp(0, 1)).square().mean()
        total = settings.content_weight * content + self.style_weight * style + settings.range_weight * outside
        if self.total_variation_weight:
            total = total + self.total_variation_weight * total_variation(image)
        return {"content": content, "style": style, "total": total}


@torch.no_grad()
def build_style_transfer_model(
    encoder: Encoder,
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
        strength: 0.0..1.0; the weights of style and total variation grow with its square.
    """
    # The slim encoder is compared with the style in its teacher's space, and there in relative terms.
    relative = isinstance(encoder, SlimEncoder)

    content_features = encoder(content.contiguous(memory_format=torch.channels_last), list(settings.content_layers))
    content_losses: dict[str, nn.Module] = {
        tap: ContentLoss(encoder.comparable(tap, feature), relative=relative)
        for tap, feature in content_features.items()
    }
    # One style after another, and of each only the Gram matrices are kept.
    grams = [style_grams(encoder, style, list(settings.style_layers)) for style in styles]
    style_losses: dict[str, nn.Module] = {
        tap: StyleLoss([each[tap] for each in grams], list(weights), relative=relative) for tap in settings.style_layers
    }
    return StyleTransferModel(encoder, content_losses, style_losses, settings, strength)


@torch.no_grad()
def style_grams(encoder: Encoder, style: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
    """Return the Gram matrix of each tap for a style (1, 3, H, W), made from tiles so that memory has a bound."""
    tiles = [
        tile
        for rows in style.tensor_split(-(-style.shape[2] // TILE_PX), dim=2)
        for tile in rows.tensor_split(-(-style.shape[3] // TILE_PX), dim=3)
    ]
    shares = [tile[0, 0].numel() / style[0, 0].numel() for tile in tiles]
    totals: dict[str, Tensor] = {}
    for tile, share in zip(tiles, shares, strict=True):
        for tap, feature in encoder(tile.contiguous(memory_format=torch.channels_last), taps).items():
            gram = share * encoder.gram(tap, feature)
            totals[tap] = totals[tap] + gram if tap in totals else gram
    return totals
