"""What a user has sent so far: the order in the making. Pure data, kept in the dialogue's stored state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from aiogram.fsm.state import State, StatesGroup

from handlers.captions import Shares, shares_of
from handlers.options import DEFAULTS, Options
from ml_models.registry import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm
from processing.instant_draft import instant_draft, wanted
from processing.job import Order, Picture, WeightedStyle


class Gathering(StatesGroup):
    """What is awaited; without a state nothing was begun."""

    content = State()
    style = State()
    #: Everything is there, and the options are open: the order waits for its button.
    paint = State()


@dataclass(frozen=True, slots=True)
class Received:
    """A picture and the message that brought it.

    Attributes:
        caption: its text where it gives shares of styles, else empty.
    """

    picture: Picture
    message_id: int
    caption: str = ""

    @classmethod
    def from_data(cls, stored: Mapping[str, Any]) -> Self:
        return cls(Picture(**stored["picture"]), int(stored["message_id"]), stored.get("caption", ""))


@dataclass(frozen=True, slots=True)
class Draft:
    """The pictures gathered, and how they are to be painted.

    Attributes:
        algorithm: key in the registry.
        content, styles: what came so far.
        weights: of the styles, as chosen by buttons; empty: as the captions say.
        options: of this painting.
        usual: the person's own options, for the paintings after this one.
        held: the options are open, so that the order waits for its button.
        panel_id: the message that shows the options, 0 without one.
    """

    algorithm: str = DEFAULT_ALGORITHM
    content: Received | None = None
    styles: tuple[Received, ...] = ()
    weights: tuple[float, ...] = ()
    options: Options = DEFAULTS
    usual: Options = DEFAULTS
    held: bool = False
    panel_id: int = 0

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        stored = data.get("draft") or {}
        key = stored.get("algorithm")
        content = stored.get("content")
        # A mode that is no longer registered falls back to the default one.
        key = key if key in ALGORITHMS else DEFAULT_ALGORITHM
        return cls(
            algorithm=key,
            content=Received.from_data(content) if content else None,
            styles=tuple(Received.from_data(style) for style in stored.get("styles", ())),
            weights=tuple(stored.get("weights", ())),
            options=Options.from_data(stored.get("options", {})).within(ALGORITHMS[key]),
            usual=Options.from_data(stored.get("usual", {})),
            held=stored.get("held", False),
            panel_id=stored.get("panel_id", 0),
        )

    @classmethod
    def of_order(cls, order: Order, message_id: int, usual: Options) -> Self:
        """Return the draft that would be this order; one message stands for all of its pictures."""
        order = wanted(order)
        return cls(
            order.algorithm,
            Received(order.content, message_id),
            tuple(Received(style.picture, message_id) for style in order.styles),
            tuple(style.weight for style in order.styles),
            Options.of_order(order, draft_first=usual.draft_first),
            usual,
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
    def state(self) -> State | None:
        """What the dialogue waits for."""
        return self.awaited or (Gathering.paint if self.held else None)

    @property
    def shares(self) -> Shares:
        """What each style counts, and what is wrong with the captions that say so."""
        if not self.styles or len(self.weights) == len(self.styles):
            return Shares(self.weights)
        content = self.content.caption if self.content else ""
        return shares_of(content, [style.caption for style in self.styles], self.mode.max_styles)

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
        """Photo and style may change places, one of them missing or not; it is moot where the mode takes no style."""
        return bool(self.mode.max_styles and self.pictures) and len(self.styles) < 2

    def has(self, message_id: int) -> bool:
        """That message is in here already: Telegram may send an update twice."""
        return any(received.message_id == message_id for received in self.pictures)

    def add(self, *received: Received) -> Draft:
        """Return the draft with the pictures added in the order of their messages; what is too many is left out.

        A mode without styles takes one picture, and the newest is meant.
        """
        if not self.mode.max_styles:
            newest = max((*self.pictures, *received), key=lambda each: each.message_id, default=None)
            return dataclasses.replace(self, content=newest)
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
        # What was chosen for fewer styles does not hold for more.
        return draft if len(draft.styles) == len(self.styles) else dataclasses.replace(draft, weights=())

    def swapped(self) -> Draft:
        """Return the draft with photo and first style exchanged; either may be missing."""
        first = self.styles[0] if self.styles else None
        styles = (self.content,) if self.content else ()
        return dataclasses.replace(self, content=first, styles=(*styles, *self.styles[1:]), weights=())

    def emptied(self) -> Draft:
        """Return the draft of the next picture: the mode and the person's own options stay."""
        return Draft(self.algorithm, options=self.usual.within(self.mode), usual=self.usual)

    def in_mode(self, algorithm: str) -> Draft:
        """Return the draft in another mode, with as many of its styles and as much of its size as that takes."""
        mode = ALGORITHMS[algorithm]
        styles = self.styles[: mode.max_styles]
        weights = self.weights if len(styles) == len(self.styles) else ()
        options = self.options.within(mode)
        return dataclasses.replace(self, algorithm=algorithm, styles=styles, weights=weights, options=options)

    def with_options(self, options: Options) -> Draft:
        """Return the draft with these options; they last until they are changed again."""
        return dataclasses.replace(self, options=options, usual=options.lasting())

    def with_equal_shares(self) -> Draft:
        return dataclasses.replace(self, weights=(1.0,) * len(self.styles))

    def with_share(self, index: int, percent: float) -> Draft:
        """Return the draft with that percentage for one style, the others sharing the rest as they did."""
        weights = self.shares.weights
        others = sum(weights) - weights[index]
        shares = [(100 - percent) * weight / others for weight in weights]
        shares[index] = percent
        return dataclasses.replace(self, weights=tuple(shares))

    def order(self) -> Order:
        """Return the complete order; raise ValueError while something is awaited."""
        if self.content is None or self.awaited is not None:
            raise ValueError(f"the draft still awaits {self.awaited}")
        weighed = zip(self.styles, self.shares.weights, strict=True)
        styles = tuple(WeightedStyle(style.picture, weight) for style, weight in weighed)
        return Order(self.algorithm, self.content.picture, styles, **self.options.of_painting())

    def next_order(self) -> Order:
        """Return what is done first for the complete order: its instant draft, where it has one and is to have it."""
        order = self.order()
        return (instant_draft(order) if self.options.draft_first else None) or order
