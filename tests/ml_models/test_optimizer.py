"""L-BFGS: it finds a known minimum, keeps its budget and never gives back a worse picture."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ml_models.nst_gatys.build_style_transfer_model import Evaluation
from ml_models.nst_gatys.optimizer import History, Minimum, minimise

SHAPE = (1, 3, 4, 4)


def evaluation_of(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Evaluation]:
    def evaluate(image: Tensor) -> Evaluation:
        image = image.detach().requires_grad_(True)
        total = function(image)
        return Evaluation({"total": float(total.detach())}, torch.autograd.grad(total, image)[0])

    return evaluate


def distance_to(target: Tensor) -> Callable[[Tensor], Evaluation]:
    return evaluation_of(lambda image: (image - target).square().sum())


def rosenbrock(image: Tensor) -> Tensor:
    x, y = image[0, 0].flatten(), image[0, 1].flatten()
    return ((1 - x).square() + 100 * (y - x.square()).square()).sum()


def run(evaluate: Callable[[Tensor], Evaluation], evaluations: int, start: Tensor | None = None) -> Minimum:
    return minimise(evaluate, torch.zeros(SHAPE) if start is None else start, evaluations, 10, lambda used, best: True)


def test_it_finds_the_minimum_of_a_quadratic() -> None:
    target = torch.rand(SHAPE)
    minimum = run(distance_to(target), 60)
    torch.testing.assert_close(minimum.image, target, atol=1e-3, rtol=0)
    assert minimum.losses["total"] < 1e-5
    assert minimum.initial_total == pytest.approx(float(target.square().sum()))
    assert not minimum.stopped


def test_it_goes_down_a_curved_valley() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(SHAPE, generator=generator)
    evaluate = evaluation_of(rosenbrock)
    minimum = run(evaluate, 150, start)
    assert minimum.losses["total"] < 1e-3 * minimum.initial_total


def test_the_start_is_not_changed_and_the_budget_is_kept() -> None:
    start = torch.zeros(SHAPE)
    seen: list[int] = []
    calls = 0

    def counted(image: Tensor) -> Evaluation:
        nonlocal calls
        calls += 1
        return evaluation_of(rosenbrock)(image)

    minimum = minimise(counted, start, 17, 10, lambda used, best: seen.append(used) is None)
    assert not start.any()
    assert minimum.evaluations == calls == 17
    assert seen == sorted(set(seen))
    assert seen[0] == 1


def test_a_step_that_goes_wrong_is_shortened_or_forgotten_and_the_best_is_kept() -> None:
    calls = 0

    def explodes(image: Tensor) -> Evaluation:
        nonlocal calls
        calls += 1
        true = evaluation_of(rosenbrock)(image)
        if calls % 7 == 0:
            return Evaluation({"total": math.nan}, torch.full(SHAPE, math.nan))
        return Evaluation({"total": 1e6}, true.gradient) if calls % 5 == 0 else true

    minimum = run(explodes, 120)
    assert torch.isfinite(minimum.image).all()
    assert minimum.losses["total"] == pytest.approx(float(rosenbrock(minimum.image)))
    assert minimum.losses["total"] < 0.5 * minimum.initial_total


def test_a_picture_that_only_gets_worse_is_given_back_as_it_was() -> None:
    calls = 0

    def worse(image: Tensor) -> Evaluation:
        nonlocal calls
        calls += 1
        return Evaluation({"total": float(calls)}, torch.ones(SHAPE))

    minimum = run(worse, 50)
    assert not minimum.image.any()
    assert minimum.losses["total"] == 1.0


def test_it_stops_when_asked_with_the_best_so_far() -> None:
    minimum = minimise(distance_to(torch.ones(SHAPE)), torch.zeros(SHAPE), 50, 10, lambda used, best: used < 3)
    assert minimum.stopped
    assert 3 <= minimum.evaluations < 8
    assert minimum.losses["total"] < minimum.initial_total


def test_it_ends_where_the_picture_no_longer_changes() -> None:
    target = torch.rand(SHAPE)
    minimum = run(evaluation_of(lambda image: 1.0 + (image - target).square().sum()), 500)
    assert minimum.evaluations < 60
    assert minimum.losses["total"] == pytest.approx(1.0, abs=1e-2)


def test_pixels_stay_within_their_bounds_and_the_others_find_their_minimum() -> None:
    target = torch.linspace(-1.0, 2.0, 48).view(SHAPE)
    start = torch.full(SHAPE, 0.5)
    minimum = minimise(distance_to(target), start, 60, 10, lambda used, best: True, (0.0, 1.0))
    torch.testing.assert_close(minimum.image, target.clamp(0, 1), atol=1e-2, rtol=0)
    assert (float(minimum.image.min()), float(minimum.image.max())) == (0.0, 1.0)


def test_history_keeps_the_last_pairs_and_only_convex_ones() -> None:
    history = History(2, torch.zeros(1, 3, 1, 1))
    matrix = torch.diag(torch.tensor([1.0, 4.0, 9.0]))
    history.add(torch.ones(3), -torch.ones(3))
    assert not history.slots
    for step in torch.eye(3):
        history.add(step, matrix @ step)
    assert len(history.slots) == 2
    # Along the two pairs kept the estimate is the inverse of the matrix.
    direction = history.direction(torch.tensor([0.0, 4.0, 9.0]))
    torch.testing.assert_close(direction, torch.tensor([0.0, -1.0, -1.0]))
