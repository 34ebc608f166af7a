"""The instant draft of a painting: what is ordered first, and the painting that starts from it."""

from __future__ import annotations

from dataclasses import replace

from ml_models.registry import ALGORITHMS, Algorithm
from processing.job import Order, Wanted

#: Longer side of a draft at most: it is to be there in a second or two.
DRAFT_PX = 768


def draft_size_px(algorithm: Algorithm, size_px: int) -> int:
    """Return the longer side of the draft that the algorithm makes of a painting of size_px."""
    return min(size_px, DRAFT_PX, algorithm.max_size_px)


def drafting(algorithm: str) -> Algorithm | None:
    """Return the algorithm that drafts for the mode of that key, or None."""
    mode = ALGORITHMS.get(algorithm)
    return ALGORITHMS.get(mode.draft) if mode and mode.draft else None


def instant_draft(order: Order) -> Order | None:
    """Return the order of the draft that goes before this one, or None where there is none to be had."""
    drafts = drafting(order.algorithm)
    if drafts is None or not drafts.min_styles <= len(order.styles) <= drafts.max_styles:
        return None
    return replace(
        order,
        algorithm=drafts.key,
        size_px=draft_size_px(drafts, order.size_px),
        start=None,
        draft_of=Wanted(order.algorithm, order.size_px),
    )


def wanted(order: Order) -> Order:
    """Return the order in its user's own mode and size, whether it is a draft, starts from one, or neither."""
    if order.draft_of is None:
        return replace(order, start=None)
    return replace(order, algorithm=order.draft_of.algorithm, size_px=order.draft_of.size_px, draft_of=None)


def painting_of(draft: Order) -> Order:
    """Return the order of the painting that starts from this draft: all else is the same."""
    return replace(wanted(draft), start=draft.algorithm)


def is_known(order: Order) -> bool:
    """Tell whether every algorithm that the order names is in the registry."""
    named = [order.algorithm, order.start, order.draft_of.algorithm if order.draft_of else None]
    return all(key in ALGORITHMS for key in named if key is not None)
