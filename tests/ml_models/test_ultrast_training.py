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
from ml_models.training.train_ultrast_encoder import Student, initialise
from ml_models.training.ultrast_judge import mean_and_deviation
from ml_models.training.ultrast_networks import TrainedNetworks
from ml_models.ultrast.custom_layers import STAGES
from ml_models.ultrast.published import decoder_shapes, encoder_shapes
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
    student = Student()
    initialise(student)
    save_file(student.state_dict(), folder / "encoder.safetensors")
    return folder


def run(module: object, assets: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Path:
    """Run a script's main for two steps and return the folder that it wrote to."""
    folder.mkdir(exist_ok=True)
    arguments = ["--oxford", assets / "oxford.safetensors", "--published", assets / "published"]
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
    monkeypatch.setattr(train_ultrast_encoder, "CROP_PX", 64)
    monkeypatch.setattr(train_ultrast, "BATCH_SIZE", 2)
    monkeypatch.setattr(train_ultrast, "REBUILT_PX", 48)
    monkeypatch.setattr(ultrast_samples, "SAMPLES", (("0", "1"),))
    monkeypatch.setattr(ultrast_samples, "SAMPLE_PX", 96)


@pytest.mark.usefixtures("small")
def test_the_encoders_training_goes_on_where_it_was_interrupted(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(train_ultrast_encoder, assets, tmp_path / "whole", monkeypatch)
    resumed = interrupted(train_ultrast_encoder, assets, tmp_path / "resumed", monkeypatch)
    same(whole / "out.safetensors", resumed / "out.safetensors")
    student = Student()
    student.load_state_dict(load_file(whole / "out.safetensors"))
    lines = [json.loads(line) for line in (whole / "state.log.jsonl").read_text().splitlines()]
    assert lines[0]["loss"] > 0
    assert set(lines[-1]["held_out"]) == {f"relu{stage}_1" for stage in STAGES}


@pytest.mark.usefixtures("small")
def test_the_cascades_training_goes_on_where_it_was_interrupted(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--encoder", str(assets / "encoder.safetensors"), "--rebuilding-steps", "1", "--crop", "64")
    whole = run(train_ultrast, assets, tmp_path / "whole", monkeypatch, *more)
    resumed = interrupted(train_ultrast, assets, tmp_path / "resumed", monkeypatch, *more)
    same(whole / "out.safetensors", resumed / "out.safetensors")
    networks = packaged_networks(whole / "out.safetensors")
    given = load_file(assets / "encoder.safetensors")["encoder.convolutions.conv3_1.weight"]
    assert not torch.equal(networks.encoders[1].convolution("conv3_1").weight, given.half().float())
    torch.manual_seed(0)
    untrained, _ = TrainedNetworks(), TrainedNetworks()
    initialise(untrained)
    for stage in STAGES:
        before = untrained.decoder(stage).convolution(f"conv{stage}_1").weight
        assert not torch.equal(networks.decoders[stage].convolution(f"conv{stage}_1").weight, before.half().float())
    lines = [json.loads(line) for line in (whole / "state.log.jsonl").read_text().splitlines()]
    assert lines[0]["known"] > 0
    assert lines[0]["pixel"] > 0
    assert set(lines[-1]["held_out"]) == {"ours", "published"}
    assert all(loss > 0 for losses in lines[-1]["held_out"].values() for loss in losses)
    with Image.open(whole / "sheet_00002.png") as sheet:
        assert sheet.width == 6 * sheet.height  # photo, painting, two stages, ours, the published


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
