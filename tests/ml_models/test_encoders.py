"""Shapes, names and refusals of the encoders."""

import pytest
import torch

from ml_models.encoders import choose_encoder, load_slim
from ml_models.encoders.slim import TEACHER_TAPS, SlimEncoder, student_tap
from ml_models.encoders.vgg import TruncatedVGG
from ml_models.encoders.vgg19 import VGG19First11Layers
from ml_models.errors import InvalidRequestError
from ml_models.weights import VGG19_SHAPES


def test_the_packaged_encoder_loads_and_gives_its_taps() -> None:
    encoder = load_slim()
    assert load_slim() is encoder
    taps = [*dict.fromkeys(student_tap(tap) for tap in TEACHER_TAPS)]
    features = encoder(torch.rand(1, 3, 65, 48), taps)
    sizes = {1: (65, 48), 2: (33, 24), 3: (17, 12), 4: (9, 6)}
    for tap, channels in TEACHER_TAPS.items():
        feature = encoder.embed(tap, features[student_tap(tap)])
        assert feature.shape == (1, channels, *sizes[int(tap[4])])
        assert bool((feature < 0).any()) == tap.startswith("conv")
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_the_encoder_is_about_its_teachers_size_of_signal() -> None:
    """An embedded feature is divided by its root mean square over the training crops, so it has about one."""
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 16), size=(96, 128), mode="bicubic").clamp(0, 1)
    encoder = load_slim()
    for tap in TEACHER_TAPS:
        size = float(encoder.embed(tap, encoder(image, [student_tap(tap)])[student_tap(tap)]).square().mean().sqrt())
        assert 0.1 < size < 3.0


def test_an_unknown_tap_or_encoder_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="relu9_9"):
        SlimEncoder()(torch.rand(1, 3, 16, 16), ["relu9_9"])
    with pytest.raises(InvalidRequestError, match="vgg19, slim"):
        choose_encoder("resnet")


@torch.no_grad()
def test_the_picture_is_continued_by_reflection() -> None:
    """An even picture has even features up to its edges, as far as the margin reaches; padded with zeros it has not."""
    torch.manual_seed(0)
    encoder = TruncatedVGG((8, 8, 8, 8))
    even = torch.full((1, 3, 30, 21), 0.7)
    continued, plain = encoder(even, ["conv2_2"])["conv2_2"], encoder(even, ["conv2_2"], 0)["conv2_2"]
    assert continued.shape == plain.shape == (1, 8, 15, 11)
    assert float(continued.std(dim=(2, 3), correction=0).max()) < 1e-6
    assert float(plain.std(dim=(2, 3), correction=0).max()) > 1e-3


def test_vgg19_gives_its_convolutions_before_the_relu() -> None:
    torch.manual_seed(0)
    encoder = VGG19First11Layers({key: torch.randn(shape) * 0.05 for key, shape in VGG19_SHAPES.items()})
    features = encoder(torch.rand(1, 3, 32, 24))
    shapes = {name: tuple(feature.shape[1:]) for name, feature in features.items()}
    assert shapes == {
        "conv1_1": (64, 32, 24),
        "conv1_2": (64, 32, 24),
        "conv2_1": (128, 16, 12),
        "conv2_2": (128, 16, 12),
        "conv3_1": (256, 8, 6),
    }
    assert all(float(feature.min()) < 0 for feature in features.values())
