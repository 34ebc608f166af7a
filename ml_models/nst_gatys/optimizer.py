"""L-BFGS for pictures: no copies of its history, and it never gives back a worse picture than it was given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ml_models.nst_gatys.build_style_transfer_model import Evaluation
from ml_models.nst_gatys.spectrum import RINGS, SpectralScaling

Evaluate = Callable[[Tensor], Evaluation]
#: Takes the number of evaluations so far and the best image so far, which it must not keep; false ends the search.
GoOn = Callable[[int, Tensor], bool]

#: Root mean square change of the first step, and of every step at most, in 0..1 pixels.
FIRST_STEP, LONGEST_STEP = 0.01, 0.1
#: A step must lower the loss by this share of what the slope promises (Nocedal and Wright, Numerical Optimization,
#: section 3.1), but for the rounding of half precision.
SUFFICIENT_DECREASE, ROUNDING = 1e-4, 1e-4
#: What a pair still counts for when the next has come, and how far inverse curvatures may differ from their mean.
#: Measured on the origin's problem (astronaut, 200 x 200, loss after 125 evaluations): one number for all frequencies
#: 17.6, forgetting 0.98 17.4, 0.9 15.8; with each pair divided by its size, as below, 0.9 15.2, 0.8 15.0, 0.7 14.9; a
#: spread of 1000 instead of 100, with 50 pairs instead of 20, 14.7.
FORGETTING, SPREAD = 0.8, 1000.0
#: A search ends when its last so many evaluations lowered the loss by less than this share of it.
STANDSTILL = (10, 1e-3)
#: How often a step is shortened before the curvature learnt so far is thrown away.
SHORTENINGS = 4


@dataclass(frozen=True, slots=True)
class Minimum:
    """What a search ends with.

    Attributes:
        image: the best image met, (1, 3, H, W).
        losses: its own.
        initial_total: the loss of the start.
        evaluations: used.
        recoveries: how often the search blew up or stuck and forgot the curvatures it had learnt.
        stopped: go_on ended it.
    """

    image: Tensor
    losses: dict[str, float]
    initial_total: float
    evaluations: int
    recoveries: int
    stopped: bool = False


class History:
    """The last pairs of steps and changes of the gradient, in one block of memory each.

    Args:
        size: pairs.
        like: (1, 3, H, W).
    """

    def __init__(self, size: int, like: Tensor) -> None:
        self.steps = torch.empty(size, like.numel(), device=like.device)
        self.changes = torch.empty(size, like.numel(), device=like.device)
        self.curvatures: list[float] = []
        self.slots: list[int] = []
        self.scaling = SpectralScaling(like)
        self.products = torch.zeros(2, 3, RINGS, device=like.device)

    def clear(self) -> None:
        self.slots.clear()
        self.curvatures.clear()
        self.products.zero_()

    def add(self, step: Tensor, change: Tensor) -> None:
        """Keep the pair (both flat), unless it says that the loss is not convex there."""
        curvature = float(step @ change)
        if not curvature > 1e-10 * float(change @ change):  # nor where it is no number
            return
        slot = len(self.slots) if len(self.slots) < len(self.steps) else self.slots.pop(0)
        if len(self.curvatures) == len(self.steps):
            self.curvatures.pop(0)
        self.steps[slot], self.changes[slot] = step, change
        self.products = FORGETTING * self.products + torch.stack(self.scaling.measure(step, change)) / float(
            change @ change
        )
        self.slots.append(slot)
        self.curvatures.append(curvature)

    def inverse_curvature(self) -> Tensor:
        """Return the least-squares inverse curvature of each axis and ring, (3, RINGS), within bounds."""
        along, squared = self.products
        mean = along.sum() / squared.sum()
        return torch.where(squared > 0, along / squared.clamp_min(1e-30), mean).clamp(mean / SPREAD, mean * SPREAD)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return minus the inverse Hessian's estimate times the gradient (flat): the two loops of algorithm 7.4."""
        result = -gradient
        shares = []
        for slot, curvature in zip(reversed(self.slots), reversed(self.curvatures), strict=True):
            share = float(self.steps[slot] @ result) / curvature
            shares.append(share)
            result.add_(self.changes[slot], alpha=-share)
        if self.slots:
            result = self.scaling.apply(result, self.inverse_curvature())
        for slot, curvature, share in zip(self.slots, self.curvatures, reversed(shares), strict=True):
            result.add_(self.steps[slot], alpha=share - float(self.changes[slot] @ result) / curvature)
        return result


