"""How a painting is made, as far as a person may choose it. Pure data, kept in the dialogue's stored state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from ml_models.contract import DEFAULT_SIZE_PX
from ml_models.registry import Algorithm
from processing.job import Order

VARIANTS = 99_991


@dataclass(frozen=True, slots=True)
class Options:
    """The fields of an Order that are neither mode nor pictures, and whether a draft comes first.

    Attributes:
        draft_first: in a mode that has one, an instant draft is made first, and the painting on a button's press.
    """

    size_px: int = DEFAULT_SIZE_PX
    strength: float = 1.0
    stroke_scale: float = 1.0
    keep_colours: bool = False
    seed: int = 0
    draft_first: bool = True

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read what was stored; what another version stored beside it is left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})

    @classmethod
    def of_order(cls, order: Order, *, draft_first: bool) -> Self:
        """Read an order, which does not know whether its user wants drafts."""
        return cls(order.size_px, order.strength, order.stroke_scale, order.keep_colours, order.seed, draft_first)

    def of_painting(self) -> dict[str, Any]:
        """Return the fields that an Order has."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "draft_first"}

    def within(self, algorithm: Algorithm) -> Self:
        """Return the options with the size that the algorithm can do."""
        return replace(self, size_px=min(self.size_px, algorithm.max_size_px))

    def lasting(self) -> Self:
        """Return what holds for the next picture too: a variant belongs to one picture."""
        return replace(self, seed=0)


#: What holds for whoever has chosen nothing.
DEFAULTS = Options()


def another_variant(seed: int, update_id: int) -> int:
    """Return another seed, short enough to be told, and the same one should Telegram send the press twice."""
    new = 1 + update_id % VARIANTS
    return new if new != seed else 1 + new % VARIANTS
