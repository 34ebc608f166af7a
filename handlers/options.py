"""How a painting is made, as far as a person may choose it. Pure data, kept in the dialogue's stored state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from ml_models.contract import DEFAULT_SIZE_PX
from processing.job import Order

VARIANTS = 99_991


@dataclass(frozen=True, slots=True)
class Options:
    """The fields of an Order that are neither mode nor pictures."""

    size_px: int = DEFAULT_SIZE_PX
    strength: float = 1.0
    stroke_scale: float = 1.0
    keep_colours: bool = False
    seed: int = 0

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read what was stored; what another version stored beside it is left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})

    @classmethod
    def of_order(cls, order: Order) -> Self:
        return cls(order.size_px, order.strength, order.stroke_scale, order.keep_colours, order.seed)

    def lasting(self) -> Self:
        """Return what holds for the next picture too: a variant belongs to one picture."""
        return replace(self, seed=0)


#: What holds for whoever has chosen nothing.
DEFAULTS = Options()


def another_variant(seed: int, update_id: int) -> int:
    """Return another seed, short enough to be told, and the same one should Telegram send the press twice."""
    new = 1 + update_id % VARIANTS
    return new if new != seed else 1 + new % VARIANTS
