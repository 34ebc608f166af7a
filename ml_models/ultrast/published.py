"""The published networks of Collaborative Distillation ("16x"): their layout of keys, and how they become ours.

github.com/MingSun-Tse/Collaborative-Distillation, MIT. Five encoders and five decoders in files of their own, {k}SE and
{k}SD; keys conv0 (a 1x1 convolution of the colours), conv11, conv12, conv21 ... conv51, and {conv}_aux, the embeddings
of training, which are left out. The first pair has 24 channels where the others have 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ml_models.errors import WeightsError
from ml_models.published_files import read_file
from ml_models.ultrast.custom_layers import CONVOLUTIONS, GREY, STAGES, Decoder, Encoder, names_of

#: A quarter of VGG19's.
WIDTHS = dict(zip(CONVOLUTIONS, (16, 16, 32, 32, 64, 64, 64, 64, 128, 128, 128, 128, 128), strict=True))
FIRST_PAIR_WIDTHS = {"conv1_1": 24}
#: Of the official downloads, and of a safetensors copy.
EXTENSIONS = (".safetensors", ".pth")

Shapes = dict[str, tuple[int, ...]]


def widths_of(stage: int) -> Mapping[str, int]:
    """Return the widths of the published pair of a stage."""
    return FIRST_PAIR_WIDTHS if stage == 1 else {name: WIDTHS[name] for name in names_of(stage)}


def published_key(name: str) -> str:
    """Return what the files call a convolution: conv11 for conv1_1."""
    return name.replace("_", "")


def encoder_shapes(stage: int) -> Shapes:
    """Return {key: shape} of what is needed of a {stage}SE file."""
    return {"conv0.weight": (3, 3, 1, 1), "conv0.bias": (3,)} | _shapes(Encoder(widths_of(stage)))


def decoder_shapes(stage: int) -> Shapes:
    """Return {key: shape} of what is needed of a {stage}SD file."""
    return _shapes(Decoder(widths_of(stage)))


def _shapes(network: Encoder | Decoder) -> Shapes:
    return {
        f"{published_key(name)}.{kind}": tuple(value.shape)
        for name, convolution in network.convolutions.items()
        for kind, value in convolution.named_parameters()
    }


def find_file(folder: Path, name: str) -> Path:
    """Return the file of a network, such as 5SE; raise WeightsError where the folder has none."""
    for extension in EXTENSIONS:
        if (path := folder / f"{name}{extension}").is_file():
            return path
    raise WeightsError(f"{folder} has no {name}: give the folder with 1SE to 5SE and 1SD to 5SD, .safetensors or .pth")


def published_encoder(stage: int, tensors: Mapping[str, Tensor]) -> Encoder:
    """Return SE_stage for images around 0: the colours' convolution and the grey become part of conv1_1.

    Exact, for a reflection commutes with both.
    """
    encoder = Encoder(widths_of(stage), reflect=True)
    _fill(encoder, tensors)
    first = encoder.convolution("conv1_1")
    weight, bias = tensors["conv11.weight"], tensors["conv11.bias"]
    colours, shift = tensors["conv0.weight"][:, :, 0, 0], tensors["conv0.bias"]
    with torch.no_grad():
        first.weight.copy_(torch.einsum("ojhw,ji->oihw", weight, colours))
        grey = shift + GREY * colours.sum(1)
        first.own_bias.copy_(bias + torch.einsum("ojhw,j->o", weight, grey))
    return encoder.requires_grad_(False)


def published_decoder(stage: int, tensors: Mapping[str, Tensor]) -> Decoder:
    """Return SD_stage for images around 0, clamped at black, where the published one has its last ReLU."""
    decoder = Decoder(widths_of(stage), reflect=True, lowest=-GREY)
    _fill(decoder, tensors)
    with torch.no_grad():
        decoder.convolution("conv1_1").own_bias.sub_(GREY)
    return decoder.requires_grad_(False)


def _fill(network: Encoder | Decoder, tensors: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, convolution in network.convolutions.items():
            for kind, value in convolution.named_parameters():
                value.copy_(tensors[f"{published_key(name)}.{kind}"])


def load_published(folder: Path) -> tuple[dict[int, Encoder], dict[int, Decoder]]:
    """Return {stage: SE} and {stage: SD} of a folder, float32; raise WeightsError for a missing or damaged file."""
    encoders, decoders = {}, {}
    for stage in STAGES:
        encoders[stage] = published_encoder(stage, read_file(find_file(folder, f"{stage}SE"), encoder_shapes(stage)))
        decoders[stage] = published_decoder(stage, read_file(find_file(folder, f"{stage}SD"), decoder_shapes(stage)))
    return encoders, decoders
