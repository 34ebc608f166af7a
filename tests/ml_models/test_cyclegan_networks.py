"""The generators' and the discriminators' form, and the official checkpoints."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, instance_norm, interpolate, pad

from ml_models.cyclegan.custom_layers import Generator, InstanceNorm, ResizeConvolution, shapes, surroundings
from ml_models.cyclegan.discriminators import PROJECTED_TAPS, PatchDiscriminator, ProjectedDiscriminator
from ml_models.cyclegan.settings import OFFICIAL, GeneratorSettings
from ml_models.cyclegan.weights import GENERATORS, build_generator, choose_generator, install_official, load_generator
from ml_models.errors import InvalidRequestError, WeightsError


def official_shapes() -> dict[str, tuple[int, ...]]:
    """Every key of latest_net_G.pth of resnet_9blocks, written down by hand after the paper's code."""
    sizes: dict[str, tuple[int, ...]] = {
        "model.1": (64, 3, 7, 7),
        "model.4": (128, 64, 3, 3),
        "model.7": (256, 128, 3, 3),
    }
    for block in range(10, 19):
        sizes |= {f"model.{block}.conv_block.1": (256, 256, 3, 3), f"model.{block}.conv_block.5": (256, 256, 3, 3)}
    # A transposed convolution keeps its inputs first.
    sizes |= {"model.19": (256, 128, 3, 3), "model.22": (128, 64, 3, 3), "model.26": (3, 64, 7, 7)}
    biases = {"model.19": 128, "model.22": 64}
    expected: dict[str, tuple[int, ...]] = {}
    for name, size in sizes.items():
        expected |= {f"{name}.weight": size, f"{name}.bias": (biases.get(name, size[0]),)}
    return expected


def random_checkpoint(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(size, generator=generator) * 0.02 for name, size in official_shapes().items()}


def test_the_official_layout_has_just_these_keys_and_shapes() -> None:
    assert shapes(OFFICIAL) == official_shapes()
    assert len(shapes(OFFICIAL)) == 48


def test_an_official_checkpoint_loads_key_by_key_and_paints(tmp_path: Path) -> None:
    checkpoint = random_checkpoint()
    # As files of torch before 0.4 have them.
    old = {f"model.{index}.{kept}": torch.ones(64) for index in (2, 20) for kept in ("running_mean", "running_var")}
    old |= {"model.11.conv_block.2.num_batches_tracked": torch.tensor(7)}
    torch.save(checkpoint | old, tmp_path / "latest_net_G.pth")
    installed = install_official(tmp_path / "latest_net_G.pth", output=tmp_path / "official.safetensors")
    assert [path.name for path in tmp_path.glob("*official*")] == [installed.name]

    from safetensors.torch import load_file

    loaded = build_generator(load_file(installed), OFFICIAL, installed.name)
    state = loaded.state_dict()
    assert set(state) == set(checkpoint)
    for name, value in checkpoint.items():
        assert torch.equal(state[name], value), name
    painted = loaded(torch.rand(1, 3, 24, 16) * 2 - 1)
    assert painted.shape == (1, 3, 24, 16)
    assert float(painted.std()) > 0
    assert float(painted.abs().max()) <= 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model.10.conv_block.1.weight": torch.zeros(128, 256, 3, 3)}, r"model.10.conv_block.1.weight is \(128, 256"),
        ({"model.28.weight": torch.zeros(3)}, r"model.28.weight .* no such name"),
        ({"model.1.weight": None}, "model.1.weight is missing"),
        ({"model.4.bias": torch.full((128,), torch.nan)}, "model.4.bias"),
    ],
)
def test_another_checkpoint_is_refused_by_name(change: dict[str, Tensor | None], said: str, tmp_path: Path) -> None:
    changed = {name: value for name, value in (random_checkpoint() | change).items() if value is not None}
    torch.save(changed, tmp_path / "other.pth")
    output = tmp_path / "official.safetensors"
    output.write_bytes(b"what was there before")
    with pytest.raises(WeightsError, match=said):
        install_official(tmp_path / "other.pth", output=output)
    assert output.read_bytes() == b"what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["official.safetensors", "other.pth"]


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not a pickle")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save(Generator(GeneratorSettings(2, 1, "transposed", "all")), tmp_path / "module.pth")
    for name in ("text.pth", "list.pth", "module.pth", "none.pth"):
        with pytest.raises(WeightsError, match=name):
            install_official(tmp_path / name, output=tmp_path / "official.safetensors")
    assert not (tmp_path / "official.safetensors").exists()


def test_names_choose_the_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_generator(None) == "monet"
    with pytest.raises(InvalidRequestError, match="give one of monet, official") as caught:
        choose_generator("vgg19")
    assert caught.value.details["field"] == "encoder"
    monkeypatch.setitem(GENERATORS, "official", (tmp_path / "official.safetensors", OFFICIAL))
    with pytest.raises(WeightsError, match="weights cyclegan --from"):
        load_generator("official")


