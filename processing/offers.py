"""What is offered under the result of an order, by the registry."""

from __future__ import annotations

from keyboards.job import Offers
from ml_models.registry import ALGORITHMS, Kind
from processing.instant_draft import wanted
from processing.job import Order
from processing.lanes import kind_of


def offers(order: Order) -> Offers:
    """Return what can be done with the order's result; a mode that is there no more takes no styles."""
    mode = ALGORITHMS.get(wanted(order).algorithm)
    return Offers(
        paint=order.draft_of is not None and mode is not None,
        instant=kind_of(order.algorithm) is Kind.INSTANT,
        swap=len(order.styles) == 1,
        styles=bool(mode and mode.max_styles),
    )
