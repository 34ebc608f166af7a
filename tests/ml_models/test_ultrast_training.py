"""UltraST's training scripts on tiny pictures: two steps, an interruption, the same two steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from ml_models.encoders.teacher import CONVOLUTIONS
from ml_models.losses import mean_and_deviation as plain_mean_and_deviation
from ml_models.training import train_ultrast, train_ultrast_encoder, ultrast_samples
from ml_models.training.pictures import CropSampler
from ml_models.training.ultrast_judge import mean_and_deviation
from ml_models.training.ultrast_networks import TrainedNetworks
from ml_models.training.ultrast_runs import (
    ENLARGEMENT,
    SOFT_SHARE,
    SOFTER_SHARE,
    done_share,
    pairs_of_enlargements,
)
from ml_models.ultrast.custom_layers import STAGES
from ml_models.ultrast.published import decoder_shapes, encoder_shapes
from ml_models.ultrast.settings import SETTINGS
from ml_models.ultrast.weights import packaged_networks

OXFORD_WIDTHS = (64, 64, 128, 128, 256, 256, 256, 256, 512)


class PowerCutError(Exception):
    """What a test stops a training with."""


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pictures and with teachers of random values in the real files' layouts."""
    folder = tmp_path_factory.mktemp("assets")
    random = np.random.default_rng(0)
    for name in ("photos", "paintings", "photos/kept", "paintings/out"):
        (folder / name).mkdir()
        for index in range(2):
            coarse = random.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((112, 96), Image.Resampling.BICUBIC).save(folder / name / f"{index}.png")
    generator = torch.Generator().manual_seed(0)

    def values(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * (2.0 / max(1, torch.Size(shape[1:]).numel())) ** 0.5

    oxford = {"0.weight": values(3, 3, 1, 1), "0.bias": torch.zeros(3)}
    inputs = 3
    for index, width in zip(CONVOLUTIONS, OXFORD_WIDTHS, strict=True):
        oxford |= {f"{index}.weight": values(width, inputs, 3, 3), f"{index}.bias": torch.zeros(width)}
        inputs = width
    save_file(oxford, folder / "oxford.safetensors")
    (folder / "published").mkdir()
    for stage in STAGES:
        for kind, shapes in (("SE", encoder_shapes(stage)), ("SD", decoder_shapes(stage))):
            tensors = {key: values(*shape) if len(shape) > 1 else torch.zeros(shape) for key, shape in shapes.items()}
            save_file(tensors, folder / "published" / f"{stage}{kind}.safetensors")
    torch.manual_seed(0)
    save_file(TrainedNetworks().state_dict(), folder / "encoder.safetensors")
    return folder


def run(module: object, assets: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Path:
    """Run a script's main for two steps and return the folder that it wrote to."""
    folder.mkdir(exist_ok=True)
    arguments = ["--oxford", assets / "oxford.safetensors", "--crop", "64"]
    arguments += ["--photos", assets / "photos", "--paintings", assets / "paintings"]
    arguments += ["--held-out", assets / "photos/kept", "--held-out", assets / "paintings/out", "--short-side", "96"]
    arguments += ["--steps", "2", "--checkpoint", folder / "state.pt", "--output", folder / "out.safetensors", *more]
    monkeypatch.setattr("sys.argv", ["train", *map(str, arguments)])
    module.main()  # type: ignore[attr-defined]
    return folder


def interrupted(module: object, assets: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Path:
    """The same, but the second step fails, and the script is started again."""
    monkeypatch.setattr(module, "CHECKPOINT_STEPS", 1)
    steps: list[int] = []
    average_into = module.average_into  # type: ignore[attr-defined]

    def failing(average: object, network: object, step: int, decay: float) -> None:
        steps.append(step)
        if steps == [0, 1]:
            raise PowerCutError
        average_into(average, network, step, decay)

    monkeypatch.setattr(module, "average_into", failing)
    with pytest.raises(PowerCutError):
        run(module, assets, folder, monkeypatch, *more)
    run(module, assets, folder, monkeypatch, *more)
    assert steps == [0, 1, 1]
    return folder


def same(one: Path, other: Path) -> None:
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_ultrast_encoder, "BATCH_SIZE", 2)
    monkeypatch.setattr(train_ultrast, "BATCH_SIZE", 2)
    monkeypatch.setattr(ultrast_samples, "SAMPLES", (("0", "1"),))
    monkeypatch.setattr(ultrast_samples, "SAMPLE_PX", 96)


@pytest.mark.usefixtures("small")
def test_the_encoders_training_goes_on_where_it_was_interrupted(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(train_ultrast_encoder, assets, tmp_path / "whole", monkeypatch)
    resumed = interrupted(train_ultrast_encoder, assets, tmp_path / "resumed", monkeypatch)
    same(whole / "out.safetensors", resumed / "out.safetensors")
    networks, untrained = TrainedNetworks(), TrainedNetworks()
    networks.load_state_dict(load_file(whole / "out.safetensors"))
    kernels = [each.encoder.convolution("conv3_1").weight.detach() for each in (networks, untrained)]
    assert 0 < float((kernels[0] - kernels[1]).abs().max()) < 1e-3
    lines = [json.loads(line) for line in (whole / "state.log.jsonl").read_text().splitlines()]
    assert set(lines[0]) == {"step", "seconds"} | {f"{kind}{n}" for kind in ("known", "lost") for n in SETTINGS.stages}


@pytest.mark.usefixtures("small")
def test_the_cascades_training_goes_on_where_it_was_interrupted(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--encoder", str(assets / "encoder.safetensors"), "--published", str(assets / "published"))
    whole = run(train_ultrast, assets, tmp_path / "whole", monkeypatch, *more)
    resumed = interrupted(train_ultrast, assets, tmp_path / "resumed", monkeypatch, *more)
    same(whole / "out.safetensors", resumed / "out.safetensors")
    networks, given = packaged_networks(whole / "out.safetensors"), load_file(assets / "encoder.safetensors")
    kernel = networks.encoders[4].convolution("conv3_1").weight
    assert torch.equal(kernel, given["encoder.convolutions.conv3_1.weight"].half().float())
    shown = SETTINGS.stages[-1]
    kernel = networks.decoders[shown].convolution(f"conv{shown}_1").weight
    assert not torch.equal(kernel, given[f"decoders.{shown}.convolutions.conv{shown}_1.weight"].half().float())
    lines = [json.loads(line) for line in (whole / "state.log.jsonl").read_text().splitlines()]
    assert lines[0][f"style{shown}"] > 0
    assert set(lines[-1]["held_out"]) == {"ours", "published"}
    assert all(loss > 0 for losses in lines[-1]["held_out"].values() for loss in losses)
    with Image.open(whole / "sheet_00002.png") as sheet:
        assert sheet.width == 6 * sheet.height  # photo, painting, two stages, ours, the published


def test_an_enlarged_crop_shows_a_small_part_softly() -> None:
    picture = torch.randint(0, 256, (3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def roughness(crops: Tensor) -> float:
        return float((crops[..., 1:] - crops[..., :-1]).abs().mean())

    sampler = CropSampler([picture], [], [], 64, 0)
    sharp, soft = sampler.batch(1, 0.0), sampler.batch(1, 0.0, [4.0])
    assert sharp.shape == soft.shape == (1, 3, 64, 64)
    assert roughness(soft) < 0.5 * roughness(sharp)
    assert 0 <= float(soft.min()) < float(soft.max()) <= 1


def test_a_run_ends_by_its_steps_or_by_its_minutes() -> None:
    assert done_share(5, 10, 60, float("inf")) == 0.5
    assert done_share(5, 10, 60, 1.25) == pytest.approx(0.8)


def test_paintings_are_as_soft_as_their_photos_or_softer() -> None:
    photos, paintings = (torch.tensor(each) for each in pairs_of_enlargements(400, torch.Generator().manual_seed(0)))
    assert float((photos == 1).float().mean()) == pytest.approx(1 - SOFT_SHARE, abs=0.1)
    assert bool((paintings >= photos).all())
    assert float(photos.max()) <= ENLARGEMENT[1]
    assert float((photos == paintings).float().mean()) == pytest.approx(1 - SOFTER_SHARE, abs=0.1)


def test_moments_and_their_gradients_are_those_of_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    feature = torch.rand(2, 8, 12, 10, generator=generator).contiguous(memory_format=torch.channels_last)
    weights = torch.rand(2, 2, 8, generator=generator)
    gradients = []
    for function in (mean_and_deviation, plain_mean_and_deviation):
        own = feature.clone().requires_grad_()
        found = [each.flatten(1) for each in function(own)]
        sum((weight * each).sum() for weight, each in zip(weights, found, strict=True)).backward()
        gradients.append((found[0].detach(), found[1].detach(), own.grad))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