def test_resize_convolution_is_nearest_neighbour_and_a_convolution() -> None:
    torch.manual_seed(0)
    layer, feature = ResizeConvolution(5, 7), torch.randn(2, 5, 6, 9)
    enlarged = pad(interpolate(feature, scale_factor=2.0, mode="nearest"), (1, 1, 1, 1), mode="reflect")
    torch.testing.assert_close(layer(feature), conv2d(enlarged, layer.weight, layer.bias))


def test_instance_norm_is_torchs() -> None:
    torch.manual_seed(0)
    feature = torch.randn(3, 4, 6, 5) * 3 + 10
    torch.testing.assert_close(InstanceNorm(4, affine=False)(feature), instance_norm(feature, eps=1e-5))
    scaled = InstanceNorm(4, affine=True, scale=2.0)
    torch.testing.assert_close(scaled(feature), 2 * instance_norm(feature, eps=1e-5))


@pytest.mark.parametrize(
    "settings", [GeneratorSettings(4, 6, "resize", "blocks", 1.25), GeneratorSettings(4, 9, "transposed", "all")]
)
def test_a_generator_keeps_the_size_and_uses_every_weight(settings: GeneratorSettings) -> None:
    generator = Generator(settings)
    generator.initialise(torch.Generator().manual_seed(0))
    image = torch.rand(2, 3, 20, 28) * 2 - 1
    painted = generator(image)
    assert painted.shape == image.shape
    (painted - image.flip(3)).square().mean().backward()
    unused = [name for name, parameter in generator.named_parameters() if parameter.grad is None]
    assert not unused


def test_surroundings_are_colours_without_strokes() -> None:
    even = torch.tensor([0.5, 0.1, -0.3]).view(1, 3, 1, 1).expand(1, 3, 40, 30)
    torch.testing.assert_close(surroundings(even), even)
    stripes = even.clone()
    stripes[..., ::2] += 0.2
    stripes[..., 1::2] -= 0.2
    assert float((surroundings(stripes) - even).abs().max()) < 0.03
    step = torch.cat([torch.zeros(1, 3, 8, 64), torch.ones(1, 3, 8, 64)], dim=3)
    around = surroundings(step)[0, 0, 0]
    # Two means of 17 pixels reach 16 pixels to each side.
    assert [float(around[place]) for place in (47, 48 + 32)] == pytest.approx([0, 1])
    assert 0 < float(around[48]) < 0.5


def test_colours_are_the_photos_and_strokes_the_layers() -> None:
    own = Generator(GeneratorSettings(2, 1, "resize", "blocks"))
    given = Generator(GeneratorSettings(2, 1, "resize", "blocks", vividness=2.0))
    image = torch.tensor([0.3, 0.2, 0.1]).view(1, 3, 1, 1).expand(1, 3, 40, 40)
    painted = torch.full((1, 3, 40, 40), -0.5)
    painted[..., 20, 20] = 0.1
    assert own.with_colours(painted, image) is painted
    coloured = given.with_colours(painted, image)
    assert coloured[0, :, 0, 0].tolist() == pytest.approx([0.4, 0.2, 0.0], abs=1e-5)
    assert (coloured[0, :, 20, 20] - coloured[0, :, 0, 0]).tolist() == pytest.approx([0.6] * 3, abs=0.01)


def test_the_first_weights_are_those_of_the_seed() -> None:
    made = []
    for seed in (0, 0, 1):
        generator = Generator(GeneratorSettings(2, 1, "resize", "blocks"))
        generator.initialise(torch.Generator().manual_seed(seed))
        made.append(generator.state_dict()["model.1.weight"])
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_a_score_of_the_patch_discriminator_sees_70_by_70_pixels() -> None:
    """Its gradient says what it sees; instance normalisation sees the whole picture and is left out for that."""
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(ndf=4)
    for index, layer in enumerate(discriminator.model):
        if isinstance(layer, InstanceNorm):
            discriminator.model[index] = torch.nn.Identity()
    image = torch.randn(1, 3, 128, 128, requires_grad=True)
    scores = discriminator(image)
    assert scores.shape == (1, 1, 14, 14)
    scores[0, 0, 7, 7].backward()
    assert image.grad is not None
    seen = image.grad[0].abs().sum(0) > 0
    rows, columns = (torch.nonzero(seen.any(dim)).flatten() for dim in (1, 0))
    assert int(rows[-1] - rows[0]) + 1 == int(columns[-1] - columns[0]) + 1 == 70


def test_the_projected_discriminator_scores_each_tap_whatever_its_scale() -> None:
    torch.manual_seed(0)
    features = {tap: torch.rand(1, channels, 8, 8) for tap, channels in PROJECTED_TAPS.items()}
    discriminator = ProjectedDiscriminator(width=4).eval()
    discriminator.scale_by(features)
    scores = discriminator(features)
    assert [score.shape for score in scores] == [(1, 1, 8, 8)] * len(PROJECTED_TAPS)
    larger = {tap: 100 * feature for tap, feature in features.items()}
    discriminator.scale_by(larger)
    for score, same in zip(scores, discriminator(larger), strict=True):
        torch.testing.assert_close(score, same, rtol=1e-2, atol=1e-2)
