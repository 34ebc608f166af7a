"""The benchmarks' own measures, by known answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.capacity import cores_needed
from benchmarks.controls import chroma_distance, mean_frequency, rises
from benchmarks.gatys import time_to_loss
from benchmarks.origin import LAYERS, OriginLoss, TorchvisionLayers, gram_matrix, paint
from benchmarks.origin_512 import reference
from benchmarks.pictures import at_longer_side, contact_sheet, to_picture, to_tensor
from benchmarks.seams import difference_at, lines, seam_contrast
from ml_models.losses import mean_and_deviation

WIDTHS = {"conv1_1": (3, 8), "conv1_2": (8, 8), "conv2_1": (8, 16), "conv2_2": (16, 16), "conv3_1": (16, 32)}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, index, _ in LAYERS:
        inputs, outputs = WIDTHS[name]
        tensors[f"{index}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=generator) / math.sqrt(9 * inputs)
        tensors[f"{index}.bias"] = torch.zeros(outputs)
    save_file(tensors, tmp_path / "layers.safetensors")
    return tmp_path / "layers.safetensors"


def picture(seed: int, height: int = 24, width: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_gram_matrix_by_hand() -> None:
    feature = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    expected = torch.tensor([[5.0, 11.0], [11.0, 25.0]]) / 4
    assert torch.allclose(gram_matrix(feature), expected)
    assert torch.allclose(gram_matrix(feature.contiguous(memory_format=torch.channels_last)), expected)


def test_the_origins_loss_is_nothing_at_a_photo_in_its_own_style(weights: Path) -> None:
    photo = picture(1)
    assert float(OriginLoss(TorchvisionLayers(weights), photo, photo)(photo)) == pytest.approx(0.0, abs=1e-6)


def test_the_memory_format_changes_no_mathematics(weights: Path) -> None:
    photo, style = picture(1), picture(2, 16, 16)
    kept, plain = (
        OriginLoss(TorchvisionLayers(weights, layout), photo, style).parts(photo)
        for layout in (torch.channels_last, torch.contiguous_format)
    )
    assert [float(part) for part in kept] == pytest.approx([float(part) for part in plain], rel=1e-4)


def test_the_origins_loop_uses_its_evaluations_and_lowers_the_loss(weights: Path) -> None:
    photo = picture(1)
    before = photo.clone()
    losses: list[float] = []
    loss = OriginLoss(TorchvisionLayers(weights), photo, picture(2) ** 3)
    made = paint(loss, photo, 40, lambda number, total, image: losses.append(total))
    assert len(losses) == 40
    assert min(losses) < losses[0] / 2
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(photo, before)


def test_a_blow_up_is_compared_by_the_best_picture() -> None:
    figures = {"last": {"oxford_style": 9.0}, "best": {"oxford_style": 1.0}}
    assert reference({**figures, "blew_up_at_evaluation": None}) == ("last", {"oxford_style": 9.0})
    assert reference({**figures, "blew_up_at_evaluation": 301}) == ("best", {"oxford_style": 1.0})


def test_statistics_by_hand() -> None:
    mean, deviation = (part.flatten(1) for part in mean_and_deviation(torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]])))
    assert mean[0].tolist() == [2.0, 2.0]
    assert deviation[0].tolist() == pytest.approx([1.0, 0.0], abs=0.01)


def test_mean_frequency_of_a_wave_is_its_own() -> None:
    across = np.arange(256)
    for cycles_per_pixel in (1 / 16, 1 / 8):
        wave = 127 + 100 * np.sin(2 * np.pi * across * cycles_per_pixel)
        image = Image.fromarray(np.tile(wave, (256, 1)).astype(np.uint8))
        assert mean_frequency(image) == pytest.approx(cycles_per_pixel, rel=0.05)


def test_chroma_is_compared_whatever_the_lightness() -> None:
    red, dark_red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("#c02020", "#b81818", "#2020c0"))
    assert chroma_distance(red, red) == 0
    assert chroma_distance(red, blue) == 1
    assert chroma_distance(red, dark_red) < 1


def test_rises_is_strict() -> None:
    assert rises([1.0, 2.0, 3.0])
    assert not rises([1.0, 2.0, 2.0])


def test_pictures_keep_their_proportions_and_bytes() -> None:
    image = Image.effect_noise((768, 512), 80).convert("RGB")
    assert at_longer_side(image, 512).shape == (1, 3, 341, 512)
    assert to_picture(to_tensor(image)).tobytes() == image.tobytes()


def test_contact_sheet_holds_every_row() -> None:
    cell = ("one", Image.new("RGB", (100, 50), "red"))
    sheet = contact_sheet([[cell, cell], [cell]], 50)
    assert sheet.width >= 100
    assert sheet.height >= 100
    reds = sum(count for count, colour in sheet.getcolors(10_000) or [] if colour == (255, 0, 0))
    assert reds == 3 * 50 * 25


def test_seams_lie_where_tiles_meet() -> None:
    assert lines(320, 96, 128) == ([], [104, 216])
    assert lines(64, 64, 128) == ([], [])


def test_seam_contrast_tells_a_seam() -> None:
    grain = np.random.default_rng(0).integers(100, 110, (96, 320))
    smooth = Image.fromarray(grain.astype(np.uint8))
    stepped = Image.fromarray((grain + np.where(np.arange(320) < 104, 0, 40)).astype(np.uint8))
    assert seam_contrast(smooth, [], [104]) == pytest.approx(1, abs=0.2)
    assert seam_contrast(stepped, [], [104]) > 5


def test_a_difference_at_the_seams_alone_is_told() -> None:
    apart = np.ones((96, 320))
    assert difference_at(apart, [48], [104]) == 1
    apart[:, 102:106] = 9
    assert difference_at(apart, [], [104]) == 5


def test_the_clock_stands_still_while_ours_is_judged() -> None:
    def solve(evaluations: int, on_image: Callable[[int, torch.Tensor], None]) -> torch.Tensor:
        for number in range(1, evaluations + 1):
            on_image(number, torch.full((1, 3, 8, 8), number / 100))
        return torch.ones(1, 3, 8, 8)

    def judge(image: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return (image - 1).abs().max()

    seconds, evaluations, least = time_to_loss(solve, judge, 0.801)
    assert evaluations == 20
    assert least == pytest.approx(0.8)
    assert seconds < 10 * 0.02
    assert time_to_loss(solve, lambda image: torch.tensor(2.0), 1.0)[1:] == (500, 2.0)


def test_the_cores_that_so_many_users_need() -> None:
    # 48,000 jobs a day are 2,000 an hour, 6,000 in the busiest, and a core does 100.
    assert cores_needed(100, users=240_000, active=0.1, jobs=2, peak=3) == pytest.approx(60)
