"""AdaIN's training: its encoder, what a batch holds, and runs that are cut off and go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import interpolate

from ml_models.adain.build_style_transfer_model import without_margin
from ml_models.adain.custom_layers import Decoder
from ml_models.adain.statistics import TAPS, moments, statistics_of
from ml_models.adain.weights import load_networks, oxford_shapes
from ml_models.encoders import load_slim
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.encoders.vgg import TruncatedVGG
from ml_models.training import adain_batches, distil_adain_encoder
from ml_models.training.adain_batches import Batches
from ml_models.training.begin_adain_decoder import set_random, solve
from ml_models.training.distil_adain_encoder import given_encoder, missed, normalised
from ml_models.training.least_squares import Samples
from ml_models.training.train_adain import parse, stepped_together, train


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random values in the layout of the Oxford VGG19, which keep a signal's size; an encoder beside it."""
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    torch.manual_seed(0)
    tensors = {}
    for name, shape in oxford_shapes().items():
        inputs = 9 * shape[1] if len(shape) == 4 else 1
        tensors[name] = torch.randn(shape) * (2 / inputs) ** 0.5 * (len(shape) == 4)
    save_file(tensors, path)
    save_file(given_encoder().state_dict(), path.with_name("encoder.safetensors"))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for kind, count in (("photos", 3), ("paintings", 3), ("held_photos", 1), ("held_paintings", 1)):
        folder = tmp_path / kind
        folder.mkdir()
        for index in range(count):
            image = Image.linear_gradient("L").rotate(40 * index).resize((70, 60 + index)).convert("RGB")
            image.save(folder / f"{index}.png")
    return tmp_path


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adain_batches, "STYLE_PX", 48)
    monkeypatch.setattr(adain_batches, "KEPT", 9)
    monkeypatch.setattr("ml_models.training.adain_sheets.LONGER_PX", 64)
    monkeypatch.setattr(distil_adain_encoder, "HELD_OUT_PX", 48)


def run(judge: Path, folder: Path, steps: int, *more: object) -> tuple[dict[str, Any], Path]:
    """Train up to so many steps and return the checkpoint and the weights file."""
    checkpoint, output = folder / "checkpoint.pt", folder / "adain.safetensors"
    words = ["--judge", judge, "--photos", folder / "photos", "--paintings", folder / "paintings"]
    words += ["--held-out", folder / "held_photos", "--held-out", folder / "held_paintings", "--crop-px", 32]
    words += ["--batch-size", 3, "--steps", steps, "--checkpoint", checkpoint, "--output", output]
    words += more or ["--encoder", judge.with_name("encoder.safetensors"), "--solved-crops", 0]
    train(parse([str(word) for word in words]))
    return torch.load(checkpoint, weights_only=True), output


