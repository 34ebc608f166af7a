"""The options message's buttons: one row an option, what is chosen marked, and what can be done next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from keyboards.callback_data import (
    DraftButton,
    DraftStep,
    Option,
    OptionButton,
    PanelButton,
    PanelStep,
    ShareButton,
)
from locales.catalogue import Say
from ml_models.contract import SIZES_PX, STROKE_SCALES
from ml_models.registry import Algorithm

#: Offered beyond SIZES_PX by modes that paint so large; any PNG of them is within the 50 MB that a bot may send.
LARGER_SIZES_PX = (3072, 3840)
LONGEST_ROW = 4
STRENGTHS = (25, 50, 75, 100)
#: The first of two styles in percent.
SHARES_OF_TWO = (50, 70, 30)
MOST_PERCENT = 90
CHOSEN = "✓\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the buttons have to know.

    Attributes:
        message_id: as in DraftButton.
        sizes_px: what the mode can do.
        draft_first: an instant draft comes before the painting; None where the mode has no draft.
        strokes: there are styles whose strokes have a size.
        variants: another seed gives another picture.
        percents: of the styles, in their order.
        complete: the order can be painted.
        empty: no picture is there.
        swap: the key of the swap's text, or None where there is nothing to swap.
    """

    message_id: int
    sizes_px: Sequence[int]
    size_px: int
    strength: float
    stroke_scale: float
    keep_colours: bool
    draft_first: bool | None
    strokes: bool
    variants: bool
    percents: Sequence[int]
    complete: bool
    empty: bool
    swap: str | None


def sizes_px(algorithm: Algorithm) -> tuple[int, ...]:
    """Return the sizes that are offered in the algorithm's mode."""
    return tuple(size for size in (*SIZES_PX, *LARGER_SIZES_PX) if size <= algorithm.max_size_px)


def options_buttons(say: Say, shown: Shown) -> InlineKeyboardMarkup:
    """Size, strength, strokes, colours, a draft, the shares of several styles, a variant; then what comes next."""
    sizes = [_option(str(size), Option.SIZE, size, shown, size == shown.size_px) for size in shown.sizes_px]
    rows = [
        *_even_rows(sizes),
        [
            _option(f"{percent}%", Option.STRENGTH, percent, shown, percent == round(100 * shown.strength))
            for percent in STRENGTHS
        ],
    ]
    if shown.strokes:
        strokes = [
            _option(say(f"stroke.{name}"), Option.STROKES, round(100 * scale), shown, scale == shown.stroke_scale)
            for name, scale in STROKE_SCALES.items()
        ]
        rows.append(strokes)
    rows.append([_switch("button.keep_colours", Option.COLOURS, shown.keep_colours, say, shown)])
    if shown.draft_first is not None:
        rows.append([_switch("button.draft_first", Option.DRAFT, shown.draft_first, say, shown)])
    rows += _shares(say, shown)
    variant = [_panel(say("button.variant"), PanelStep.VARIANT, shown)] if shown.variants else []
    rows.append([*variant, _panel(say("button.reset"), PanelStep.RESET, shown)])
    if shown.swap:
        rows.append([_button(say(shown.swap), DraftButton(step=DraftStep.SWAP, message_id=shown.message_id))])
    last = [] if shown.complete else [_panel(say("button.close"), PanelStep.CLOSE, shown)]
    if not shown.empty:
        cancel = DraftButton(step=DraftStep.CANCEL, message_id=shown.message_id)
        last.append(_button(say("button.cancel"), cancel))
    if shown.complete:
        last.append(_panel(say("button.paint"), PanelStep.PAINT, shown))
    return InlineKeyboardMarkup(inline_keyboard=[*rows, last])


def _even_rows(buttons: list[InlineKeyboardButton]) -> list[list[InlineKeyboardButton]]:
    """Return the buttons in as few rows as a phone shows whole, equally long."""
    rows = -(-len(buttons) // LONGEST_ROW)
    length = -(-len(buttons) // rows)
    return [buttons[at : at + length] for at in range(0, len(buttons), length)]


def _shares(say: Say, shown: Shown) -> list[list[InlineKeyboardButton]]:
    percents = shown.percents
    if len(percents) < 2:
        return []
    if len(percents) == 2:
        presets = [(f"{first}/{100 - first}", first) for first in SHARES_OF_TWO]
        return [[_share(text, 0, first, shown, percents[0] == first) for text, first in presets]]
    more = [
        _share(f"{index + 1}: {percent}%", index, min(MOST_PERCENT, 10 * (percent // 10 + 1)), shown)
        for index, percent in enumerate(percents)
    ]
    equal = CHOSEN * (len(set(percents)) == 1) + say("button.equal")
    return [more, [_panel(equal, PanelStep.EQUAL, shown)]]


def _option(text: str, option: Option, value: int, shown: Shown, chosen: bool) -> InlineKeyboardButton:
    data = OptionButton(option=option, value=int(value), message_id=shown.message_id)
    return _button(CHOSEN * chosen + text, data)


def _switch(key: str, option: Option, on: bool, say: Say, shown: Shown) -> InlineKeyboardButton:
    return _option(say(key), option, not on, shown, on)


def _share(text: str, style: int, percent: int, shown: Shown, chosen: bool = False) -> InlineKeyboardButton:
    data = ShareButton(style=style, percent=percent, message_id=shown.message_id)
    return _button(CHOSEN * chosen + text, data)


def _panel(text: str, step: PanelStep, shown: Shown) -> InlineKeyboardButton:
    return _button(text, PanelButton(step=step, message_id=shown.message_id))


def _button(text: str, data: CallbackData) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=data.pack())
