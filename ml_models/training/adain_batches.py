"""Batches for AdaIN's decoder: photos and styles as both networks see them, each used several times.

The decoder costs a sixth of what the networks around it cost. So of a batch only a few photos and styles are new, and
the others are drawn from those of earlier batches, in new pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ml_models.adain.custom_layers import DECODED
from ml_models.adain.statistics import TAPS, Moments, statistics_of
from ml_models.encoders.slim import SlimEncoder
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.training.pictures import CropSampler

NEW_PHOTOS, NEW_STYLES = 2, 1
#: Photos and styles that are kept.
KEPT = 512
#: Styles are measured on larger crops than photos: at painting they are whole pictures.
STYLE_PX = 176
#: Share of a batch that is painted with less than full strength, down to none, which is the photo itself.
WEAKER_SHARE = 0.25

Entry = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs of photos and styles.

    Attributes:
        features: of the photos, by the encoder.
        own, style: statistics of photos and styles, by the encoder.
        judged: relu4_1 of the photos, by the judge.
        judged_own, judged_style: statistics of photos and styles, by the judge.
        strength: (B, 1, 1, 1), 0..1.
    """

    features: dict[str, Tensor]
    own: dict[str, Moments]
    style: dict[str, Moments]
    judged: Tensor
    judged_own: dict[str, Moments]
    judged_style: dict[str, Moments]
    strength: Tensor


class Batches:
    """Draws batches; photos and paintings hold RGB uint8 (3, H, W)."""

    def __init__(
        self,
        encoder: SlimEncoder,
        judge: OxfordVGG19,
        photos: list[Tensor],
        paintings: list[Tensor],
        crop_px: int,
        seed: int,
    ) -> None:
        self.encoder, self.judge = encoder, judge
        self.photos = CropSampler(photos, [], [], crop_px, seed)
        self.paintings = CropSampler([], paintings, [], STYLE_PX, seed + 1)
        self.generator = torch.Generator().manual_seed(seed + 2)
        self.known_photos: list[Entry] = []
        self.known_styles: list[Entry] = []

    def draw(self, size: int) -> Batch:
        while len(self.known_photos) < size:
            self._add_photos(size)
            self._add_styles(size)
        self._add_photos(NEW_PHOTOS)
        self._add_styles(NEW_STYLES)
        photos = self._chosen(self.known_photos, size, NEW_PHOTOS)
        styles = self._chosen(self.known_styles, size, NEW_STYLES)
        strength = torch.rand(size, generator=self.generator)
        strength[torch.rand(size, generator=self.generator) >= WEAKER_SHARE] = 1.0
        return Batch(
            {tap: photos[tap] for tap in DECODED},
            _moments(photos, "own"),
            _moments(styles, "own"),
            photos["judged"],
            _moments(photos, "judged"),
            _moments(styles, "judged"),
            strength.view(-1, 1, 1, 1),
        )

    @torch.no_grad()
    def _add_photos(self, count: int) -> None:
        features, judged = self._seen([self.photos.crop() for _ in range(count)])
        kept = {tap: features[tap] for tap in DECODED} | {"judged": judged["relu4_1"]}
        self._keep(self.known_photos, kept | _named(features, "own") | _named(judged, "judged"), NEW_PHOTOS)

    @torch.no_grad()
    def _add_styles(self, count: int) -> None:
        features, judged = self._seen([self.paintings.crop() for _ in range(count)])
        self._keep(self.known_styles, _named(features, "own") | _named(judged, "judged"), NEW_STYLES)

    def _seen(self, crops: list[Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        batch = torch.cat(crops).contiguous(memory_format=torch.channels_last)
        return self.encoder.raw(batch, TAPS), self.judge(batch.to(self.encoder.dtype))

    def _keep(self, known: list[Entry], entries: Entry, new: int) -> None:
        """Add the entries; one that there is no room for takes the place of one drawn by lot."""
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

    def state(self) -> list[Tensor]:
        return [each.get_state() for each in (self.photos.generator, self.paintings.generator, self.generator)]

    def load(self, state: list[Tensor]) -> None:
        for each, one in zip((self.photos.generator, self.paintings.generator, self.generator), state, strict=True):
            each.set_state(one)


def _named(features: dict[str, Tensor], whose: str) -> Entry:
    return {
        f"{whose} {tap} {index}": moment
        for tap, pair in statistics_of(features).items()
        for index, moment in enumerate(pair)
    }


def _moments(entry: Entry, whose: str) -> dict[str, Moments]:
    return {tap: (entry[f"{whose} {tap} 0"], entry[f"{whose} {tap} 1"]) for tap in TAPS}
