"""What a user has sent so far: the order in the making. Pure data, kept in the dialogue's stored state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from aiogram.fsm.state import State, StatesGroup

from ml_models.registry import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm
from processing.job import Order, Picture, WeightedStyle


class Gathering(StatesGroup):
    """What is awaited; without a state nothing was begun."""

    content = State()
    style = State()


@dataclass(frozen=True, slots=True)
class Received:
    """A picture and the message that brought it."""

    picture: Picture
    message_id: int


@dataclass(frozen=True, slots=True)
class Draft:
    """The pictures gathered.

    Attributes:
        algorithm: key in the registry.
        content, styles: what came so far.
    """

    algorithm: str = DEFAULT_ALGORITHM
    content: Received | None = None
    styles: tuple[Received, ...] = ()

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        stored = data.get("draft") or {}
        key = stored.get("algorithm")
        content = stored.get("content")
        return cls(
            # A mode that is no longer registered falls back to the default one.
            algorithm=key if key in ALGORITHMS else DEFAULT_ALGORITHM,
            content=_received(content) if content else None,
            styles=tuple(_received(style) for style in stored.get("styles", ())),
        )

    def to_data(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def mode(self) -> Algorithm:
        return ALGORITHMS[self.algorithm]

    @property
    def awaited(self) -> State | None:
        """The picture that is missing, or None: the order is complete."""
        if self.content is None:
            return Gathering.content
        return Gathering.style if len(self.styles) < self.mode.min_styles else None

    @property
    def pictures(self) -> tuple[Received, ...]:
        """The photo, if it is there, and the styles."""
        return (*((self.content,) if self.content else ()), *self.styles)

    @property
    def last_message_id(self) -> int:
        """The message of the last picture, 0 with none: it tells this draft from an earlier one."""
        return max((received.message_id for received in self.pictures), default=0)

    @property
    def swappable(self) -> bool:
        """The one picture there may take the other part; it is moot where the mode takes no style."""
        return bool(self.mode.max_styles) and len(self.pictures) == 1

    def has(self, message_id: int) -> bool:
        """That message is in here already: Telegram may send an update twice."""
        return any(received.message_id == message_id for received in self.pictures)

    def add(self, *received: Received) -> Draft:
        """Return the draft with the pictures added in the order of their messages; what is too many is left out."""
        draft = self
        for one in sorted(received, key=lambda each: each.message_id):
            if draft.has(one.message_id):
                continue
            if draft.content is None:
                draft = dataclasses.replace(draft, content=one)
            elif one.message_id < draft.content.message_id and len(draft.styles) < draft.mode.max_styles:
                # Sent before it and only arrived later.
                draft = dataclasses.replace(draft, content=one, styles=(draft.content, *draft.styles))
            elif len(draft.styles) < draft.mode.max_styles:
                draft = dataclasses.replace(draft, styles=(*draft.styles, one))
        return draft

    def swapped(self) -> Draft:
        """Return the draft with photo and first style exchanged; either may be missing."""
        first = self.styles[0] if self.styles else None
        styles = (self.content,) if self.content else ()
        return dataclasses.replace(self, content=first, styles=(*styles, *self.styles[1:]))

    def order(self) -> Order:
        """Return the complete order; raise ValueError while something is awaited."""
        if self.content is None or self.awaited is not None:
            raise ValueError(f"the draft still awaits {self.awaited}")
        styles = tuple(WeightedStyle(style.picture) for style in self.styles)
        return Order(self.algorithm, self.content.picture, styles)


def _received(stored: Mapping[str, Any]) -> Received:
    return Received(Picture(**stored["picture"]), int(stored["message_id"]))
