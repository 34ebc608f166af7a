"""A layer's weights as the least squares' solution of what it is to give."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import unfold

#: Positions of a crop that a layer is learnt from, drawn by lot: neighbours say much the same.
POSITIONS = 1500
#: Nothing is learnt from what lies so near to a crop's edges: networks continue pictures there in ways of their own.
EDGE_PX = 16
#: Added to the diagonal of the normal equations, as a share of its mean.
RIDGE = 1e-5


class Samples:
    """What a layer's inputs and what it is to give, before the ReLU, say of its weights: the normal equations.

    Args:
        inputs, outputs: channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        self.gram = torch.zeros(9 * inputs + 1, 9 * inputs + 1, dtype=torch.float64)
        self.answers = torch.zeros(9 * inputs + 1, outputs, dtype=torch.float64)

    def add(self, feature: Tensor, wanted: Tensor, edge: int, generator: torch.Generator) -> None:
        """Add POSITIONS of a feature (1, C, H, W) and of what a 3x3 convolution is to make of it (1, D, H, W).

        Args:
            edge: positions along the edges that are left out.
        """
        height, width = feature.shape[2:]
        inner = torch.arange(height * width).view(height, width)[edge : height - edge, edge : width - edge].flatten()
        chosen = inner[torch.randperm(len(inner), generator=generator)[:POSITIONS]]
        patches = unfold(feature.float(), 3, padding=1)[0].T[chosen]
        patches = torch.cat([patches, patches.new_ones(len(patches), 1)], dim=1)
        self.gram += patches.T @ patches
        self.answers += patches.T @ wanted[0].flatten(1).T[chosen].float()

    def solution(self) -> tuple[Tensor, Tensor]:
        """Return weight (D, C, 3, 3) and bias (D)."""
        ridge = RIDGE * self.gram.diagonal().mean() * torch.eye(len(self.gram), dtype=torch.float64)
        found = torch.linalg.solve(self.gram + ridge, self.answers).T.float()
        return found[:, :-1].reshape(len(found), -1, 3, 3), found[:, -1]
