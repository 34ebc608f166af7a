"""The networks whose features measure content and style, by name: "slim" is packaged, "vgg19" once it is installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ml_models.errors import WeightsError
from ml_models.requests import check_encoder

if TYPE_CHECKING:
    from ml_models.encoders.slim import SlimEncoder
    from ml_models.encoders.vgg19 import VGG19First11Layers

ENCODERS = ("vgg19", "slim")
SLIM_PATH = Path(__file__).parent / "pretrained_models" / "slim_encoder.safetensors"


def choose_encoder(name: str | None) -> str:
    """Return the name; None asks for the best one installed. Raise InvalidRequestError for an unknown name."""
    from ml_models.weights import VGG19_PATH

    return check_encoder(name or ("vgg19" if VGG19_PATH.exists() else "slim"), ENCODERS)


@cache
def load_slim() -> SlimEncoder:
    """Return the packaged encoder, float32 on the CPU, loaded once a process; it is not to be changed.

    Raises WeightsError for a missing or damaged file.
    """
    from ml_models.encoders.slim import SlimEncoder, shapes
    from ml_models.weights import load_verified

    encoder = SlimEncoder()
    encoder.load_state_dict(load_verified(SLIM_PATH, shapes(), None))
    encoder.requires_grad_(False)
    return encoder


@cache
def load_vgg19() -> VGG19First11Layers:
    """Return the installed VGG19, float32 on the CPU, loaded once a process; it is not to be changed.

    Raises WeightsError where it is not installed, or its file is damaged.
    """
    from ml_models.encoders.vgg19 import VGG19First11Layers
    from ml_models.weights import VGG19_PATH, VGG19_SHA256, VGG19_SHAPES, load_verified

    if not VGG19_PATH.exists():
        raise WeightsError(f"VGG19 is not installed ({VGG19_PATH}): run `python main.py weights vgg19`")
    return VGG19First11Layers(load_verified(VGG19_PATH, VGG19_SHAPES, VGG19_SHA256))
