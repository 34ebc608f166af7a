"""UltraST's networks while they are trained."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from ml_models.training.optimiser import Optimiser
from ml_models.training.train_ultrast_encoder import Student
from ml_models.ultrast.custom_layers import STAGES, WIDTHS, Decoder, Encoder, names_of
from ml_models.ultrast.weights import packaged_tensors


class TrainedNetworks(nn.Module):
    """The encoder with its embeddings, and {stage: decoder}."""

    def __init__(self) -> None:
        super().__init__()
        self.student = Student()
        self.decoders = nn.ModuleDict(
            {str(stage): Decoder({name: WIDTHS[name] for name in names_of(stage)}) for stage in STAGES}
        )

    def encoder(self, stage: int) -> Encoder:
        """Return the one that all stages share."""
        return self.student.encoder

    def decoder(self, stage: int) -> Decoder:
        return cast(Decoder, self.decoders[str(stage)])

    def packaged(self) -> dict[str, Tensor]:
        """Return what inference needs."""
        return packaged_tensors(self.student.encoder, {stage: self.decoder(stage) for stage in STAGES})

    def optimiser(self, *, encoder: bool) -> Optimiser:
        """Return one for the decoders, and for the encoder if asked for, which is left as it is from now on otherwise.

        Adam takes the layers next to the pixels, embeddings and biases.
        """
        self.student.requires_grad_(encoder)
        trained = {name: value for name, value in self.named_parameters() if value.requires_grad}
        kernels = [name for name, value in trained.items() if value.shape[2:] == (3, 3) and "conv1_1" not in name]
        others = [value for name, value in trained.items() if name not in kernels]
        return Optimiser([trained[name] for name in kernels], others)
