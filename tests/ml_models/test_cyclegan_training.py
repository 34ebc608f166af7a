"""Losses by known answers, the pool of older pictures, and the trainer on tiny generated ones."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from ml_models.cyclegan.image_pool import ImagePool
from ml_models.cyclegan.losses import (
    content_loss,
    covariances,
    cycle_loss,
    discriminator_loss,
    generator_loss,
    style_loss,
    tint_loss,
)
from ml_models.cyclegan.train_loop import opponent_colours
from ml_models.training.pictures import ZoomedCrops
from ml_models.training.train_cyclegan import parser, rate_share, train


def picture(value: float) -> Tensor:
    return torch.full((1, 3, 2, 2), float(value))


def test_losses_of_the_paper_by_known_answers() -> None:
    real, generated = [torch.tensor([1.0, 0.5])], [torch.tensor([0.0, 0.5])]
    assert float(generator_loss(generated)) == pytest.approx((1 + 0.25) / 2)
    assert float(discriminator_loss(real, generated)) == pytest.approx(0.5 * (0.25 / 2 + 0.25 / 2))
    assert float(generator_loss([torch.tensor([1.0]), torch.tensor([3.0, 3.0])])) == pytest.approx((0 + 4) / 2)
    assert float(cycle_loss(picture(0.25), picture(-0.5))) == pytest.approx(0.75)


def test_style_knows_neither_where_things_are_nor_means() -> None:
    torch.manual_seed(0)
    feature = torch.rand(1, 4, 6, 6)
    moved = feature.flatten(2)[:, :, torch.randperm(36)].view_as(feature)

    def loss(one: Tensor) -> float:
        return float(style_loss(covariances({"relu1_1": one}), covariances({"relu1_1": feature})))

    assert loss(moved) == pytest.approx(0, abs=1e-6)
    assert loss(moved + 1) == pytest.approx(0, abs=1e-6)
    assert loss(0 * feature) == pytest.approx(1)
    # Twice the feature: (4 - 1)^2 of 4^2 + 1.
    assert loss(2 * feature) == pytest.approx(9 / 17, rel=1e-3)


def test_tint_does_not_see_strokes() -> None:
    board = torch.ones(1, 3, 16, 16)
    board[:, :, ::2, ::2] = board[:, :, 1::2, 1::2] = -1
    assert float(tint_loss(board, torch.zeros(1, 3, 16, 16), 1.0)) == pytest.approx(0, abs=1e-6)
    assert float(tint_loss(board, torch.full((1, 3, 16, 16), 0.3), 2.0)) == pytest.approx(0.3)


def test_tint_wants_more_vivid_colours() -> None:
    photo = torch.tensor([0.5, 0.2, -0.1]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    vivid = torch.tensor([0.8, 0.2, -0.4]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert float(tint_loss(vivid, photo, 2.0)) == pytest.approx(0, abs=1e-6)
    assert float(tint_loss(photo, photo, 2.0)) == pytest.approx(0.6 / 3)


def test_grey_has_lightness_alone() -> None:
    assert opponent_colours(picture(0.25))[0, :, 0, 0].tolist() == pytest.approx([0.25, 0, 0])
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
    assert opponent_colours(red).flatten().tolist() == pytest.approx([-1 / 3, 4, 2])


def test_content_does_not_know_the_means() -> None:
    torch.manual_seed(0)
    feature = torch.rand(1, 4, 6, 6)
    assert float(content_loss(feature + torch.rand(1, 4, 1, 1), feature)) == pytest.approx(0, abs=1e-6)
    assert float(content_loss(torch.zeros_like(feature), feature)) == pytest.approx(1, abs=1e-3)


def test_the_pool_gives_back_new_and_older_pictures() -> None:
    pool = ImagePool(3, torch.Generator().manual_seed(0))
    assert [float(pool(picture(value)).mean()) for value in (0, 1, 2)] == [0, 1, 2]
    given = [float(pool(picture(value)).mean()) for value in range(3, 103)]
    new = sum(value == index for index, value in enumerate(given, start=3))
    assert 35 <= new <= 65
    older = [value for index, value in enumerate(given, start=3) if value != index]
    # What was given back is gone from the pool: nothing comes twice.
    assert len(older) == len(set(older))
    assert len(pool.images) == 3
    # A known answer: the pool's draws are the generator's.
    again = ImagePool(3, torch.Generator().manual_seed(0))
    assert [float(again(picture(value)).mean()) for value in range(103)][3:] == given


def test_no_pool_gives_back_what_it_gets_without_its_graph() -> None:
    pool = ImagePool(0, torch.Generator())
    image = picture(0.5).requires_grad_()
    given = pool(image * 2)
    assert torch.equal(given, image.detach() * 2)
    assert not given.requires_grad


def test_the_rate_falls_to_nothing_in_the_second_half() -> None:
    assert [rate_share(step, 200, 0.5) for step in (0, 99, 100, 150, 200)] == [1, 1, 1, 0.5, 0]


def test_crops_are_cut_within_their_zoom() -> None:
    """A ramp of one level a pixel tells how much was cut out."""
    ramp = torch.arange(100, dtype=torch.uint8).expand(3, 100, 100)
    crops = ZoomedCrops([[ramp]], [1.0], 16, (1.0, 3.0), torch.Generator().manual_seed(0))
    drawn = [crops() for _ in range(60)]
    assert {tuple(crop.shape) for crop in drawn} == {(1, 3, 16, 16)}
    spans = [float((crop.max() - crop.min()) * 255) for crop in drawn]
    assert 14 <= min(spans) < 20
    assert 38 < max(spans) <= 48
    assert {bool(crop[0, 0, 0, 0] < crop[0, 0, 0, -1]) for crop in drawn} == {True, False}


def test_what_is_shown_larger_stays_within_its_colours() -> None:
    stripes = torch.arange(100, dtype=torch.uint8).remainder(8).ge(4).mul(255).to(torch.uint8).expand(3, 100, 100)
    crop = ZoomedCrops([[stripes]], [1.0], 32, (0.5, 0.5), torch.Generator().manual_seed(0))()
    assert crop.shape == (1, 3, 32, 32)
    assert (float(crop.min()), float(crop.max())) == (0, 1)
    # Stripes of four pixels are eight wide.
    assert 3 <= int((crop[0, 0, 0] > 0.5).diff().sum()) <= 4


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    for name in ("photos", "paintings", "kodak"):
        (tmp_path / name).mkdir()
        for index in range(2):
            small = torch.randint(256, (3, 4, 3), generator=generator, dtype=torch.uint8)
            Image.fromarray(small.numpy().transpose(1, 2, 0)).resize((40, 48)).save(tmp_path / name / f"{index}.png")
    return tmp_path


def run(folders: Path, name: str, *more: str) -> Path:
    out = folders / name
    tiny = "--crop 32 --ngf 4 --blocks 1 --reverse-ngf 4 --reverse-blocks 1 --ndf 4 --short-side 40 --sample-px 32"
    given = ["--photos", folders / "photos", "--paintings", folders / "paintings", "--held-out", folders / "kodak"]
    given += [
        "--folder",
        out,
        "--output",
        out,
        "--threads",
        "1",
        "--log-every",
        "1",
        "--keep-every",
        "2",
        "--bank",
        "4",
    ]
    train(parser().parse_args([*map(str, given), *tiny.split(), "--discriminator", "both", "--no-half", *more]))
    return out


def test_two_steps_and_two_more_are_four(folders: Path) -> None:
    recipe = (
        "--style-weight",
        "1",
        "--content-weight",
        "1",
        "--tint-weight",
        "1",
        "--candidates",
        "2",
        "--warm-up",
        "1",
        "--taught",
        "1",
    )
    # The rate is planned from all steps, so that it is held here.
    once = run(folders, "once", "--steps", "4", "--decay-from", "1", *recipe)
    twice = run(folders, "twice", "--steps", "2", "--decay-from", "1", *recipe)
    assert (twice / "sample-000002.png").exists()
    run(folders, "twice", "--steps", "4", "--decay-from", "1", *recipe)
    for name in ("photo_to_monet.safetensors", "photo_to_monet_training.safetensors"):
        one, other = load_file(once / name), load_file(twice / name)
        assert set(one) == set(other)
        for key, value in one.items():
            assert value.dtype == torch.float16
            assert torch.equal(value, other[key]), key
    rows = [json.loads(line) for line in (once / "losses.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 4]
    assert set(rows[0]) == {"step", "seconds", "to_painting", "to_photo"}
    assert set(rows[1]) == {"step", "seconds", "style", "content", "tint"}
    named = {"adversarial", "cycle", "identity", "style", "content", "tint", "of"}
    assert {name.partition("_")[0] for name in rows[2]} - {"step", "seconds"} == named
    assert set(rows[-1]["held_out"]) == {"cycle_photo", "cycle_painting", "identity_photo", "identity_painting"}


def test_the_weights_files_are_enough_to_go_on(folders: Path) -> None:
    first = run(folders, "first", "--steps", "3")
    on = run(folders, "on", "--steps", "0", "--initial", str(first))
    for name in ("photo_to_monet.safetensors", "photo_to_monet_training.safetensors"):
        before, after = load_file(first / name), load_file(on / name)
        assert all(torch.equal(before[key], after[key]) for key in before)
    further = run(folders, "further", "--steps", "2", "--initial", str(first))
    painting = load_file(further / "photo_to_monet.safetensors")
    assert any(
        not torch.equal(painting[key], value) for key, value in load_file(first / "photo_to_monet.safetensors").items()
    )


def test_every_loss_falls_on_the_way_to_giving_back(folders: Path) -> None:
    out = run(folders, "warm", "--steps", "60", "--warm-up", "60", "--warm-up-rate", "3e-3", "--keep-every", "60")
    rows = [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]
    for name in ("to_painting", "to_photo"):
        assert sum(row[name] for row in rows[50:60]) < 0.85 * sum(row[name] for row in rows[:10])


def test_a_folder_without_pictures_is_said(folders: Path) -> None:
    (folders / "empty").mkdir()
    with pytest.raises(SystemExit, match=r"no JPEG or PNG pictures in .*/empty"):
        run(folders, "none", "--more-photos", str(folders / "empty"))
