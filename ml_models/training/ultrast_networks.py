"""UltraST's networks while they are trained."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from ml_models.training.optimiser import Optimiser
from ml_models.training.train_ultrast_encoder import Student
from ml_models.ultrast.custom_layers import STAGES, WIDTHS, Decoder, Encoder, names_of
from ml_models.ultrast.weights import packaged_tensors

#: Of the decoders, and of the encoder, which has learnt already.
DECODER_RATE, ENCODER_RATE = 2e-3, 4e-4


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

    def optimisers(self) -> list[Optimiser]:
        """Return the encoder's and the decoders'. Adam takes the layers next to the pixels."""
        result = []
        for part, rate in ((self.student, ENCODER_RATE), (self.decoders, DECODER_RATE)):
            kernels = {
                id(value): value
                for name, value in part.named_parameters()
                if value.shape[2:] == (3, 3) and "conv1_1" not in name
            }
            others = [value for value in part.parameters() if id(value) not in kernels]
            result.append(Optimiser(list(kernels.values()), others, muon_rate=rate, adam_rate=rate))
        return result