def test_a_run_that_was_cut_off_goes_on(judge: Path, pictures: Path) -> None:
    first, output = run(judge, pictures, 2)
    before = load_file(output)
    assert first["step"] == 2
    assert (pictures / "sheet_00002.jpg").exists()
    second, _ = run(judge, pictures, 3)
    assert second["step"] == 3
    assert second["seconds"] > first["seconds"]
    after = load_file(output)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    with safe_open(output, "pt") as file:
        assert file.metadata()["steps"] == "3"
    load_networks(output)
    kept = [name for name in first["networks"] if name.endswith("weight") and "decoder.convolutions" in name][:-1]
    norms = [[float(each["networks"][name].norm()) for name in kept] for each in (first, second)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)
    rows = [json.loads(line) for line in (pictures / "checkpoint.log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "held_out" in row] == [2, 3]
    assert all(set(row["held_out"]) == {"content", "photo", "style"} for row in rows if "held_out" in row)


def test_a_run_goes_on_from_the_weights_of_another(judge: Path, pictures: Path) -> None:
    _, output = run(judge, pictures, 2)
    begin = output.rename(pictures / "begin.safetensors")
    (pictures / "checkpoint.pt").unlink()
    _, output = run(judge, pictures, 1, "--from", begin, "--muon-rate", 0, "--adam-rate", 0)
    before = load_file(begin)
    assert all(torch.equal(value, before[name]) for name, value in load_file(output).items())


def test_the_same_seed_trains_the_same(judge: Path, pictures: Path) -> None:
    _, output = run(judge, pictures, 2)
    before = load_file(output)
    (pictures / "checkpoint.pt").unlink()
    run(judge, pictures, 2)
    assert all(torch.equal(value, before[name]) for name, value in load_file(output).items())


def test_the_decoder_learns_behind_the_encoder_which_stays(judge: Path, pictures: Path) -> None:
    before, after = (load_file(run(judge, pictures, steps)[1]) for steps in (1, 3))
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert {name.partition(".")[0] for name in changed} == {"decoder"}
    encoder = load_file(judge.with_name("encoder.safetensors"))
    assert all(torch.equal(after[f"encoder.{name}"], value.half()) for name, value in encoder.items())


def test_a_run_without_an_encoder_is_refused(judge: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--judge", str(judge), "--photos", "photos", "--paintings", "paintings"])
    assert "distil_adain_encoder" in capsys.readouterr().err


def distil(judge: Path, folder: Path, steps: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Distil an encoder with so many steps after the solution, and return the checkpoint and its weights."""
    checkpoint, output = folder / "encoder.pt", folder / "encoder.safetensors"
    words = ["--judge", judge, "--photos", folder / "photos", "--paintings", folder / "paintings"]
    words += ["--held-out", folder / "held_photos", "--held-out-stride", 1, "--crop-px", 64, "--crops", 4]
    words += ["--save-every", 2, "--steps", steps, "--checkpoint", checkpoint, "--output", output]
    distil_adain_encoder.distil(distil_adain_encoder.parse([str(word) for word in words]))
    return torch.load(checkpoint, weights_only=True), load_file(output)


def test_a_distillation_that_was_cut_off_goes_on(judge: Path, pictures: Path) -> None:
    first, before = distil(judge, pictures, 2)
    second, after = distil(judge, pictures, 4)
    assert (first["steps"], second["steps"]) == (2, 4)
    assert second["seconds"] > first["seconds"]
    slim = load_slim().state_dict()
    given = {name for name, value in after.items() if name in slim and torch.equal(value, slim[name])}
    assert {name.split(".")[1] for name in given} == {"conv1_1", "conv1_2", "conv2_1"}
    assert given == {name for name, value in after.items() if torch.equal(value, before[name])}
    rows = [json.loads(line) for line in (pictures / "encoder.log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 2, 4]
    # Few crops of slopes, and a judge of random values: yet it is far nearer than a mean, of which 1 is missed.
    assert rows[0]["held_out"]["relu3_1"] < 0.5
    assert set(rows[0]["held_out"]) == {"relu3_1", "relu4_1", "normalised"}


def test_a_layer_is_found_from_what_it_is_to_give() -> None:
    generator = torch.Generator().manual_seed(0)
    wanted = torch.nn.Conv2d(3, 5, 3, padding=1).requires_grad_(False)
    samples = Samples(3, 5)
    for _ in range(3):
        feature = torch.randn(1, 3, 20, 24, generator=generator)
        answer = wanted(feature)
        answer[:, :, :2] = 100  # along the edges, where nothing is learnt
        samples.add(feature, answer, 2, generator)
    weight, bias = samples.solution()
    assert torch.allclose(weight, wanted.weight, atol=1e-3)
    assert torch.allclose(bias, wanted.bias, atol=1e-3)


def test_the_decoder_that_is_solved_for_knows_forms_from_the_first_step() -> None:
    torch.manual_seed(0)
    encoder = TruncatedVGG((8, 8, 8, 16, 32, 32, 32, 32, 40)).requires_grad_(False)
    for convolution in encoder.convolutions.values():
        torch.nn.init.kaiming_normal_(convolution.weight)  # type: ignore[arg-type]
    decoder = Decoder((8, 8, 8, 8, 32, 32, 32, 32, 40), modulated=True).requires_grad_(False)
    set_random(decoder)
    generator = torch.Generator().manual_seed(1)
    crops = [interpolate(torch.rand(1, 3, 6, 6, generator=generator), size=96, mode="bicubic") for _ in range(13)]

    def missed_of(crop: Tensor) -> float:
        features = encoder.raw(crop, TAPS)
        own = statistics_of(features)
        image = without_margin(decoder(features, own, own), 16)
        return float(missed(image, without_margin(crop, 16)))

    before = missed_of(crops[-1])
    solve(decoder, encoder, crops[:-1])
    assert missed_of(crops[-1]) < min(0.4, 0.5 * before)


def test_what_is_missed_is_told_as_a_share_of_what_there_is() -> None:
    feature = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert missed(feature, feature) == 0
    assert missed(feature.mean((2, 3), keepdim=True).expand_as(feature), feature) == pytest.approx(1)
    scaled = 100 * feature * torch.tensor([1.0, 2.0, 5.0]).view(1, 3, 1, 1) + 7
    assert torch.allclose(normalised(scaled), normalised(100 * feature), atol=1e-4)


def test_a_run_needs_no_pictures_kept_out(judge: Path, pictures: Path) -> None:
    words = ["--judge", judge, "--photos", pictures / "photos", "--paintings", pictures / "paintings"]
    words += ["--crop-px", 32, "--batch-size", 2, "--steps", 1]
    words += ["--checkpoint", pictures / "checkpoint.pt", "--output", pictures / "adain.safetensors"]
    words += ["--encoder", judge.with_name("encoder.safetensors"), "--solved-crops", 0]
    train(parse([str(word) for word in words]))
    assert (pictures / "adain.safetensors").exists()
    assert not list(pictures.glob("sheet_*.jpg"))


def step_together(rank: int, folder: Path) -> None:
    """Take one of two processes' part in a step."""
    meeting = (folder / "meeting").as_uri()
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    parameters = [torch.zeros(2, 3, requires_grad=True), torch.zeros(1, requires_grad=True)]
    for index, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, float(10 * index + rank))
    seconds = stepped_together(parameters, 1.0 + 2 * rank)
    torch.save([seconds, *(parameter.grad for parameter in parameters)], folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_processes_that_train_together_have_one_gradient(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from tests.ml_models.test_adain_training import step_together; "
    program += "step_together(int(sys.argv[1]), Path(sys.argv[2]))"
    processes = [subprocess.Popen([sys.executable, "-c", program, str(rank), tmp_path]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    for rank in range(2):
        seconds, one, other = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert seconds == 2.0
        assert torch.equal(one, torch.full((2, 3), 0.5))
        assert torch.equal(other, torch.tensor([10.5]))


def batches(judge: Path) -> Batches:
    generator = torch.Generator().manual_seed(0)
    photos, paintings = (
        [torch.randint(256, (3, 60, 70), generator=generator, dtype=torch.uint8) for _ in range(3)] for _ in range(2)
    )
    return Batches(load_slim(), OxfordVGG19(judge), photos, paintings, 32, seed=0)


def test_a_batch_is_what_its_photos_and_styles_give(judge: Path) -> None:
    batch = batches(judge).draw(4)
    for tap in TAPS:
        for found, given in zip(moments(batch.photo[tap]), batch.own[tap], strict=True):
            assert torch.allclose(found, given, atol=1e-4)
        assert batch.own[tap][0].shape == batch.style[tap][0].shape
        assert not torch.equal(batch.own[tap][0], batch.style[tap][0])
    assert batch.photo["relu1_1"].shape == (4, 32, 96, 96)
    assert batch.photo["relu4_1"].shape == (4, 256, 12, 12)
    assert batch.judged.shape == (4, 512, 4, 4)  # without the margin
    assert batch.strength.shape == (4, 1, 1, 1)


def test_what_is_kept_is_bounded_and_the_newest_is_drawn(judge: Path) -> None:
    drawn = batches(judge)
    drawn.draw(3)
    for _ in range(3):
        style = drawn.draw(3).style["relu2_1"][0][0]
        assert torch.equal(style, drawn.known_styles[-1]["own relu2_1 0"][0])
        assert torch.equal(drawn.draw(3).judged[0], drawn.known_photos[-1]["judged"][0])
        assert not torch.equal(drawn.known_styles[-1]["own relu2_1 0"], drawn.known_styles[-2]["own relu2_1 0"])
    assert len(drawn.known_photos) == 9
    assert len(drawn.known_styles) == 9


def test_some_of_a_batch_is_painted_with_less_than_full_strength(judge: Path) -> None:
    drawn = batches(judge)
    strengths = torch.cat([drawn.draw(4).strength.flatten() for _ in range(6)])
    assert bool((strengths == 1).any())
    assert bool((strengths < 1).any())
    assert float(strengths.min()) >= 0
