"""Strokes lie along the edges of a photo, are the seed's, and leave its light and colours alone."""

import math

import pytest
import torch
from torch import Tensor

from ml_models.cyclegan.brush import brushed, tangents
from ml_models.cyclegan.custom_layers import surroundings


def waves(angle: float) -> Tensor:
    """Return a picture that changes along the angle (radians from the x axis) alone, ten pixels a wave."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")
    across = columns * math.cos(angle) + rows * math.sin(angle)
    return (0.5 * torch.sin(across * (2 * math.pi / 10))).expand(1, 3, 64, 80)


def drawn(image: Tensor, seed: int = 0) -> Tensor:
    return brushed(image, torch.Generator().manual_seed(seed)) - image


@pytest.mark.parametrize("angle", [0.0, math.pi / 4, math.pi / 2, 2.5])
def test_tangents_lie_along_edges(angle: float) -> None:
    inside = tangents(waves(angle))[:, 16:48, 16:64]
    # Along or against: an angle and that plus pi are the same line.
    off = torch.sin(inside - (angle + math.pi / 2)).abs()
    assert float(off.max()) < 0.05


def test_strokes_change_less_along_the_edges_than_across() -> None:
    strokes = drawn(waves(0.0))
    down, across = strokes.diff(dim=2).square().mean(), strokes.diff(dim=3).square().mean()
    assert float(down) < 0.5 * float(across)
    level = drawn(torch.zeros(1, 3, 64, 80))
    assert float(level.diff(dim=3).square().mean()) < 0.5 * float(level.diff(dim=2).square().mean())


def test_strokes_are_the_seeds() -> None:
    image = waves(1.0)
    assert torch.equal(drawn(image), drawn(image))
    assert float((drawn(image) - drawn(image, seed=1)).abs().mean()) > 0.05


def test_strokes_are_weaker_where_there_is_detail_to_keep() -> None:
    image = torch.zeros(1, 3, 64, 200)
    image[..., 1::2] = 1.0
    image[..., :100] = 0.5
    bare, detailed = drawn(image)[..., :70], drawn(image)[..., 130:]
    # The deviation of stripes of 0 and 1 is 0.5, at which half is left.
    assert float(detailed.std() / bare.std()) == pytest.approx(0.5, abs=0.1)


def test_strokes_leave_light_and_colours_alone() -> None:
    strokes = drawn(torch.zeros(1, 3, 64, 80))
    assert float(strokes.std()) > 0.1
    assert float(surroundings(strokes).std()) < 0.3 * float(strokes.std())


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (16, 3)])
def test_the_smallest_pictures_have_strokes_too(size: tuple[int, int]) -> None:
    painted = brushed(torch.zeros(1, 3, *size), torch.Generator().manual_seed(0))
    assert painted.shape == (1, 3, *size)
    assert bool(torch.isfinite(painted).all())
