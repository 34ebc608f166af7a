"""Batches for AdaIN: photos and styles as the judge and the encoder see them, used several times.

To see a picture costs as much as to paint it. So of a batch only one photo or one style is new, in turns, and
the others are drawn from those of earlier batches, in new pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ml_models.adain.build_style_transfer_model import MARGIN_PX, without_margin
from ml_models.adain.statistics import TAPS, Moments, moments
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.encoders.vgg import TruncatedVGG
from ml_models.training.pictures import ZoomedCrops

#: Photos and styles that are kept, and those before the first step.
KEPT, FIRST = 512, 64
#: Styles are measured on larger crops than photos: at painting they are whole pictures.
STYLE_PX = 256
#: Smallest and largest side of what is cut out of photos and styles, as multiples of a crop's. At painting most photos
#: are larger than those of training; what they show is larger and smoother then, and so is half of what is drawn here.
PHOTO_ZOOM, STYLE_ZOOM = (0.5, 1.1), (0.8, 1.5)
#: Share of a batch that is painted with less than full strength, down to none, which is the photo itself.
WEAKER_SHARE = 0.25

Entry = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs of photos and styles.

    Attributes:
        photo: features of the photos at TAPS, by the encoder.
        own, style: statistics of photos and styles, by the encoder.
        judged: relu4_1 of the photos without their margin, by the judge.
        judged_own, judged_style: statistics of photos, without their margin, and styles, by the judge.
        strength: (B, 1, 1, 1), 0..1.
    """

    photo: dict[str, Tensor]
    own: dict[str, Moments]
    style: dict[str, Moments]
    judged: Tensor
    judged_own: dict[str, Moments]
    judged_style: dict[str, Moments]
    strength: Tensor


class Batches:
    """Draws batches; encoder and judge are of one type, and photos and paintings RGB uint8 (3, H, W)."""

    def __init__(
        self,
        encoder: TruncatedVGG,
        judge: OxfordVGG19,
        photos: list[Tensor],
        paintings: list[Tensor],
        crop_px: int,
        seed: int,
    ) -> None:
        self.encoder, self.judge = encoder, judge
        self.generator = torch.Generator().manual_seed(seed)
        self.photos = ZoomedCrops([photos], [1.0], crop_px + 2 * MARGIN_PX, PHOTO_ZOOM, self.generator)
        self.paintings = ZoomedCrops([paintings], [1.0], STYLE_PX, STYLE_ZOOM, self.generator)
        self.draws = 0
        self.known_photos: list[Entry] = []
        self.known_styles: list[Entry] = []

    def draw(self, size: int) -> Batch:
        while len(self.known_photos) < max(size, min(FIRST, KEPT)):
            self._add_photo()
            self._add_style()
        self.draws += 1
        new_photos, new_styles = self.draws % 2, 1 - self.draws % 2
        if new_photos:
            self._add_photo()
        else:
            self._add_style()
        photos = self._chosen(self.known_photos, size, new_photos)
        styles = self._chosen(self.known_styles, size, new_styles)
        strength = torch.rand(size, generator=self.generator)
        strength[torch.rand(size, generator=self.generator) >= WEAKER_SHARE] = 1.0
        return Batch(
            {tap: photos[tap] for tap in TAPS},
            _moments(photos, "own"),
            _moments(styles, "own"),
            photos["judged"],
            _moments(photos, "judged"),
            _moments(styles, "judged"),
            strength.view(-1, 1, 1, 1),
        )

    @torch.no_grad()
    def _add_photo(self) -> None:
        features, judged = self._seen(self.photos(), MARGIN_PX)
        self._keep(self.known_photos, features | {"judged": judged["relu4_1"]}, features, judged)

    @torch.no_grad()
    def _add_style(self) -> None:
        features, judged = self._seen(self.paintings(), 0)
        self._keep(self.known_styles, {}, features, judged)

    def _seen(self, crop: Tensor, margin_px: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return what the encoder sees of a crop, and the judge without its margin."""
        crop = crop.contiguous(memory_format=torch.channels_last)
        return self.encoder.raw(crop, TAPS), self.judge(without_margin(crop, margin_px).to(self.encoder.dtype))

    def _keep(self, known: list[Entry], entries: Entry, features: Entry, judged: Entry) -> None:
        """Add the entries and statistics, at the end; where there is no room, one drawn by lot goes."""
        if len(known) == KEPT:
            del known[int(torch.randint(KEPT, (), generator=self.generator))]
        known.append(entries | _named(features, "own") | _named(judged, "judged"))

    def _chosen(self, known: list[Entry], size: int, new: int) -> Entry:
        old = torch.randint(len(known), (size - new,), generator=self.generator).tolist()
        entries = [known[index] for index in (*range(len(known) - new, len(known)), *old)]
        return {name: torch.cat([entry[name] for entry in entries]) for name in entries[0]}


def _named(features: dict[str, Tensor], whose: str) -> Entry:
    return {f"{whose} {tap} {index}": moment for tap in features for index, moment in enumerate(moments(features[tap]))}


def _moments(entry: Entry, whose: str) -> dict[str, Moments]:
    return {tap: (entry[f"{whose} {tap} 0"], entry[f"{whose} {tap} 1"]) for tap in TAPS}
