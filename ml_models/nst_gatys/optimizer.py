"""L-BFGS that never gives back a worse picture than it was given."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Evaluate = Callable[[Tensor], dict[str, Tensor]]
OnEvaluation = Callable[[int, Tensor], None]


class _BudgetSpentError(Exception):
    """Leaves torch's L-BFGS from inside its line search."""


def minimise(
    evaluate: Evaluate, start: Tensor, evaluations: int, history: int, on_evaluation: OnEvaluation
) -> tuple[Tensor, dict[str, float], int]:
    """Lower evaluate's "total" from start and return the best image met, its losses and the evaluations used.

    torch's L-BFGS with the strong Wolfe line search: the origin steps without one and diverges on about one pair in
    three at 512 px. A loss that is not finite ends the search with the best image so far.

    Args:
        start: (1, 3, H, W); not changed.
        evaluations: at most, each one forward and backward pass.
        on_evaluation: called with the number of evaluations so far and the current image, which it must not keep.
    """
    image = start.detach().clone(memory_format=torch.contiguous_format).requires_grad_(True)
    best = image.detach().clone()
    best_losses: dict[str, float] = {"total": float("inf")}
    used = 0
    # Its own counts would end a step early: the budget is kept in the closure.
    optimizer = torch.optim.LBFGS(
        [image],
        max_iter=evaluations,
        max_eval=evaluations * 2,
        history_size=history,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        nonlocal used, best_losses
        if used >= evaluations:
            raise _BudgetSpentError
        optimizer.zero_grad(set_to_none=True)
        losses = evaluate(image)
        total = losses["total"]
        total.backward()  # type: ignore[no-untyped-call]
        used += 1
        value = float(total.detach())
        if not torch.isfinite(total):
            raise _BudgetSpentError
        if value < best_losses["total"]:
            best_losses = {name: float(loss.detach()) for name, loss in losses.items()}
            best.copy_(image.detach())
        on_evaluation(used, best)
        return total.detach()

    try:
        while used < evaluations:
            before = used
            optimizer.step(closure)  # type: ignore[no-untyped-call]
            if used - before < 2:
                break
    except _BudgetSpentError:
        pass
    return best, best_losses, used
