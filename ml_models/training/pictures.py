"""Crops for training: photos, paintings, and what an optimiser passes through on its way from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate
from tqdm import tqdm

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png"})


def find_pictures(folders: Sequence[Path], excluded: Sequence[str] = ()) -> list[Path]:
    """Return all JPEG and PNG files under the folders, sorted, less those with a folder named in excluded."""
    found = (path for folder in folders for path in sorted(folder.rglob("*")))
    return [path for path in found if path.suffix.lower() in EXTENSIONS and not set(path.parts) & set(excluded)]


def load_picture(path: Path, short_side_px: int) -> Tensor:
    """Return RGB uint8 of shape (3, H, W), the shorter side at most short_side_px."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
        scale = short_side_px / min(rgb.size)
        if scale < 1:
            rgb = rgb.resize((round(rgb.width * scale), round(rgb.height * scale)), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.asarray(rgb).copy()).permute(2, 0, 1)


def load_pictures(
    folders: Sequence[Path], excluded: Sequence[Path], short_side_px: int, stride: int = 1
) -> list[Tensor]:
    """Return every stride-th picture under the folders, as load_picture does, less those under the excluded folders.

    Folders are excluded by their names. Raises SystemExit where folders are given and have no picture.
    """
    paths = find_pictures(folders, [folder.name for folder in excluded])[::stride]
    if folders and not paths:
        raise SystemExit(f"no JPEG or PNG pictures in {', '.join(map(str, folders))}: give a folder that has some")
    return [load_picture(path, short_side_px) for path in tqdm(paths, desc="reading", unit="picture")]


class CropSampler:
    """Draws batches of crops in 0..1, shape (B, 3, crop_px, crop_px), from pictures held in memory."""

    def __init__(
        self, photos: list[Tensor], paintings: list[Tensor], passed_through: list[Tensor], crop_px: int, seed: int
    ) -> None:
        self.groups = [group for group in (photos, paintings, passed_through) if group]
        self.shares = [share for share, group in ((5, photos), (3, paintings), (4, passed_through)) if group]
        self.crop_px = crop_px
        self.generator = torch.Generator().manual_seed(seed)

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def crop(self, enlargement: float = 1.0) -> Tensor:
        """Return one (1, 3, crop_px, crop_px); above 1.0, what it shows is that many times as large and soft."""
        group = self.groups[
            int(torch.multinomial(torch.tensor(self.shares, dtype=torch.float), 1, generator=self.generator))
        ]
        picture = group[_below(len(group), self.generator)]
        short = min(picture.shape[1:])
        largest = max(1.0, short / self.crop_px) if enlargement == 1.0 else 1.0
        side = min(short, round(self.crop_px / enlargement * self._uniform(1.0, largest)))
        return _cut(picture, side, self.crop_px, "bilinear" if enlargement == 1.0 else "bicubic", self.generator)

    def disturb(self, crop: Tensor, other: Tensor) -> Tensor:
        """Blend, sharpen, blur or add noise: the states between a photo and its painting."""
        kind = _below(6, self.generator)
        if kind == 0:
            share = self._uniform(0.2, 0.8)
            crop = crop * share + other * (1 - share)
        elif kind == 1:
            blurred = avg_pool2d(crop, 3, stride=1, padding=1, count_include_pad=False)
            crop = crop + self._uniform(0.5, 3.0) * (crop - blurred)
        elif kind == 2:
            coarse = torch.randn(1, 3, *(side // 4 for side in crop.shape[2:]), generator=self.generator)
            crop = crop + self._uniform(0.02, 0.15) * interpolate(coarse, size=crop.shape[2:], mode="bilinear")
        elif kind == 3:
            detail = other - avg_pool2d(other, 9, stride=1, padding=4, count_include_pad=False)
            crop = crop + self._uniform(0.3, 1.0) * detail
        if kind in (1, 4) or _below(3, self.generator) == 0:
            noise = torch.randn(crop.shape, generator=self.generator)
            crop = crop + self._uniform(0.01, 0.15) * noise
        return crop.clamp(-0.05, 1.05)

    def batch(self, size: int, disturbed_share: float, enlargements: Sequence[float] = ()) -> Tensor:
        """Return crops, the first of them disturbed, each enlarged as told, none where nothing is told."""
        crops = [self.crop(each) for each in enlargements or [1.0] * size]
        disturbed = round(size * disturbed_share)
        for index in range(disturbed):
            crops[index] = self.disturb(crops[index], crops[(index + 1) % size])
        return torch.cat(crops)


class ZoomedCrops:
    """Draws single crops in 0..1, shape (1, 3, crop_px, crop_px), of one domain.

    Args:
        groups: pictures of several origins, uint8 (3, H, W), and
        shares: how often each group is drawn.
        zoom: smallest and largest side of what is cut out, as multiples of crop_px; it is resized to crop_px, and is
            never larger than the picture.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Tensor]],
        shares: Sequence[float],
        crop_px: int,
        zoom: tuple[float, float],
        generator: torch.Generator,
    ) -> None:
        self.groups = groups
        self.shares = torch.tensor(shares, dtype=torch.float)
        self.crop_px = crop_px
        self.zoom = zoom
        self.generator = generator

    def __call__(self) -> Tensor:
        group = self.groups[int(torch.multinomial(self.shares, 1, generator=self.generator))]
        picture = group[_below(len(group), self.generator)]
        low, high = self.zoom
        zoom = low + (high - low) * float(torch.rand((), generator=self.generator))
        side = min(*picture.shape[1:], round(self.crop_px * zoom))
        return _cut(picture, side, self.crop_px, "bilinear" if side > self.crop_px else "bicubic", self.generator)


def _cut(picture: Tensor, side: int, crop_px: int, mode: str, generator: torch.Generator) -> Tensor:
    """Return a square of a picture (3, H, W) uint8, anywhere in it and mirrored or not, (1, 3, crop_px, crop_px)."""
    top, left = (_below(length - side + 1, generator) for length in picture.shape[1:])
    crop = picture[:, top : top + side, left : left + side].float().div(255).unsqueeze(0)
    if side != crop_px:
        crop = interpolate(crop, size=(crop_px, crop_px), mode=mode, antialias=True, align_corners=False).clamp(0, 1)
    return crop.flip(3) if _below(2, generator) else crop


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))
