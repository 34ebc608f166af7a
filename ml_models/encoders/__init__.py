"""The networks whose features measure content and style, by name: "slim" is packaged, "vgg19" once it is installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ml_models.errors import InvalidRequestError, WeightsError

if TYPE_CHECKING:
    from ml_models.encoders.slim import SlimEncoder
    from ml_models.encoders.vgg19 import VGG19First11Layers

ENCODERS = ("vgg19", "slim")
SLIM_PATH = Path(__file__).parent / "pretrained_models" / "slim_encoder.safetensors"


def default_encoder() -> str:
    """Return "vgg19" where its weights are installed, else "slim"."""
    from ml_models.weights import VGG19_PATH

    return "vgg19" if VGG19_PATH.exists() else "slim"


def load_encoder(name: str | None) -> tuple[str, SlimEncoder | VGG19First11Layers]:
    """Return the name and the encoder, loaded once a process; None asks for the best one installed.

    Raises InvalidRequestError for an unknown name, WeightsError for a missing or damaged file.
    """
    name = name or default_encoder()
    if name not in ENCODERS:
        raise InvalidRequestError(f"encoder={name!r} is not known: give one of {', '.join(ENCODERS)}", field="encoder")
    return name, _load(name)


@cache
def _load(name: str) -> SlimEncoder | VGG19First11Layers:
    from ml_models.weights import VGG19_PATH, VGG19_SHA256, VGG19_SHAPES, load_verified

    if name == "slim":
        from ml_models.encoders.slim import SHAPES as SLIM_SHAPES
        from ml_models.encoders.slim import SlimEncoder

        encoder = SlimEncoder()
        encoder.load_state_dict(load_verified(SLIM_PATH, SLIM_SHAPES, None))
        return encoder.to_channels_last()
    from ml_models.encoders.vgg19 import VGG19First11Layers

    if not VGG19_PATH.exists():
        raise WeightsError(f"VGG19 is not installed ({VGG19_PATH}): run `python main.py weights vgg19`")
    return VGG19First11Layers(load_verified(VGG19_PATH, VGG19_SHAPES, VGG19_SHA256))
