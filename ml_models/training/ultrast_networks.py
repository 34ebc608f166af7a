"""UltraST's networks while they are trained."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ml_models.encoders import load_slim
from ml_models.encoders.slim import OXFORD
from ml_models.training.optimiser import Optimiser
from ml_models.ultrast.custom_layers import GREY, WIDTHS, Decoder, Encoder
from ml_models.ultrast.settings import SETTINGS
from ml_models.ultrast.weights import blank_decoders, packaged_tensors


class TrainedNetworks(nn.Module):
    """The encoder with its embeddings, both the slim encoder's at first, and {stage: decoder}.

    An embedded feature is the Oxford VGG19's, divided by its root mean square over some crops: `scales`,
    of relu1_1 to relu4_1.
    """

    scales: Tensor

    def __init__(self) -> None:
        super().__init__()
        slim = load_slim()
        self.encoder = Encoder()
        with torch.no_grad():
            for name, convolution in slim.convolutions.items():
                own = self.encoder.convolution(name)
                weight, bias = cast(nn.Conv2d, convolution).weight, cast(Tensor, convolution.bias)
                if name == "conv1_1":  # images are around grey here, and around ImageNet's mean there
                    weight = weight / slim.std
                    bias = bias + torch.einsum("oihw,i->o", weight, GREY - slim.mean.flatten())
                own.weight.copy_(weight)
                own.own_bias.copy_(bias)
        self.embeddings = nn.ModuleDict()
        for tap in (f"relu{stage}_1" for stage in SETTINGS.stages):
            self.embeddings[tap] = nn.Conv2d(WIDTHS[f"conv{tap[4:]}"], OXFORD[tap], 1)
            self.embeddings[tap].load_state_dict(slim.embeddings[tap].state_dict())
        self.register_buffer("scales", slim.scales[: len(OXFORD)].clone())
        self.decoders = nn.ModuleDict({str(stage): decoder for stage, decoder in blank_decoders().items()})
        initialise(self.decoders)

    def encoder_of(self, stage: int) -> Encoder:
        """Return the one that all stages share."""
        return self.encoder

    def decoder_of(self, stage: int) -> Decoder:
        return cast(Decoder, self.decoders[str(stage)])

    def embed(self, stage: int, feature: Tensor) -> Tensor:
        """Return the teacher's feature that relu{stage}_1 stands for."""
        embedding = cast(nn.Conv2d, self.embeddings[f"relu{stage}_1"])
        return conv2d(feature, embedding.weight, embedding.bias).relu_()

    def packaged(self) -> dict[str, Tensor]:
        """Return what inference needs."""
        return packaged_tensors(self.encoder, {stage: self.decoder_of(stage) for stage in SETTINGS.stages})


def optimiser_of(*parts: nn.Module) -> Optimiser:
    """Return one for these parts: Adam takes the layers next to the pixels, embeddings and biases, Muon the others."""
    named = [pair for part in parts for pair in part.named_parameters()]
    kernels = [value for name, value in named if value.shape[2:] == (3, 3) and "conv1_1" not in name]
    chosen = {id(value) for value in kernels}
    return Optimiser(kernels, [value for _, value in named if id(value) not in chosen])


def initialise(network: nn.Module) -> None:
    """Fill the convolutions as He et al. 2015 (arXiv:1502.01852) do, biases with zeros."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
