"""Files of networks: the published layout, the packaged one, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, max_pool2d, pad

from ml_models.errors import InvalidRequestError, WeightsError
from ml_models.ultrast import weights
from ml_models.ultrast.cascade import paint
from ml_models.ultrast.custom_layers import GREY, STAGES, Encoder
from ml_models.ultrast.published import decoder_shapes, encoder_shapes, load_published
from ml_models.ultrast.settings import SETTINGS


def random_values(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(shape, generator=generator) * (2.0 / max(1, torch.Size(shape[1:]).numel())) ** 0.5
        for key, shape in shapes.items()
    }


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Return a folder of the published layout, with embeddings of training as the real files have them."""
    folder = tmp_path / "published"
    folder.mkdir()
    for stage in STAGES:
        encoder = random_values(encoder_shapes(stage) | {f"conv{stage}1_aux.weight": (512, 4, 1, 1)}, stage)
        save_file(encoder, folder / f"{stage}SE.safetensors")
        save_file(random_values(decoder_shapes(stage), 10 + stage), folder / f"{stage}SD.safetensors")
    return folder


POOLED_BEFORE = ("conv21", "conv31", "conv41", "conv51")


def as_published(image: Tensor, encoder: dict[str, Tensor], decoder: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Run a published pair as its own program does; image (1, 3, H, W) in 0..1."""

    def layer(hidden: Tensor, network: dict[str, Tensor], name: str) -> Tensor:
        padded = pad(hidden, (1, 1, 1, 1), mode="reflect")
        return conv2d(padded, network[f"{name}.weight"], network[f"{name}.bias"]).relu()

    hidden = conv2d(image, encoder["conv0.weight"], encoder["conv0.bias"])
    names = sorted({key.partition(".")[0] for key in decoder})
    for name in names:
        hidden = layer(max_pool2d(hidden, 2) if name in POOLED_BEFORE else hidden, encoder, name)
    feature = hidden
    for name in reversed(names):
        hidden = layer(hidden, decoder, name)
        if name in POOLED_BEFORE:
            hidden = interpolate(hidden, scale_factor=2)
    return feature, hidden


@torch.no_grad()
@pytest.mark.parametrize("stage", STAGES)
def test_the_published_layout_computes_what_its_program_does(published: Path, stage: int) -> None:
    encoders, decoders = load_published(published)
    image = torch.rand(1, 3, 48, 32, generator=torch.Generator().manual_seed(0))
    files = (load_file(published / f"{stage}S{kind}.safetensors") for kind in "ED")
    feature, rebuilt = as_published(image, *files)
    ours = encoders[stage](image - GREY, [stage])[stage]
    torch.testing.assert_close(ours, feature, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(decoders[stage](ours) + GREY, rebuilt, rtol=1e-3, atol=1e-3)
    assert float(rebuilt.std()) > 0


def test_the_first_published_pair_is_wider_and_torchs_own_files_load_too(published: Path) -> None:
    assert encoder_shapes(1)["conv11.weight"] == (24, 3, 3, 3)
    assert encoder_shapes(2)["conv11.weight"] == (16, 3, 3, 3)
    from_safetensors = load_published(published)[0][2].convolution("conv2_1").weight
    path = published / "2SE.safetensors"
    torch.save(load_file(path), path.with_suffix(".pth"))
    path.unlink()
    assert torch.equal(load_published(published)[0][2].convolution("conv2_1").weight, from_safetensors)


def without_a_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors["conv31.bias"]
    save_file(tensors, path)


def of_another_shape(path: Path) -> None:
    save_file(load_file(path) | {"conv31.weight": torch.zeros(8, 32, 3, 3)}, path)


def not_a_number(path: Path) -> None:
    save_file(load_file(path) | {"conv31.bias": torch.full((64,), float("nan"))}, path)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def a_program(path: Path) -> None:
    path.unlink()
    path.with_suffix(".pth").write_bytes(pickle.dumps(print))


DAMAGES = pytest.mark.parametrize(
    "damage", [without_a_tensor, of_another_shape, not_a_number, cut_off, a_program, Path.unlink]
)


@DAMAGES
def test_a_damaged_folder_is_refused_by_name_and_nothing_is_installed(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: object
) -> None:
    target = tmp_path / "installed"
    monkeypatch.setattr(weights, "PUBLISHED_FOLDER", target)
    damage(published / "3SE.safetensors")  # type: ignore[operator]
    with pytest.raises(WeightsError, match="3SE"):
        weights.install_published(published)
    assert not target.exists()


def test_the_published_networks_are_used_once_they_are_installed(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PUBLISHED_FOLDER", tmp_path / "installed")
    load = weights.load_networks.__wrapped__
    with pytest.raises(WeightsError, match="weights ultrast"):
        load("published", torch.device("cpu"))
    assert weights.install_published(published) == tmp_path / "installed"
    assert sorted(path.name for path in (tmp_path / "installed").iterdir()) == sorted(
        f"{stage}S{kind}.safetensors" for stage in STAGES for kind in "ED"
    )
    assert set(load("published", torch.device("cpu")).encoders) == set(STAGES)


def test_names_of_encoders() -> None:
    assert weights.choose_encoder(None) == "half"
    assert weights.choose_encoder("published") == "published"
    with pytest.raises(InvalidRequestError, match="give one of half, published"):
        weights.choose_encoder("slim")


def test_what_is_packaged_is_read_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = Encoder()
    decoders = weights.blank_decoders()
    path = tmp_path / "ultrast.safetensors"
    tensors = weights.packaged_tensors(encoder, decoders)
    save_file(tensors, path)
    networks = weights.packaged_networks(path)
    for stage in SETTINGS.stages:
        assert networks.encoders[stage] is networks.encoders[4]
        for name, convolution in decoders[stage].convolutions.items():
            found = networks.decoders[stage].convolution(name)
            assert torch.equal(found.weight, convolution.weight.half().float())  # type: ignore[operator, union-attr]
            assert not found.weight.requires_grad
    found = networks.encoders[4].convolution("conv4_1").own_bias
    assert torch.equal(found, encoder.convolution("conv4_1").own_bias.half().float())
    save_file(tensors | {"decoder4.conv4_1.bias": torch.zeros(3).half()}, path)
    with pytest.raises(WeightsError, match=r"decoder4\.conv4_1\.bias"):
        weights.packaged_networks(path)


def test_the_packaged_file_is_small_and_has_a_card() -> None:
    files = [path for path in weights.FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    assert weights.PACKAGED_PATH in files
    assert weights.FOLDER / "MODEL_CARD.md" in files
    assert len(weights.packaged_networks(weights.PACKAGED_PATH).decoders) == len(SETTINGS.stages)


def test_more_strength_is_further_from_the_photo() -> None:
    networks = weights.packaged_networks(weights.PACKAGED_PATH)
    generator = torch.Generator().manual_seed(0)
    content, style = (
        interpolate(torch.rand(1, 3, 8, 10, generator=generator), size=(96, 120), mode="bicubic").clamp(0, 1)
        for _ in range(2)
    )
    distances = [
        float((paint(networks, content, [style], [1.0], strength) - content).square().mean())
        for strength in (0.25, 0.5, 0.75, 1.0)
    ]
    assert distances == sorted(distances)
    assert distances[-1] > 1.2 * distances[0]
