"""The optimiser of trainings: what it takes as kernels, and the norms that it keeps."""

from __future__ import annotations

import pytest
import torch

from ml_models.training.optimiser import Optimiser, rate_share


def test_kernels_of_both_kinds_are_turned_towards_less_and_those_kept_keep_their_norm() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 4, 3, 3), (6, 4, 3, 3), (5, 7)]
    kept, free, linear = (torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)
    bias = torch.ones(3, requires_grad=True)
    targets = [2 * torch.randn(each.shape, generator=generator) for each in (kept, free, linear, bias)]
    optimiser = Optimiser([kept, free, linear], [bias], muon_rate=0.05, adam_rate=0.05, kept=[kept])
    norms = [float(each.detach().norm()) for each in (kept, free)]

    def step() -> list[float]:
        losses = []
        for each, target in zip((kept, free, linear, bias), targets, strict=True):
            # A direction only, as behind a normalisation, and for the others the distance.
            scale = target.norm() / each.norm() if each is kept else 1
            loss = (each * scale - target).square().mean()
            each.grad = torch.autograd.grad(loss, each)[0]
            losses.append(float(loss.detach()))
        optimiser.step(1.0)
        return losses

    first = step()
    for _ in range(400):
        last = step()
    assert all(after < 0.2 * before for before, after in zip(first, last, strict=True))
    assert float(kept.detach().norm()) == pytest.approx(norms[0], rel=1e-5)
    assert float(free.detach().norm()) > 1.5 * norms[1]


def test_rates_rise_and_then_fall_to_a_hundredth() -> None:
    assert rate_share(0, 0.0) == pytest.approx(0.01)
    assert rate_share(99, 0.0) == 1
    assert rate_share(5000, 0.5) == pytest.approx(0.505)
    assert rate_share(9000, 1.0) == pytest.approx(0.01)
