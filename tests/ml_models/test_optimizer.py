"""L-BFGS: it finds a known minimum, keeps its budget and never gives back a worse picture."""

import pytest
import torch
from torch import Tensor

from ml_models.nst_gatys.optimizer import minimise


def distance_to(target: Tensor):  # type: ignore[no-untyped-def]
    return lambda image: {"total": (image - target).square().sum()}


def ignore(used: int, best: Tensor) -> None:
    pass


def test_it_finds_the_minimum_of_a_quadratic() -> None:
    target = torch.rand(1, 3, 4, 4)
    best, losses, used = minimise(distance_to(target), torch.zeros(1, 3, 4, 4), 50, 10, ignore)
    torch.testing.assert_close(best, target, atol=1e-4, rtol=0)
    assert losses["total"] < 1e-6
    assert used <= 50


def test_the_start_is_not_changed_and_the_budget_is_kept() -> None:
    start = torch.zeros(1, 3, 4, 4)
    seen: list[int] = []

    def rosenbrock(image: Tensor) -> dict[str, Tensor]:
        x, y = image[0, 0].flatten(), image[0, 1].flatten()
        return {"total": ((1 - x).square() + 100 * (y - x.square()).square()).sum()}

    _, _, used = minimise(rosenbrock, start, 17, 10, lambda count, _: seen.append(count))
    assert not start.any()
    assert used == 17
    assert seen == list(range(1, 18))


def test_a_blow_up_ends_with_the_best_picture_so_far() -> None:
    calls = 0

    def explodes(image: Tensor) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        total = (image - 1).square().sum()
        return {"total": total * float("nan") if calls > 4 else total}

    start = torch.zeros(1, 3, 4, 4)
    best, losses, _ = minimise(explodes, start, 100, 10, ignore)
    assert torch.isfinite(best).all()
    assert losses["total"] <= float((start - 1).square().sum())


def test_an_exception_from_the_callback_passes_through() -> None:
    def stop(used: int, best: Tensor) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimise(distance_to(torch.ones(1, 3, 4, 4)), torch.zeros(1, 3, 4, 4), 10, 10, stop)
