"""Batches for AdaIN: photos and styles as the judge and the encoder see them, used several times.

To see a picture costs as much as to paint it. So of a batch only a few photos and styles are new, and
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
from ml_models.training.pictures import CropSampler

NEW_PHOTOS, NEW_STYLES = 1, 1
#: Photos and styles that are kept, and those before the first step.
KEPT, FIRST = 512, 64
#: Styles are measured on larger crops than photos: at painting they are whole pictures.
STYLE_PX = 256
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
        self.photos = CropSampler(photos, [], [], crop_px + 2 * MARGIN_PX, seed)
        self.paintings = CropSampler([], paintings, [], STYLE_PX, seed)
        self.generator = torch.Generator()
        self.begin(seed)
        self.known_photos: list[Entry] = []
        self.known_styles: list[Entry] = []

    def draw(self, size: int) -> Batch:
        while len(self.known_photos) < max(size, min(FIRST, KEPT)):
            self._add_photos(size)
            self._add_styles(size)
        self._add_photos(NEW_PHOTOS)
        self._add_styles(NEW_STYLES)
        photos = self._chosen(self.known_photos, size, NEW_PHOTOS)
        styles = self._chosen(self.known_styles, size, NEW_STYLES)
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
    def _add_photos(self, count: int) -> None:
        features, judged = self._seen([self.photos.crop() for _ in range(count)], MARGIN_PX)
        self._keep(self.known_photos, features | {"judged": judged["relu4_1"]}, features, judged, NEW_PHOTOS)

    @torch.no_grad()
    def _add_styles(self, count: int) -> None:
        features, judged = self._seen([self.paintings.crop() for _ in range(count)], 0)
        self._keep(self.known_styles, {}, features, judged, NEW_STYLES)

    def _seen(self, crops: list[Tensor], margin_px: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return what the encoder sees of crops, and the judge without their margin."""
        batch = torch.cat(crops).contiguous(memory_format=torch.channels_last)
        return self.encoder.raw(batch, TAPS), self.judge(without_margin(batch, margin_px).to(self.encoder.dtype))

    def _keep(self, known: list[Entry], entries: Entry, features: Entry, judged: Entry, new: int) -> None:
        """Add the entries and statistics; one that there is no room for takes the place of one drawn by lot."""
        entries = entries | _named(features, "own") | _named(judged, "judged")
        for index in range(len(next(iter(entries.values())))):
            entry = {name: value[index : index + 1].clone() for name, value in entries.items()}
            known.append(entry)
        while len(known) > KEPT:
            # One drawn by lot goes; the newest stay at the end, where they are drawn for certain.
            place = int(torch.randint(KEPT - new, (), generator=self.generator))
            known[place] = known[KEPT - new]
            del known[KEPT - new]

    def _chosen(self, known: list[Entry], size: int, new: int) -> Entry:
        old = torch.randint(len(known), (size - new,), generator=self.generator).tolist()
        entries = [known[index] for index in (*range(len(known) - new, len(known)), *old)]
        return {name: torch.cat([entry[name] for entry in entries]) for name in entries[0]}

    @property
    def generators(self) -> tuple[torch.Generator, ...]:
        return self.photos.generator, self.paintings.generator, self.generator

    def begin(self, seed: int) -> None:
        """Draw from now on as the seed says."""
        for index, each in enumerate(self.generators):
            each.manual_seed(seed + index)

    def state(self) -> list[Tensor]:
        return [each.get_state() for each in self.generators]

    def load(self, state: list[Tensor]) -> None:
        for each, one in zip(self.generators, state, strict=True):
            each.set_state(one)


def _named(features: dict[str, Tensor], whose: str) -> Entry:
    return {f"{whose} {tap} {index}": moment for tap in features for index, moment in enumerate(moments(features[tap]))}


def _moments(entry: Entry, whose: str) -> dict[str, Moments]:
    return {tap: (entry[f"{whose} {tap} 0"], entry[f"{whose} {tap} 1"]) for tap in TAPS}
