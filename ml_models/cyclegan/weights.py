"""The generators by name: "monet" is packaged, "official" is a published checkpoint, once it is installed."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ml_models.cyclegan.settings import OFFICIAL, PACKAGED, GeneratorSettings
from ml_models.errors import WeightsError
from ml_models.requests import check_encoder
from ml_models.weights import write_whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ml_models.cyclegan.custom_layers import Generator

FOLDER = Path(__file__).parent / "pretrained_models"
MONET_PATH = FOLDER / "photo_to_monet.safetensors"
OFFICIAL_PATH = FOLDER / "official.safetensors"
GENERATORS: dict[str, tuple[Path, GeneratorSettings]] = {
    "monet": (MONET_PATH, PACKAGED),
    "official": (OFFICIAL_PATH, OFFICIAL),
}
#: What instance normalisation kept in files of torch before 0.4 and is not used: the statistics are the picture's own.
UNUSED = re.compile(r"\.(running_mean|running_var|num_batches_tracked)$")


def choose_generator(name: str | None) -> str:
    """Return the name; None asks for the packaged one. Raise InvalidRequestError for an unknown name."""
    return check_encoder(name or "monet", GENERATORS)


@cache
def load_generator(name: str) -> Generator:
    """Return a generator, float32 on the CPU, loaded once a process; it is not to be changed.

    Raises WeightsError where it is not installed, or its file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path, settings = GENERATORS[name]
    if not path.exists():
        raise WeightsError(f"{path.name} is not here: run `python main.py weights cyclegan --from latest_net_G.pth`")
    try:
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path.name} cannot be read as safetensors ({error}): install it anew") from error
    return build_generator(tensors, settings, path.name)


@cache
def generator_on(name: str, device: torch.device) -> Generator:
    """Return the generator on the device, in the precision that is fastest there; it is not to be changed."""
    import torch

    from ml_models.devices import half_precision

    generator = copy.deepcopy(load_generator(name))
    return generator.to(device, half_precision(device), memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def build_generator(tensors: Mapping[str, Tensor], settings: GeneratorSettings, origin: str) -> Generator:
    """Return a frozen generator with these weights, float16 or float32.

    Args:
        origin: where they are from, for the message.

    Raises:
        WeightsError: a name or a shape is missing, too much or other than the generator's.
    """
    import torch

    from ml_models.cyclegan.custom_layers import Generator, shapes

    used = {name: value for name, value in tensors.items() if not UNUSED.search(name)}
    found = {name: tuple(value.shape) for name, value in used.items() if value.is_floating_point()}
    expected = shapes(settings)
    wrong = sorted(name for name in {*used, *expected} if found.get(name) != expected.get(name))
    if wrong:
        met = f"{wrong[0]} is {found.get(wrong[0], 'missing')}, expected {expected.get(wrong[0], 'no such name')}"
        raise WeightsError(
            f"{origin} has {len(wrong)} other tensors than the generator ({met}): give a generator's file"
        )
    not_finite = next((name for name, value in used.items() if not bool(torch.isfinite(value).all())), None)
    if not_finite:
        raise WeightsError(f"{origin} has values in {not_finite} that are no numbers: give an undamaged file")
    with torch.device("meta"):
        generator = Generator(settings)
    generator.load_state_dict({name: value.float() for name, value in used.items()}, assign=True)
    return generator.requires_grad_(False)


def install_official(path: Path, *, output: Path = OFFICIAL_PATH) -> Path:
    """Install a checkpoint of the paper's code, `latest_net_G.pth` of resnet_9blocks, and return where it lies.

    Raises WeightsError naming what is wrong with it; nothing is left behind then, and what was installed before stays.
    """
    import torch
    from safetensors.torch import save

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged pickle or zip raises nearly anything, and so does a pickle that asks for more than tensors.
        raise WeightsError(
            f"{path.name} is no file of weights ({type(error).__name__}): give latest_net_G.pth"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path.name} holds other things than tensors by name: give latest_net_G.pth")
    generator = build_generator(state, OFFICIAL, path.name)
    write_whole(output, save({key: value.contiguous() for key, value in generator.state_dict().items()}))
    load_generator.cache_clear()
    generator_on.cache_clear()
    return output
