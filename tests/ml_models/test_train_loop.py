"""The stages, the pictures at their sizes, and the model between them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from PIL import Image

from ml_models.encoders import load_encoder
from ml_models.nst_gatys.build_style_transfer_model import build_style_transfer_model, style_grams
from ml_models.nst_gatys.image_preparation import at_size, to_image, to_tensor, with_colours_of
from ml_models.nst_gatys.settings import BY_ENCODER, SLIM
from ml_models.nst_gatys.train_loop import paint, stage_sizes


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    small = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(seed))
    return to_image(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("settings", BY_ENCODER.values(), ids=BY_ENCODER.keys())
def test_each_stage_has_half_the_side_of_the_next(settings) -> None:  # type: ignore[no-untyped-def]
    assert [size for size, _ in stage_sizes(512, 384, settings)] == [128, 256, 512]
    assert [size for size, _ in stage_sizes(1365, 2048, settings)] == [128, 256, 512, 1024, 2048]
    assert [size for size, _ in stage_sizes(64, 64, settings)] == [64]
    counts = [count for _, count in stage_sizes(2048, 2048, settings)]
    assert counts == sorted(counts, reverse=True)


def test_no_stage_is_too_narrow_for_the_encoder() -> None:
    assert [size for size, _ in stage_sizes(1024, 40, SLIM)] == [512, 1024]
    assert [size for size, _ in stage_sizes(1024, 16, SLIM)] == [1024]
    few = dataclasses.replace(SLIM, evaluations=((4096, 2),))
    for photo, style in ((picture(256, 16), picture(16, 300)), (picture(16, 256), picture(300, 16))):
        painting = paint(
            load_encoder("slim")[1],
            photo,
            [style],
            [1.0],
            few,
            size_px=256,
            strength=1.0,
            stroke_scale=0.25,
            seed=0,
            on_image=lambda fraction, image: None,
        )
        assert tuple(painting.image.shape[2:]) == (photo.height, photo.width)


def test_pictures_and_tensors_are_the_same_both_ways() -> None:
    image = picture(40, 30)
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, 30, 40)
    assert to_image(tensor).tobytes() == image.tobytes()
    assert to_image(tensor * 3 - 1).getextrema() == ((0, 255),) * 3
    assert at_size(image, 20).shape == (1, 3, 15, 20)
    assert at_size(picture(100, 10), 50, shortest_px=16).shape == (1, 3, 16, 160)


def test_colours_of_the_photo_and_lightness_of_the_painting() -> None:
    red, gray = torch.tensor([0.8, 0.2, 0.2]).view(1, 3, 1, 1), torch.full((1, 3, 1, 1), 0.5)
    torch.testing.assert_close(with_colours_of(red, gray), torch.full((1, 3, 1, 1), 0.3794))
    torch.testing.assert_close(with_colours_of(red, red), red)


def test_a_style_in_tiles_has_the_gram_matrices_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder("slim")[1]
    style = to_tensor(picture(160, 128))
    whole = style_grams(encoder, style, ["relu1_1", "relu3_1"])
    monkeypatch.setattr("ml_models.nst_gatys.build_style_transfer_model.TILE_PX", 80)
    for tap, gram in style_grams(encoder, style, ["relu1_1", "relu3_1"]).items():
        # Only the padding at the borders tells them apart, which is much of a tile of 80 px (3.4 % at relu3_1);
        # a tile left out or weighed wrongly would be a quarter.
        assert float((gram - whole[tap]).norm() / whole[tap].norm()) < 0.06


def test_the_losses_are_those_of_the_photo_and_the_style() -> None:
    encoder = load_encoder("slim")[1]
    photo, style = to_tensor(picture(96, 64)), to_tensor(picture(64, 64, seed=1))
    model = build_style_transfer_model(encoder, photo, [style], [1.0], SLIM)
    assert float(model(photo)["content"]) == 0.0
    assert float(model(photo)["style"]) > 0.01
    outside = model(photo + 2.0)
    weighted = SLIM.content_weight * outside["content"] + SLIM.style_weight * outside["style"]
    assert float(outside["total"]) > float(weighted) + SLIM.range_weight
    unpainted = build_style_transfer_model(encoder, photo, [style], [1.0], SLIM, strength=0.0)
    assert float(unpainted(photo)["total"]) == pytest.approx(0.0, abs=1e-6)
