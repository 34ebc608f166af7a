"""AdaIN: its maths by known answers, its decoder's shapes, and what it promises of strength and several styles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ml_models.adain import custom_layers, weights
from ml_models.adain.build_style_transfer_model import CONTRAST, StyleTransferModel
from ml_models.adain.custom_layers import Decoder, Map, adaptive_instance_normalisation, flat
from ml_models.adain.statistics import TAPS, Moments, mixed, moments, scale_and_shift, statistics_of
from ml_models.encoders.vgg import TruncatedVGG
from ml_models.errors import InvalidRequestError, WeightsError
from ml_models.losses import mean_and_deviation

#: Of an encoder and of the decoder behind it, which differ where the packaged ones do.
NARROW, MIRRORED = (4, 4, 6, 8, 8, 8, 8, 8, 10), (4, 4, 6, 6, 8, 8, 8, 8, 10)
CPU = torch.device("cpu")


def column(*values: float) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)


def picture(seed: int, height: int = 48, width: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module")
def packaged() -> StyleTransferModel:
    return weights.load_model("slim", CPU)


def narrow_model(*, modulated: bool = True) -> StyleTransferModel:
    torch.manual_seed(0)
    encoder = TruncatedVGG(NARROW).requires_grad_(False)
    return StyleTransferModel(lambda image: encoder.raw(image, TAPS), Decoder(MIRRORED, modulated=modulated), 16)


def test_a_feature_gets_the_moments_asked_for() -> None:
    feature = torch.tensor([[1.0, 3.0], [1.0, 3.0]]).expand(1, 2, 2, 2) * column(1.0, 10.0)
    own = moments(feature)
    assert torch.allclose(own[0], column(2.0, 20.0))
    assert torch.allclose(own[1], column(1.0, 10.0), atol=1e-4)
    result = adaptive_instance_normalisation(feature, own, (column(5.0, -1.0), column(2.0, 0.5)))
    expected = torch.stack([torch.tensor([[3.0, 7.0]] * 2), torch.tensor([[-1.5, -0.5]] * 2)])
    assert torch.allclose(result[0], expected, atol=1e-3)


def test_a_constant_becomes_the_mean_of_the_style() -> None:
    constant = torch.full((1, 3, 5, 7), 0.4)
    result = adaptive_instance_normalisation(
        constant, moments(constant), (column(1.0, 2.0, 3.0), column(1.0, 1.0, 1.0))
    )
    assert torch.allclose(result, column(1.0, 2.0, 3.0).expand(1, 3, 5, 7), atol=1e-3)


def test_moments_and_their_gradients_are_those_of_autograd() -> None:
    torch.manual_seed(0)
    feature = torch.randn(2, 5, 9, 7).relu().contiguous(memory_format=torch.channels_last)
    weight = torch.randn(2, 5, 1, 1), torch.randn(2, 5, 1, 1)
    gradients = []
    for measure in (moments, mean_and_deviation):
        leaf = feature.clone().requires_grad_()
        found = measure(leaf)
        (found[0] * weight[0] + found[1] * weight[1]).sum().backward()
        gradients.append((*found, leaf.grad))
    for ours, autograds in zip(*gradients, strict=True):
        assert ours is not None
        assert torch.allclose(ours, autograds, atol=1e-5)  # type: ignore[arg-type]


def test_scale_and_shift_has_the_gradients_of_autograd() -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 6, 5), torch.randn(2, 3, 1, 1), torch.randn(2, 3, 1, 1)]
    weight = torch.randn(2, 3, 6, 5)
    gradients = []
    for compute in (scale_and_shift, lambda feature, scale, shift: feature * scale + shift):
        leaves = [each.clone().requires_grad_() for each in inputs]
        result = compute(*leaves)
        (result * weight).sum().backward()
        gradients.append([result, *(leaf.grad for leaf in leaves)])
    for ours, autograds in zip(*gradients, strict=True):
        assert torch.allclose(ours, autograds, atol=1e-5)


def test_mixing_targets_is_mixing_features() -> None:
    """Equations 14 and 15 of the paper, which mix features, with one pass less."""
    torch.manual_seed(0)
    feature = torch.randn(1, 4, 6, 6)
    own = moments(feature)
    styles = [moments(torch.randn(1, 4, 8, 8) * 3 + shift) for shift in (1.0, -2.0)]
    one, other = (dict.fromkeys(TAPS, style) for style in styles)
    target = mixed([dict.fromkeys(TAPS, own), one, other], [0.4, 0.6 * 0.75, 0.6 * 0.25])["relu4_1"]
    features = [adaptive_instance_normalisation(feature, own, style) for style in styles]
    expected = 0.4 * feature + 0.6 * (0.75 * features[0] + 0.25 * features[1])
    assert torch.allclose(adaptive_instance_normalisation(feature, own, target), expected, atol=1e-5)


def test_mixed_takes_a_share_for_each_sample() -> None:
    ones: dict[str, Moments] = {tap: (torch.ones(2, 3, 1, 1), torch.ones(2, 3, 1, 1)) for tap in TAPS}
    threes = {tap: (3 * mean, 5 * deviation) for tap, (mean, deviation) in ones.items()}
    share = torch.tensor([0.0, 0.5]).view(2, 1, 1, 1)
    mean, deviation = mixed([ones, threes], [1 - share, share])["relu2_1"]
    assert mean[:, 0, 0, 0].tolist() == [1.0, 2.0]
    assert deviation[:, 0, 0, 0].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("modulated", [True, False])
def test_the_decoder_mirrors_the_encoder(modulated: bool) -> None:
    model = narrow_model(modulated=modulated)
    features = model.encode(picture(0, 40, 56))
    own = statistics_of(features)
    image = model.decoder(features if modulated else {"relu4_1": features["relu4_1"]}, own, own)
    assert image.shape == (1, 3, 40, 56)


def test_modulation_begins_as_none_and_then_reaches_every_channel() -> None:
    model = narrow_model()
    modulation = model.decoder.modulation
    assert modulation is not None
    statistics = [statistics_of(model.encode(picture(seed))) for seed in (0, 1)]
    for scale, shift in modulation(statistics[0]).values():
        assert bool((scale == 1).all())
        assert bool((shift == 0).all())
    with torch.no_grad():
        modulation.last.weight.normal_(0, 0.1)
    ours, theirs = (modulation(each) for each in statistics)
    assert list(ours) == ["conv4_1", "conv3_4", "conv3_3", "conv3_2", "conv3_1", "conv2_2", "conv2_1", "conv1_2"]
    for name, pair in ours.items():
        for one, other in zip(pair, theirs[name], strict=True):
            assert bool((one != other).all())


def stirred(model: StyleTransferModel) -> StyleTransferModel:
    """Return the model with a modulation that changes something."""
    modulation = model.decoder.modulation
    assert modulation is not None
    with torch.no_grad():
        modulation.last.weight.normal_(0, 0.02)
    return model


@torch.no_grad()
def test_what_is_decoded_has_the_styles_statistics_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    model = stirred(narrow_model())
    photo, style = (model.encode(picture(seed)) for seed in (0, 1))
    target = statistics_of(style)
    convolve, inputs = custom_layers._convolve, {}

    def recording(
        feature: Tensor,
        convolution: torch.nn.Module,
        padding: int = 0,
        before: Map | None = None,
        after: Map | None = None,
    ) -> Tensor:
        inputs[convolution] = scale_and_shift(feature, *before) if before else feature
        return convolve(feature, convolution, padding, before, after)

    monkeypatch.setattr(custom_layers, "_convolve", recording)
    decoder = model.decoder
    decoder(photo, statistics_of(photo), target)
    for name, tap in (("conv4_1", "relu4_1"), ("conv3_4", "relu3_1"), ("conv2_2", "relu2_1"), ("conv1_2", "relu1_1")):
        found = moments(inputs[decoder.convolutions[name]])
        assert torch.allclose(found[0], target[tap][0], atol=1e-3)
        varied = found[1] > 0.01  # a channel that is the same all over stays so
        assert bool(varied.any())
        assert torch.allclose(found[1][varied], target[tap][1][varied], atol=2e-3)


def test_maps_in_the_kernels_paint_what_maps_over_the_features_paint() -> None:
    networks = weights.load_networks(weights.NETWORKS_PATH)
    networks.decoder.requires_grad_()
    model = StyleTransferModel(lambda image: networks.encoder.raw(image, TAPS), networks.decoder)
    style = model.style(picture(1))
    photo = picture(0, 256, 208)
    painted = model.paint(photo, [style], [1.0])
    assert painted.requires_grad
    over_features = painted.detach()
    with torch.no_grad():
        in_kernels = model.paint(photo, [style], [1.0])
    # The padding differs, outside the picture, and reaches a little into it.
    difference, spread = (in_kernels - over_features).abs(), float(over_features.std())
    assert float(difference.mean()) < 0.01 * spread
    assert float(difference.max()) < 0.05 * spread


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 31), (23, 24), (50, 33), (65, 24)])
@torch.inference_mode()
def test_any_size_keeps_its_size(packaged: StyleTransferModel, height: int, width: int) -> None:
    image = packaged.paint(picture(0, height, width), [packaged.style(picture(1, 35, 49))], [1.0])
    assert image.shape == (1, 3, height, width)
    assert bool(image.isfinite().all())


@torch.inference_mode()
def test_the_packaged_decoder_brings_the_photo_to_the_style(packaged: StyleTransferModel) -> None:
    """The style's own measure, through the packaged encoder: most of the way from the photo is gone."""
    photo, style = picture(3, 96, 128), 0.3 * picture(4, 96, 128) + 0.1 * picture(5, 96, 128).flip(3).round()
    asked = packaged.style(style)
    wanted = flat(statistics_of(packaged.encode(style)))

    def distance(image: Tensor) -> float:
        found = flat(statistics_of(packaged.encode(image.float().clamp(0, 1))))
        return float((found - wanted).square().mean())

    before = distance(photo)
    after = [distance(packaged.paint(photo, [asked], [1.0], strength)) for strength in (0.25, 0.5, 0.75, 1.0)]
    assert after[-1] < 0.3 * before
    assert sorted(after, reverse=True) == after


