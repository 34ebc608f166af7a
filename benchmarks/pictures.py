"""The pictures that the benchmarks paint, from the folder of assets, and where they put what they made."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ml_models.images import scaled_size

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "data" / "benchmarks"
TORCHVISION = Path("weights/vgg19_first_11_layers.safetensors")
OXFORD = Path("weights/vgg_normalised_relu4_1.safetensors")
CAPTION_PX = 16


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo and a painting, as files."""

    photo: Path
    style: Path

    @property
    def name(self) -> str:
        return f"{self.photo.parent.name}-{self.photo.stem}-{self.style.parent.name}-{self.style.stem}"

    @property
    def title(self) -> str:
        return f"{self.photo.stem} in {self.style.stem}"


#: Of kodak: a portrait, houses, a statue, a landscape, a lighthouse, bathers. Of styleid_sty: an impressionist, an
#: expressionist, a woodcut, a wash, a print of birches, a soft landscape.
PAIRS = (
    ("18", "26"),
    ("08", "03"),
    ("17", "09"),
    ("13", "36"),
    ("21", "20"),
    ("12", "22"),
)


def add_assets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--assets", type=Path, default=Path(os.environ.get("STYLE_ASSETS", "../shared/assets")))


def pairs(assets: Path, count: int = len(PAIRS)) -> list[Pair]:
    return [
        Pair(assets / f"photos/kodak/{photo}.jpg", assets / f"paintings/styleid_sty/{style}.jpg")
        for photo, style in PAIRS[:count]
    ]


def are_here(*needed: Path) -> bool:
    """Tell whether all files are there, and print why the benchmark is skipped where one is not."""
    for path in needed:
        if not path.exists():
            print(f"skipped: {path} is not here; give the folder of the assets with --assets or STYLE_ASSETS")
            return False
    return True


def judges_are_here(assets: Path, pairs: Sequence[Pair]) -> bool:
    """The same for the networks of the judges and the pictures of the pairs."""
    return are_here(
        assets / TORCHVISION, assets / OXFORD, *(path for pair in pairs for path in (pair.photo, pair.style))
    )


def open_rgb(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def at_longer_side(image: Image.Image, longer_px: int) -> Tensor:
    """Return the picture at the longer side given, proportions kept, as (1, 3, H, W) in 0..1."""
    return to_tensor(image.resize(scaled_size(*image.size, longer_px), Image.Resampling.LANCZOS))


def squashed(image: Image.Image, side_px: int) -> Tensor:
    """Return the picture as a square, whatever its proportions, as the origin takes it."""
    return to_tensor(image.resize((side_px, side_px), Image.Resampling.LANCZOS))


def to_tensor(image: Image.Image) -> Tensor:
    array = np.asarray(image, dtype=np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1).unsqueeze(0).contiguous()


def to_picture(tensor: Tensor) -> Image.Image:
    array = tensor.detach()[0].clamp(0, 1).permute(1, 2, 0).mul(255).round().to(torch.uint8)
    return Image.fromarray(array.contiguous().numpy())


def contact_sheet(rows: Sequence[Sequence[tuple[str, Image.Image]]], cell_px: int) -> Image.Image:
    """Return the captioned pictures in a grid, each within a square of cell_px."""
    columns, step = max(len(row) for row in rows), cell_px + 4
    sheet = Image.new("RGB", (columns * step, len(rows) * (step + CAPTION_PX)), "white")
    draw = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        for x, (caption, picture) in enumerate(row):
            small = picture.copy()
            small.thumbnail((cell_px, cell_px), Image.Resampling.LANCZOS)
            corner = (x * step, y * (step + CAPTION_PX))
            draw.text(corner, caption, fill="black")
            sheet.paste(small, (corner[0], corner[1] + CAPTION_PX))
    return sheet
