"""The loss of a picture: known answers, and tiles that give what the whole gives."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from ml_models.encoders import load_slim
from ml_models.encoders.vgg19 import VGG19First11Layers
from ml_models.nst_gatys.build_style_transfer_model import StyleTransferModel, build_style_transfer_model, style_grams
from ml_models.nst_gatys.custom_layers import FeatureExtractor
from ml_models.nst_gatys.origin_problem import OriginLoss, solve
from ml_models.nst_gatys.settings import SETTINGS
from ml_models.nst_gatys.tiles import HALO_PX, tiles
from ml_models.weights import VGG19_SHAPES


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(1, 3, -(-height // 6), -(-width // 6), generator=generator)
    return torch.nn.functional.interpolate(small, size=(height, width), mode="bicubic").clamp(0, 1)


def random_vgg19() -> VGG19First11Layers:
    torch.manual_seed(0)
    return VGG19First11Layers({key: torch.randn(shape) * 0.06 for key, shape in VGG19_SHAPES.items()})


@pytest.fixture(params=["slim", "vgg19"])
def extractor(request: pytest.FixtureRequest) -> FeatureExtractor:
    """In float32, whatever the machine: halves differ by their rounding."""
    vgg19 = random_vgg19() if request.param == "vgg19" else None
    return FeatureExtractor(load_slim(), vgg19, list(SETTINGS.style_layers), list(SETTINGS.content_layers))


def model(extractor: FeatureExtractor, tile_px: int, height: int = 150, width: int = 203) -> StyleTransferModel:
    settings = dataclasses.replace(SETTINGS, tile_px=tile_px)
    return build_style_transfer_model(
        extractor, picture(height, width), [picture(120, 90, 1), picture(90, 120, 2)], [3.0, 1.0], settings
    )


def test_tiles_give_the_loss_and_the_gradient_of_the_whole(extractor: FeatureExtractor) -> None:
    image = picture(150, 203, 5)
    whole, tiled = model(extractor, 256), model(extractor, 64)
    assert len(whole.tiles) == 1
    assert len(tiled.tiles) == 12
    expected, found = whole(image), tiled(image)
    for name, value in expected.losses.items():
        assert found.losses[name] == pytest.approx(value, rel=1e-3)
    difference = (found.gradient - expected.gradient).norm() / expected.gradient.norm()
    assert float(difference) < 2e-3


def test_a_tile_without_its_neighbourhood_would_not() -> None:
    """The halo is needed: with less of it, the features of a tile's edge are others."""
    encoder = load_slim()
    image = picture(160, 160, 5)
    continued = torch.nn.functional.pad(image, (8, 8, 8, 8), mode="reflect")
    whole = encoder.raw(continued, ["relu4_1"])["relu4_1"]
    (tile,) = [each for each in tiles(160, 160, 80) if (each.rows.start, each.columns.start) == (0, 0)]
    inner = encoder.raw(tile.of(continued), ["relu4_1"])["relu4_1"]
    torch.testing.assert_close(inner[:, :, 1:11, 1:11], whole[:, :, 1:11, 1:11], atol=1e-4, rtol=1e-3)
    cut = encoder.raw(tile.of(continued)[:, :, : -HALO_PX + 8, : -HALO_PX + 8], ["relu4_1"])["relu4_1"]
    assert float((cut[:, :, 1:11, 1:11] - whole[:, :, 1:11, 1:11]).abs().max()) > 1e-2


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 301), (257, 129), (16, 700)])
def test_tiles_cover_every_pixel_once(height: int, width: int) -> None:
    count = torch.zeros(height + 16, width + 16)
    for tile in tiles(height, width, 96):
        rows = range(tile.rows.start + tile.top, tile.rows.start + tile.top + tile.height)
        columns = slice(tile.columns.start + tile.left, tile.columns.start + tile.left + tile.width)
        assert tile.top % 8 == tile.left % 8 == 0
        assert max(tile.height, tile.width) <= 96 + 8
        count[rows.start : rows.stop, columns] += 1
    assert bool((count[8:-8, 8:-8] == 1).all())
    assert float(count.sum()) == height * width


def test_the_gradient_is_that_of_the_loss(extractor: FeatureExtractor) -> None:
    image, loss = picture(80, 64, 5), model(extractor, 256, 80, 64)
    here = loss(image)
    # Along the gradient, where the loss changes most and rounding least.
    step = 1e-2 * here.gradient / here.gradient.norm()
    slope = (loss(image + step).total - loss(image - step).total) / 2
    assert slope == pytest.approx(float((here.gradient * step).sum()), rel=0.05)


def test_the_losses_are_those_of_the_photo_and_the_style(extractor: FeatureExtractor) -> None:
    photo, style = picture(96, 64), picture(64, 64, 1)
    loss = build_style_transfer_model(extractor, photo, [style], [1.0], SETTINGS)
    assert loss(photo).losses["content"] == pytest.approx(0.0, abs=1e-9)
    assert loss(photo).losses["style"] > 0.01
    itself = build_style_transfer_model(extractor, photo, [photo], [1.0], SETTINGS)
    assert itself(photo).losses["style"] == pytest.approx(0.0, abs=1e-6)
    outside = loss(photo + 2.0)
    weighted = SETTINGS.content_weight * outside.losses["content"] + SETTINGS.style_weight * outside.losses["style"]
    assert outside.total > weighted + SETTINGS.range_weight
    unpainted = build_style_transfer_model(extractor, photo, [style], [1.0], SETTINGS, strength=0.0)
    assert unpainted(photo).total == pytest.approx(0.0, abs=1e-6)


def test_styles_are_mixed_by_their_shares(extractor: FeatureExtractor) -> None:
    one, other = picture(64, 64, 1), picture(64, 72, 2)
    mixed = build_style_transfer_model(extractor, picture(64, 64), [one, other], [3.0, 1.0], SETTINGS).style_grams
    first, second = (style_grams(extractor, style, 768) for style in (one, other))
    for tap, gram in mixed.items():
        torch.testing.assert_close(gram, 0.75 * first[tap] + 0.25 * second[tap])


def test_a_style_in_tiles_has_the_gram_matrices_of_the_whole(extractor: FeatureExtractor) -> None:
    style = picture(160, 128)
    whole = style_grams(extractor, style, 768)
    for tap, gram in style_grams(extractor, style, 80).items():
        assert float((gram - whole[tap]).norm() / whole[tap].norm()) < 1e-4


def test_the_origins_problem_is_solved() -> None:
    vgg19, content, style = random_vgg19(), picture(64, 64), picture(64, 64, 1)
    loss = OriginLoss(vgg19, content, style)
    assert loss(content).losses["content"] == 0.0
    seen: list[int] = []
    image = solve(content, style, vgg19, 30, lambda used, best: seen.append(used))
    assert loss(image.clamp(0, 1)).total < 0.5 * loss(content).total
    assert seen == sorted(seen)
    assert image.shape == content.shape
