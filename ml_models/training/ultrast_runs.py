"""What both of UltraST's training scripts need of a run: arguments, the schedule, softness."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

#: Share of crops that are enlarged, and the range of their enlargement.
SOFT_SHARE = 0.35
ENLARGEMENT = (1.5, 6.0)
#: The same of paintings beside their photos: pictures of paintings are often the smaller ones.
SOFTER_SHARE = 0.5
SOFTER = (1.1, 2.2)


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the judge's file and the folders of pictures."""
    parser.add_argument("--oxford", type=Path, required=True, help="vgg_normalised up to relu4_1")
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--paintings", type=Path, action="append", required=True)
    parser.add_argument(
        "--held-out", type=Path, action="append", default=[], help="photos, then paintings, that are not trained on"
    )


def done_share(step: int, steps: int, seconds: float, minutes: float) -> float:
    """Return how much of a run is over, 0..1 and beyond, by its steps or by its minutes, whichever is more."""
    return max(step / steps, seconds / (60 * minutes))


def enlargements(count: int, generator: torch.Generator) -> list[float]:
    """Draw by how much each of so many crops is enlarged: most not at all, 1.0."""
    return _drawn(count, SOFT_SHARE, ENLARGEMENT, generator).tolist()


def pairs_of_enlargements(count: int, generator: torch.Generator) -> tuple[list[float], list[float]]:
    """Draw by how much photos and paintings are enlarged that go together: paintings as much, or more."""
    photos = _drawn(count, SOFT_SHARE, ENLARGEMENT, generator)
    paintings = photos * _drawn(count, SOFTER_SHARE, SOFTER, generator)
    return photos.tolist(), paintings.tolist()


def _drawn(count: int, share: float, bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Return so many factors: a share of them within the bounds, evenly by their logarithms, and 1.0."""
    low, high = (math.log(bound) for bound in bounds)
    drawn = torch.rand(2, count, generator=generator)
    return torch.where(drawn[0] < share, (low + (high - low) * drawn[1]).exp(), torch.ones(()))
