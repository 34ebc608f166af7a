"""AdaIN's networks: the packaged pair, and the published one once it is installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from ml_models.adain.build_style_transfer_model import StyleTransferModel
from ml_models.adain.custom_layers import MIRRORED, Decoder
from ml_models.adain.statistics import TAPS
from ml_models.devices import half_precision
from ml_models.encoders.teacher import CONVOLUTIONS, OxfordVGG19
from ml_models.encoders.vgg import TruncatedVGG
from ml_models.errors import WeightsError
from ml_models.published_files import read_file
from ml_models.requests import check_encoder
from ml_models.weights import load_verified, write_whole

FOLDER = Path(__file__).parent / "pretrained_models"
NETWORKS_PATH = FOLDER / "adain.safetensors"
PUBLISHED_ENCODER_PATH = FOLDER / "vgg_normalised_relu4_1.safetensors"
PUBLISHED_DECODER_PATH = FOLDER / "published_decoder.safetensors"
ENCODERS = ("slim", "oxford")
OXFORD_WIDTHS = (64, 64, 128, 128, 256, 256, 256, 256, 512)
#: Of the packaged encoder: up to conv2_1 those of the slim one, then those of VGG19.
WIDTHS = (32, 32, 64, 128, 256, 256, 256, 256, 512)
#: Of what the decoder mirrors: what follows a join is as wide as the tap that joins.
MIRRORED_WIDTHS = (32, 32, 64, 64, 256, 256, 256, 256, 512)
#: Index in the Sequential of pytorch-AdaIN's decoder, in the order of MIRRORED.
PUBLISHED_INDICES = (1, 5, 8, 11, 14, 18, 21, 25, 28)


def choose_encoder(name: str | None) -> str:
    """Return the name; None asks for the packaged one. Raise InvalidRequestError for an unknown name."""
    return check_encoder(name or "slim", ENCODERS)


@cache
def load_model(encoder: str, device: torch.device) -> StyleTransferModel:
    """Return the encoder of this name with its decoder, loaded once a process; it is not to be changed.

    Raises WeightsError where a file is not installed or damaged.
    """
    if encoder == "oxford":
        return published_model(PUBLISHED_ENCODER_PATH, PUBLISHED_DECODER_PATH, device)
    networks, precision = load_networks(NETWORKS_PATH).to(device), half_precision(device)
    network, decoder = networks.encoder, networks.decoder
    for part in (network, decoder.convolutions, decoder.joins):
        part.to(precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return StyleTransferModel(lambda image: network.raw(image, TAPS), decoder)


class Networks(nn.Module):
    """The packaged encoder, and the decoder that was trained with it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TruncatedVGG(WIDTHS)
        self.decoder = Decoder(MIRRORED_WIDTHS, modulated=True)


def load_networks(path: Path) -> Networks:
    """Return the packaged networks, which are stored in half precision, in float32."""
    networks = Networks()
    networks.load_state_dict(load_verified(path, shapes_of(networks), None, torch.float16))
    return networks.requires_grad_(False)


def published_model(encoder: Path, decoder: Path, device: torch.device) -> StyleTransferModel:
    """Return a pair of pytorch-AdaIN's layout: reflection padding in every layer, and no margin."""
    for path in (encoder, decoder):
        if not path.exists():
            raise WeightsError(
                f"the published AdaIN is not installed ({path}): run `python main.py weights adain --from FOLDER`"
            )
    load_verified(encoder, oxford_shapes(), None)
    precision = half_precision(device)
    network = OxfordVGG19(encoder).to(device, precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return StyleTransferModel(
        lambda image: network(image.to(precision, memory_format=torch.channels_last)),
        load_published_decoder(decoder).to(device),
        margin_px=0,
        contrast=1.0,
    )


def load_published_decoder(path: Path) -> Decoder:
    """Return a decoder of pytorch-AdaIN's layout."""
    stored = load_verified(path, published_shapes(), None)
    decoder = Decoder(OXFORD_WIDTHS, modulated=False)
    decoder.load_state_dict({_ours(name): value for name, value in stored.items()})
    return decoder.requires_grad_(False)


def install_published(encoder: Path, decoder: Path) -> tuple[Path, Path]:
    """Verify a published pair by names and shapes, copy it to where load_model looks, and return where it lies.

    Args:
        encoder: the Oxford VGG19 up to relu4_1 or further, of pytorch-AdaIN's layout (vgg_normalised), .safetensors or
            .pth.
        decoder: its decoder.

    Raises WeightsError; then nothing is changed.
    """
    tensors = read_file(encoder, oxford_shapes()), read_file(decoder, published_shapes())
    paths = PUBLISHED_ENCODER_PATH, PUBLISHED_DECODER_PATH
    for path, one in zip(paths, tensors, strict=True):
        write_whole(path, save(one))
    return paths


def oxford_shapes() -> dict[str, tuple[int, ...]]:
    """Return {name: shape} of vgg_normalised up to relu4_1."""
    shapes: dict[str, tuple[int, ...]] = {"0.weight": (3, 3, 1, 1), "0.bias": (3,)}
    inputs = 3
    for index, width in zip(CONVOLUTIONS, OXFORD_WIDTHS, strict=True):
        shapes |= {f"{index}.weight": (width, inputs, 3, 3), f"{index}.bias": (width,)}
        inputs = width
    return shapes


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Return {name: shape} of pytorch-AdaIN's decoder."""
    with torch.device("meta"):
        ours = shapes_of(Decoder(OXFORD_WIDTHS, modulated=False))
    names = [f"{index}.{part}" for index in PUBLISHED_INDICES for part in ("weight", "bias")]
    return {name: ours[_ours(name)] for name in names}


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _ours(published: str) -> str:
    """Return what the decoder calls "1.weight" and so on."""
    index, _, part = published.partition(".")
    return f"convolutions.{MIRRORED[PUBLISHED_INDICES.index(int(index))]}.{part}"