@torch.inference_mode()
def test_a_style_asks_for_more_contrast_at_the_pixels_alone() -> None:
    model = narrow_model()
    asked, found = model.style(picture(1)), statistics_of(model.encode(picture(1)))
    assert torch.equal(asked["relu1_1"][1], CONTRAST * found["relu1_1"][1])
    others = [(tap, index) for tap in TAPS for index in range(2) if (tap, index) != ("relu1_1", 1)]
    assert all(torch.equal(asked[tap][index], found[tap][index]) for tap, index in others)


@torch.inference_mode()
def test_two_equal_styles_are_one(packaged: StyleTransferModel) -> None:
    photo, style = picture(0), packaged.style(picture(1))
    one = packaged.paint(photo, [style], [1.0]).float()
    two = packaged.paint(photo, [style, style], [0.3, 0.7]).float()
    assert float((one - two).abs().mean()) < 0.004


@torch.inference_mode()
def test_a_mixture_lies_between_its_styles(packaged: StyleTransferModel) -> None:
    photo, red, blue = picture(0), picture(1), picture(2)
    red[:, 1:] *= 0.2
    blue[:, :2] *= 0.2
    styles = [packaged.style(red), packaged.style(blue)]
    redness = []
    for share in (0.0, 0.5, 1.0):
        image = packaged.paint(photo, styles, [share, 1 - share]).float()
        redness.append(float(image[:, 0].mean() - image[:, 2].mean()))
    assert redness[0] < redness[1] < redness[2]


