"""The same measures for every picture, by the real networks.

Ours compares itself with estimates of both, which it learnt from them; the origin minimises torchvision's own layers.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from benchmarks.origin import OriginLoss, TorchvisionLayers
from benchmarks.pictures import OXFORD, TORCHVISION
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.losses import mean_and_deviation

CONTENT_TAP = "relu4_1"

Measures = dict[str, float]


class Judges:
    """The Oxford VGG19, which nobody minimises itself, and torchvision's eleven layers, which the origin does."""

    def __init__(self, assets: Path) -> None:
        self.torchvision = TorchvisionLayers(assets / TORCHVISION)
        self.oxford = OxfordVGG19(assets / OXFORD)
        self.oxford.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def of(self, content: Tensor, style: Tensor) -> Judge:
        """Return the judge of one pair, both (1, 3, H, W) in 0..1; its targets are computed here, once."""
        return Judge(self, content, style)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        return self.oxford(image.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


class Judge:
    """Measures images of a photo's size against it and one style."""

    @torch.no_grad()
    def __init__(self, judges: Judges, content: Tensor, style: Tensor) -> None:
        self._judges = judges
        self.loss = OriginLoss(judges.torchvision, content, style)
        self.photo_style = float(self.loss.parts(content)[0])
        self._content = judges.features(content)[CONTENT_TAP]
        self._style = {tap: mean_and_deviation(feature) for tap, feature in judges.features(style).items()}

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Measures:
        """Return the measures of an image (1, 3, H, W) in 0..1; all are better when smaller.

        oxford_style: squared distance of the means and of the deviations of relu1_1 to relu4_1, each averaged over its
            channels, summed. oxford_content: mean squared distance from the photo's relu4_1.
        origin_style, origin_content, origin_total: the origin's loss. style_share: origin_style as a share of the
            photo's own; above 1, the picture is further from the style than the photo was.
        """
        features = self._judges.features(image)
        distance = 0.0
        for tap, (mean, deviation) in self._style.items():
            own_mean, own_deviation = mean_and_deviation(features[tap])
            distance += float((own_mean - mean).square().mean() + (own_deviation - deviation).square().mean())
        style, content = (float(part) for part in self.loss.parts(image))
        return {
            "oxford_style": distance,
            "oxford_content": float((features[CONTENT_TAP] - self._content).square().mean()),
            "origin_style": style,
            "origin_content": content,
            "origin_total": style + content,
            "style_share": style / self.photo_style,
        }
