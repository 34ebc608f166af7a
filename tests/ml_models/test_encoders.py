"""Shapes, names and refusals of the encoders."""

import pytest
import torch

from ml_models.encoders import load_encoder
from ml_models.encoders.slim import TAPS, SlimEncoder
from ml_models.encoders.vgg19 import VGG19First11Layers
from ml_models.errors import InvalidRequestError
from ml_models.weights import VGG19_SHAPES


def test_the_packaged_slim_encoder_loads_and_gives_its_taps() -> None:
    name, encoder = load_encoder("slim")
    assert name == "slim"
    assert isinstance(encoder, SlimEncoder)
    features = encoder(torch.rand(1, 3, 65, 48))
    sizes = {"relu1_1": (65, 48), "relu2_1": (33, 24), "relu3_1": (17, 12), "relu4_1": (9, 6)}
    for tap, (student, teacher) in TAPS.items():
        assert features[tap].shape == (1, student, *sizes[tap])
        assert encoder.embed({tap: features[tap]})[tap].shape == (1, teacher, *sizes[tap])
    assert load_encoder("slim")[1] is encoder


def test_the_slim_encoder_stops_at_the_last_tap_asked_for() -> None:
    assert list(SlimEncoder()(torch.rand(1, 3, 16, 16), ["relu2_1"])) == ["relu2_1"]


def test_an_unknown_tap_or_encoder_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="relu9_9"):
        SlimEncoder()(torch.rand(1, 3, 16, 16), ["relu9_9"])
    with pytest.raises(InvalidRequestError, match="vgg19, slim"):
        load_encoder("resnet")


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
