"""The optimiser of the project's small networks: Muon for kernels, Adam for everything else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

#: Steps over which the rates rise from nothing.
WARM_UP_STEPS = 100


class Optimiser:
    """Muon (Jordan 2024) for kernels, those of convolutions seen as matrices, and Adam for the other parameters.

    Args:
        kernels: of shape (D, C, h, w) or (D, C); none where Adam alone is to be used.
        others: all other parameters.
        muon_rate, adam_rate: full rates of learning.
        kept: those of the kernels that keep the norm that they begin with (Karras et al. 2024, arXiv:2312.02696), where
            what they give is brought to given statistics: there a norm means nothing and grows all the same, and the
            larger a kernel, the less a step changes of it.
    """

    def __init__(
        self,
        kernels: Sequence[Tensor],
        others: Iterable[Tensor],
        *,
        muon_rate: float = 2e-3,
        adam_rate: float = 2e-3,
        kept: Sequence[Tensor] = (),
    ) -> None:
        self.kernels = list(kernels)
        self.norms = [(kernel, kernel.detach().norm()) for kernel in kept]
        self.matrices = [nn.Parameter(kernel.data.view(len(kernel), -1)) for kernel in self.kernels]
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Adam(list(others), lr=adam_rate, betas=(0.9, 0.99)), adam_rate)
        ]
        if self.matrices:
            muon = torch.optim.Muon(self.matrices, lr=muon_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
            self.parts.append((muon, muon_rate))

    def step(self, share: float) -> None:
        """Step with this share of the full rates."""
        for matrix, kernel in zip(self.matrices, self.kernels, strict=True):
            matrix.grad = None if kernel.grad is None else kernel.grad.reshape(matrix.shape)
        for part, rate in self.parts:
            for group in part.param_groups:
                group["lr"] = rate * share
            part.step()
        for kernel, norm in self.norms:
            kernel.data.mul_(norm / kernel.detach().norm())

    def state(self) -> list[dict[str, object]]:
        return [part.state_dict() for part, _ in self.parts]

    def load(self, state: Sequence[dict[str, object]]) -> None:
        for (part, _), one in zip(self.parts, state, strict=True):
            part.load_state_dict(one)


def rate_share(step: int, done: float) -> float:
    """Return the share of the full rates: a warm-up, then half a cosine down to 1 % as done goes from 0 to 1."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def average_into(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move the running average of a network's parameters towards them; it forgets faster in the first steps."""
    decay = min(decay, (step + 1) / (step + 10))
    with torch.no_grad():
        for mean, value in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
