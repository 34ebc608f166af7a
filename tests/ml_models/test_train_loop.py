"""The stages, the pictures at their sizes, and what a run does with them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from PIL import Image

from ml_models.image_preparation import at_size, grey_like, to_image, to_tensor, with_colours_of
from ml_models.nst_gatys.run_style_transfer import load_extractor
from ml_models.nst_gatys.settings import SETTINGS
from ml_models.nst_gatys.train_loop import paint, stage_sizes

FEW = dataclasses.replace(SETTINGS, evaluations=((4096, 4),))


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    small = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(seed))
    return to_image(small).resize((width, height), Image.Resampling.BICUBIC)


def test_each_stage_has_half_the_side_of_the_next() -> None:
    assert [size for size, _ in stage_sizes(512, 384, SETTINGS)] == [128, 256, 512]
    assert [size for size, _ in stage_sizes(1365, 2048, SETTINGS)] == [128, 256, 512, 1024, 2048]
    assert [size for size, _ in stage_sizes(64, 64, SETTINGS)] == [64]
    assert [size for size, _ in stage_sizes(512, 384, SETTINGS, stages=2)] == [256, 512]
    counts = [count for _, count in stage_sizes(2048, 2048, SETTINGS)]
    assert counts == sorted(counts, reverse=True)


def test_no_stage_is_too_narrow_for_the_encoder() -> None:
    assert [size for size, _ in stage_sizes(1024, 40, SETTINGS)] == [512, 1024]
    assert [size for size, _ in stage_sizes(1024, 16, SETTINGS)] == [1024]
    extractor = load_extractor("slim", FEW, torch.device("cpu"))
    for photo, style in ((picture(256, 16), picture(16, 300)), (picture(16, 256), picture(300, 16))):
        painting = paint(
            extractor, photo, [style], [1.0], FEW, size_px=256, stroke_scale=0.25, on_image=lambda *state: True
        )
        assert tuple(painting.image.shape[2:]) == (photo.height, photo.width)


def test_a_run_that_is_stopped_gives_its_picture_at_full_size() -> None:
    seen: list[tuple[float, int, bool]] = []

    def stop_in_the_first_stage(fraction: float, image: torch.Tensor, stage_ends: bool) -> bool:
        seen.append((fraction, image.shape[3], stage_ends))
        return len(seen) < 2

    extractor = load_extractor("slim", FEW, torch.device("cpu"))
    painting = paint(
        extractor, picture(256, 192), [picture(64, 64, 1)], [1.0], FEW, size_px=256, on_image=stop_in_the_first_stage
    )
    assert painting.stopped
    assert painting.image.shape == (1, 3, 192, 256)
    assert {width for _, width, _ in seen} == {128}
    assert 2 <= painting.losses["evaluations"] <= 4


@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_a_stop_is_told_in_the_last_stage_too_but_not_at_its_end(strength: float) -> None:
    extractor = load_extractor("slim", FEW, torch.device("cpu"))

    def run(last_px: int, at_end: bool) -> bool:
        painting = paint(
            extractor,
            picture(256, 192),
            [picture(64, 64, 1)],
            [1.0],
            FEW,
            size_px=256,
            strength=strength,
            on_image=lambda fraction, image, stage_ends: (image.shape[3], stage_ends) != (last_px, at_end),
        )
        assert painting.image.shape == (1, 3, 192, 256)
        return painting.stopped

    assert run(256, at_end=False)
    assert run(128, at_end=True)
    assert not run(256, at_end=True)


def test_what_is_kept_of_a_weak_painting_is_as_sharp_as_the_photo() -> None:
    """A run that is stopped where it is coarse gives the photo's detail back, by what the strength leaves of it."""
    generator = torch.Generator().manual_seed(0)
    photo = to_image(torch.rand(1, 3, 96, 256, generator=generator))
    extractor = load_extractor("slim", FEW, torch.device("cpu"))

    def kept(strength: float) -> torch.Tensor:
        painting = paint(
            extractor,
            photo,
            [picture(64, 64, 1)],
            [1.0],
            dataclasses.replace(FEW, noise=0.0),
            size_px=256,
            strength=strength,
            on_image=lambda fraction, image, stage_ends: False,
        )
        assert painting.stopped
        return painting.image

    def detail(image: torch.Tensor) -> float:
        return float((image[..., 1:] - image[..., :-1]).square().mean())

    assert float((kept(0.0) - to_tensor(photo)).abs().mean()) < 0.01
    assert detail(kept(1.0)) < 0.5 * detail(kept(0.2))


def test_every_stage_ends_with_a_picture_and_the_last_at_one() -> None:
    ends: list[tuple[float, int]] = []

    def note(fraction: float, image: torch.Tensor, stage_ends: bool) -> bool:
        if stage_ends:
            ends.append((fraction, image.shape[3]))
        return True

    extractor = load_extractor("slim", FEW, torch.device("cpu"))
    painting = paint(extractor, picture(256, 192), [picture(64, 64, 1)], [1.0], FEW, size_px=256, on_image=note)
    assert [width for _, width in ends] == [128, 256]
    assert ends[-1][0] == 1.0
    assert not painting.stopped
    assert painting.losses["total"] <= painting.losses["initial_total"]


def test_a_picture_to_start_from_leaves_out_the_coarse_stages() -> None:
    widths: set[int] = set()
    arguments = {"size_px": 512, "on_image": lambda fraction, image, end: widths.add(image.shape[3]) is None}
    extractor = load_extractor("slim", FEW, torch.device("cpu"))
    started = paint(
        extractor,
        picture(512, 384),
        [picture(64, 64, 1)],
        [1.0],
        dataclasses.replace(FEW, noise=0.0, evaluations=((4096, 1),)),
        initial=picture(512, 384, 2),
        **arguments,  # type: ignore[arg-type]
    )
    assert widths == {256, 512}
    # With one evaluation a stage nothing is changed: what comes out is what it started from.
    difference = started.image - to_tensor(picture(512, 384, 2))
    assert float(difference.abs().mean()) < 0.02


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


def test_a_grey_style_has_the_lightness_of_the_photo() -> None:
    dark = picture(60, 60, 3).point(lambda value: value // 3)
    photo = picture(50, 40).point(lambda value: 100 + value // 4)
    matched, wanted = (to_tensor(image.convert("L").convert("RGB"))[0, 0] for image in (grey_like(dark, photo), photo))
    assert float(matched.mean()) == pytest.approx(float(wanted.mean()), abs=0.01)
    assert float(matched.std()) == pytest.approx(float(wanted.std()), abs=0.01)