@torch.inference_mode()
def test_the_same_twice(packaged: StyleTransferModel) -> None:
    style = packaged.style(picture(1))
    assert torch.equal(packaged.paint(picture(0), [style], [1.0]), packaged.paint(picture(0), [style], [1.0]))


def test_a_picture_of_one_colour_gives_numbers() -> None:
    model = narrow_model()
    even = torch.full((1, 3, 32, 32), 0.5)
    with torch.inference_mode():
        assert bool(model.paint(even, [model.style(even)], [1.0]).isfinite().all())
        assert bool(model.paint(picture(0), [model.style(even)], [1.0]).isfinite().all())


def published_files(folder: Path, extension: str = ".safetensors") -> tuple[Path, Path]:
    """Write random values in the layout of the published pair."""
    torch.manual_seed(0)
    encoder, decoder = folder / f"encoder{extension}", folder / f"decoder{extension}"
    for path, shapes in ((encoder, weights.oxford_shapes()), (decoder, weights.published_shapes())):
        tensors = {name: torch.randn(shape) * (2 / max(1, *shape[1:], 1) / 9) ** 0.5 for name, shape in shapes.items()}
        (save_file if extension == ".safetensors" else torch.save)(tensors, path)
    return encoder, decoder


@pytest.mark.parametrize("extension", [".safetensors", ".pth"])
def test_the_published_layout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, extension: str) -> None:
    monkeypatch.setattr(weights, "PUBLISHED_ENCODER_PATH", tmp_path / "installed" / "encoder.safetensors")
    monkeypatch.setattr(weights, "PUBLISHED_DECODER_PATH", tmp_path / "installed" / "decoder.safetensors")
    weights.load_model.cache_clear()
    with pytest.raises(WeightsError, match="weights adain --from"):
        weights.load_model("oxford", CPU)
    shapes = weights.published_shapes()
    assert shapes["1.weight"] == (256, 512, 3, 3)
    assert shapes["28.bias"] == (3,)
    assert len(shapes) == 18
    encoder, decoder = published_files(tmp_path, extension)
    installed = weights.install_published(encoder, decoder)
    assert installed == (weights.PUBLISHED_ENCODER_PATH, weights.PUBLISHED_DECODER_PATH)
    model = weights.load_model("oxford", CPU)
    with torch.inference_mode():
        image = model.paint(picture(0, 33, 40), [model.style(picture(1, 32, 32))], [1.0])
    assert image.shape == (1, 3, 33, 40)
    weights.load_model.cache_clear()


