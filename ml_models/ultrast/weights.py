"""UltraST's networks by name: the packaged ones, and the published ones once they are installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ml_models.devices import half_precision
from ml_models.errors import WeightsError
from ml_models.published_files import read_file
from ml_models.requests import check_encoder
from ml_models.ultrast.cascade import Networks
from ml_models.ultrast.custom_layers import STAGES, WIDTHS, Decoder, Encoder, Network, names_of
from ml_models.ultrast.published import decoder_shapes, encoder_shapes, find_file, load_published
from ml_models.ultrast.settings import SETTINGS
from ml_models.ultrast.wct import transport, whitening_colouring
from ml_models.weights import load_verified, write_whole

FOLDER = Path(__file__).parent / "pretrained_models"
PACKAGED_PATH = FOLDER / "ultrast.safetensors"
PUBLISHED_FOLDER = FOLDER / "published"
PACKAGED, PUBLISHED = "half", "published"
ENCODERS = (PACKAGED, PUBLISHED)


def choose_encoder(name: str | None) -> str:
    """Return the name; None asks for the packaged one. Raise InvalidRequestError for an unknown name."""
    return check_encoder(name or PACKAGED, ENCODERS)


@cache
def load_networks(name: str, device: torch.device) -> Networks:
    """Return the networks in the device's fastest precision, loaded once a process; they are not to be changed.

    Raises WeightsError where a file is missing or damaged.
    """
    if name == PACKAGED:
        networks = packaged_networks(PACKAGED_PATH)
    elif PUBLISHED_FOLDER.is_dir():
        networks = published_networks(PUBLISHED_FOLDER)
    else:
        raise WeightsError(
            "the published UltraST networks are not installed: run `python main.py weights ultrast --from FOLDER`"
        )
    return networks.to(device, half_precision(device))


def packaged_networks(path: Path) -> Networks:
    """Return the networks of a file that train_ultrast wrote, float32 on the CPU."""
    encoder, decoders = Encoder(), blank_decoders()
    parts = _parts(encoder, decoders)
    shapes = {key: tuple(value.shape) for key, value in parts.items()}
    with torch.no_grad():
        for key, value in load_verified(path, shapes, None, torch.float16).items():
            parts[key].copy_(value)
    for network in (encoder, *decoders.values()):
        network.requires_grad_(False)
    return Networks(
        dict.fromkeys(SETTINGS.stages, encoder),
        decoders,
        SETTINGS.margin_px,
        transport,
        SETTINGS.epsilon,
        SETTINGS.stages,
    )


def published_networks(folder: Path) -> Networks:
    """Return the published networks of a folder, float32 on the CPU, with the transfer that they came with."""
    encoders, decoders = load_published(folder)
    return Networks(encoders, decoders, 0, whitening_colouring, SETTINGS.published_epsilon)


def blank_decoders() -> dict[int, Decoder]:
    """Return {stage: decoder} of the packaged layout, their values still to come."""
    return {stage: Decoder({name: WIDTHS[name] for name in names_of(stage)}) for stage in SETTINGS.stages}


def packaged_tensors(encoder: Encoder, decoders: dict[int, Decoder]) -> dict[str, Tensor]:
    """Return what packaged_networks reads, in half precision: encoder.conv1_1.weight ... decoder2.conv1_1.bias."""
    return {key: value.detach().half().contiguous() for key, value in _parts(encoder, decoders).items()}


def install_published(folder: Path) -> Path:
    """Verify the published networks of a folder, 1SE to 5SE and 1SD to 5SD, and copy them to where they are looked for.

    Returns where they lie. Raises WeightsError; then nothing is changed.
    """
    files: dict[str, bytes] = {}
    for stage in STAGES:
        for kind, shapes in (("SE", encoder_shapes(stage)), ("SD", decoder_shapes(stage))):
            files[f"{stage}{kind}.safetensors"] = save(read_file(find_file(folder, f"{stage}{kind}"), shapes))
    for file_name, data in files.items():
        write_whole(PUBLISHED_FOLDER / file_name, data)
    return PUBLISHED_FOLDER


def _parts(encoder: Encoder, decoders: dict[int, Decoder]) -> dict[str, Tensor]:
    networks: dict[str, Network] = {"encoder": encoder}
    networks |= {f"decoder{stage}": decoders[stage] for stage in SETTINGS.stages}
    return {
        f"{part}.{name.removeprefix('convolutions.')}": value
        for part, network in networks.items()
        for name, value in network.named_parameters()
    }
