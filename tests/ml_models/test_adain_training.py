"""AdaIN's training: what a batch holds, and a run that is cut off and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ml_models.adain.statistics import TAPS, moments
from ml_models.adain.weights import load_networks, oxford_shapes
from ml_models.encoders import load_slim
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.training import adain_batches
from ml_models.training.adain_batches import FIXED, Batches
from ml_models.training.train_adain import parse, seen, stepped_together, train


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random values in the layout of the Oxford VGG19, of about the size that keeps a signal's."""
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    torch.manual_seed(0)
    tensors = {}
    for name, shape in oxford_shapes().items():
        inputs = 9 * shape[1] if len(shape) == 4 else 1
        tensors[name] = torch.randn(shape) * (2 / inputs) ** 0.5 * (len(shape) == 4)
    save_file(tensors, path)
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


def run(judge: Path, folder: Path, steps: int, *more: object) -> tuple[dict[str, object], Path]:
    """Train up to so many steps and return the checkpoint and the weights file."""
    checkpoint, output = folder / "checkpoint.pt", folder / "adain.safetensors"
    words = ["--judge", judge, "--photos", folder / "photos", "--paintings", folder / "paintings"]
    words += ["--held-out", folder / "held_photos", "--held-out", folder / "held_paintings", "--crop-px", 32]
    words += ["--batch-size", 3, "--steps", steps, "--checkpoint", checkpoint, "--output", output, *more]
    train(parse([str(word) for word in words]))
    return torch.load(checkpoint, weights_only=True), output


def test_a_run_that_was_cut_off_goes_on(judge: Path, pictures: Path) -> None:
    first, output = run(judge, pictures, 2)
    before = load_file(output)
    assert first["step"] == 2
    assert (pictures / "sheet_00002.jpg").exists()
    second, _ = run(judge, pictures, 3)
    assert second["step"] == 3
    assert second["seconds"] > first["seconds"]  # type: ignore[operator]
    after = load_file(output)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    with safe_open(output, "pt") as file:
        assert file.metadata()["steps"] == "3"
    load_networks(output)
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


def test_what_is_not_trained_stays_and_the_rest_of_the_encoder_learns(judge: Path, pictures: Path) -> None:
    _, output = run(judge, pictures, 2)
    slim = load_slim().state_dict()
    for name, value in load_networks(output).encoder.state_dict().items():
        fixed = name.split(".")[1] in {"conv1_1", "conv1_2", "conv2_1"}
        assert torch.equal(value, slim[name].half().float()) == fixed


def test_a_run_needs_no_pictures_kept_out(judge: Path, pictures: Path) -> None:
    words = ["--judge", judge, "--photos", pictures / "photos", "--paintings", pictures / "paintings"]
    words += ["--crop-px", 32, "--batch-size", 2, "--steps", 1]
    words += ["--checkpoint", pictures / "checkpoint.pt", "--output", pictures / "adain.safetensors"]
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
    for tap in FIXED:
        for found, given in zip(moments(batch.photo[tap]), batch.own[tap], strict=True):
            assert torch.allclose(found, given, atol=1e-5)
        assert batch.own[tap][0].shape == batch.style_own[tap][0].shape
        assert not torch.equal(batch.own[tap][0], batch.style_own[tap][0])
    assert torch.allclose(moments(batch.style)[1], batch.style_own[FIXED[-1]][1], atol=1e-5)
    assert batch.style.shape == (4, 64, 24, 24)
    assert batch.photo["relu1_1"].shape == (4, 32, 96, 96)
    assert batch.judged.shape == (4, 512, 4, 4)  # without the margin
    assert batch.strength.shape == (4, 1, 1, 1)


def test_what_the_encoder_sees_of_a_batch_is_what_it_sees_of_the_pictures(judge: Path) -> None:
    drawn, encoder = batches(judge), load_slim()
    crop = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    whole = encoder.raw(crop, TAPS)
    batch = drawn.draw(2)
    batch.photo.update({tap: whole[tap] for tap in FIXED})
    features, own, style = seen(encoder, batch)
    for tap in TAPS:
        assert torch.allclose(features[tap], whole[tap], atol=1e-5)
        assert own[tap][0].shape == style[tap][0].shape


def test_what_is_kept_is_bounded_and_the_newest_are_drawn(judge: Path) -> None:
    drawn = batches(judge)
    for _ in range(7):
        batch = drawn.draw(3)
        assert torch.equal(batch.judged[0], drawn.known_photos[-1]["judged"][0])
        assert torch.equal(batch.style_own["relu2_1"][0][0], drawn.known_styles[-1]["own relu2_1 0"][0])
    assert len(drawn.known_photos) == 9
    assert len(drawn.known_styles) == 9


def test_some_of_a_batch_is_painted_with_less_than_full_strength(judge: Path) -> None:
    drawn = batches(judge)
    strengths = torch.cat([drawn.draw(4).strength.flatten() for _ in range(6)])
    assert bool((strengths == 1).any())
    assert bool((strengths < 1).any())
    assert float(strengths.min()) >= 0