def test_a_published_file_of_other_tensors_is_refused_and_nothing_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = tmp_path / "installed" / "decoder.safetensors"
    monkeypatch.setattr(weights, "PUBLISHED_ENCODER_PATH", tmp_path / "installed" / "encoder.safetensors")
    monkeypatch.setattr(weights, "PUBLISHED_DECODER_PATH", installed)
    encoder, decoder = published_files(tmp_path)
    with pytest.raises(WeightsError, match=r"encoder\.safetensors has no 1\.weight"):
        weights.install_published(encoder, encoder)
    with pytest.raises(WeightsError, match=r"decoder\.safetensors has no 0\.weight"):
        weights.install_published(decoder, decoder)
    assert not installed.parent.exists()


def test_damaged_weights_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "adain.safetensors"
    path.write_bytes(weights.NETWORKS_PATH.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"adain\.safetensors cannot be read"):
        weights.load_networks(path)
    shapes = weights.shapes_of(weights.Networks())
    save_file({name: torch.zeros(shape, dtype=torch.float16) for name, shape in list(shapes.items())[1:]}, path)
    with pytest.raises(WeightsError, match=r"adain\.safetensors has other tensors"):
        weights.load_networks(path)


def test_an_unknown_encoder_is_refused_by_name() -> None:
    assert weights.choose_encoder(None) == "slim"
    with pytest.raises(InvalidRequestError, match="slim, oxford") as caught:
        weights.choose_encoder("vgg19")
    assert caught.value.details["field"] == "encoder"