def minimise(
    evaluate: Evaluate,
    start: Tensor,
    evaluations: int,
    history: int,
    go_on: GoOn,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Minimum:
    """Lower evaluate's "total" from start.

    torch's L-BFGS takes its steps without a look at the loss, which blew up on about one pair in three at 512 px, or
    with a strong Wolfe search. Here a step that does not lower the loss is shortened by the parabola through what is
    known; nearly all are taken as they are, at one evaluation each.

    Args:
        start: (1, 3, H, W); not changed.
        evaluations: at most, each one forward and backward pass.
        bounds: that pixels stay within. What is at a bound and would be pushed through it is left out of the direction
            (projected L-BFGS), so that a step does what it promised; start lies within them.
    """
    image = start.detach().clone(memory_format=torch.contiguous_format)
    now = evaluate(image)
    used, recoveries = 1, 0
    initial_total = now.total
    if not math.isfinite(initial_total):
        return Minimum(image, now.losses, initial_total, used, recoveries)
    best, best_losses = image, now.losses
    past = History(history, image)
    gradient = now.gradient.flatten()
    stopped = False
    lowest = [initial_total]
    while used < evaluations and not _stands_still(lowest):
        if not go_on(used, best):
            stopped = True
            break
        held = _held(image, gradient, bounds)
        free = gradient.masked_fill(held, 0)
        direction = past.direction(free).masked_fill_(held, 0)
        slope = float(direction @ free)
        if slope >= 0 or not math.isfinite(slope):
            past.clear()
            direction, slope = -free, -float(free @ free)
        size = float(direction.square().mean().sqrt())
        if size == 0 or slope == 0:
            break
        scale = min(1.0, LONGEST_STEP / size) if past.slots else FIRST_STEP / size
        for _ in range(SHORTENINGS):
            candidate = (image + (scale * direction).view_as(image)).clamp_(*bounds)
            after = evaluate(candidate)
            used += 1
            step = (candidate - image).flatten()
            promised = min(0.0, float(step @ gradient))
            if after.total <= now.total + SUFFICIENT_DECREASE * promised + ROUNDING * abs(now.total):
                new_gradient = after.gradient.flatten()
                past.add(step, new_gradient - gradient)
                image, now, gradient = candidate, after, new_gradient
                if now.total < best_losses["total"]:
                    best, best_losses = image, now.losses
                lowest.append(best_losses["total"])
                break
            lowest.append(best_losses["total"])
            if used >= evaluations:
                break
            scale *= _shortening(now.total, slope * scale, after.total)
        else:
            if not past.slots:
                break
            past.clear()
            recoveries += 1
    return Minimum(best, best_losses, initial_total, used, recoveries, stopped)


def _stands_still(lowest: list[float]) -> bool:
    """Tell from the lowest loss after each evaluation whether the picture no longer changes."""
    count, share = STANDSTILL
    return len(lowest) > count and lowest[-count - 1] - lowest[-1] < share * lowest[-1]


def _held(image: Tensor, gradient: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return which pixels (flat) are at a bound that the way down leads through."""
    flat = image.flatten()
    return ((flat <= bounds[0]) & (gradient > 0)) | ((flat >= bounds[1]) & (gradient < 0))


def _shortening(before: float, slope: float, after: float) -> float:
    """Return the share of a step that ends at the lowest point of the parabola, within 0.1..0.5."""
    if not math.isfinite(after):
        return 0.1
    return min(0.5, max(0.1, -slope / (2 * (after - before - slope))))
