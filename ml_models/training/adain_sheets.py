"""Pictures kept out of training: painted, judged and put on a sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ml_models.adain.build_style_transfer_model import StyleTransferModel
from ml_models.adain.custom_layers import adaptive_instance_normalisation
from ml_models.adain.statistics import TAPS, moments, statistics_of
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.image_preparation import at_size, to_image

LONGER_PX = 384

Paint = Callable[[Tensor, Tensor], Tensor]


class HeldOut:
    """Pairs of a photo and a style, at LONGER_PX, both (1, 3, H, W).

    Args:
        pictures: photos and styles, or nothing.
    """

    def __init__(self, judge: OxfordVGG19, pictures: Sequence[Sequence[Path]]) -> None:
        self.judge = judge
        self.pairs = [(_read(photo), _read(style)) for photo, style in zip(*pictures, strict=False)]

    @torch.no_grad()
    def measure(self, paint: Paint) -> tuple[dict[str, float], list[Tensor]]:
        """Return the mean losses, and the paintings.

        content: mean squared distance of relu4_1 from AdaIN's target; photo: from the photo's own; style: of means
        and deviations, summed over the taps.
        """
        totals = {"content": 0.0, "photo": 0.0, "style": 0.0}
        images = []
        for photo, style in self.pairs:
            image = paint(photo, style).float().clamp(0, 1)
            images.append(image)
            own, wanted, got = (self._features(each) for each in (photo, style, image))
            deep = own["relu4_1"]
            goal = adaptive_instance_normalisation(deep, moments(deep), moments(wanted["relu4_1"]))
            totals["content"] += float((got["relu4_1"].float() - goal.float()).square().mean())
            totals["photo"] += float((got["relu4_1"].float() - deep.float()).square().mean())
            targets, reached = statistics_of(wanted), statistics_of(got)
            for tap in TAPS:
                for a, b in zip(targets[tap], reached[tap], strict=True):
                    totals["style"] += float((a - b).square().mean())
        return {name: round(total / len(self.pairs), 4) for name, total in totals.items()}, images

    def sheet(self, columns: list[list[Tensor]]) -> Image.Image:
        """Return photos, styles and the columns given, a row for each pair."""
        step = LONGER_PX + 4
        whole = Image.new("RGB", (step * (2 + len(columns)), step * len(self.pairs)), "white")
        for row, (photo, style) in enumerate(self.pairs):
            for column, image in enumerate([photo, style, *(images[row] for images in columns)]):
                whole.paste(to_image(image), (column * step, row * step))
        return whole

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        image = image.to(next(self.judge.parameters()).dtype).contiguous(memory_format=torch.channels_last)
        return self.judge(image)  # type: ignore[no-any-return]


def painter(model: StyleTransferModel) -> Paint:
    return lambda photo, style: model.paint(photo, [model.style(style)], [1.0])


def _read(path: Path) -> Tensor:
    with Image.open(path) as image:
        return at_size(image.convert("RGB"), LONGER_PX)
