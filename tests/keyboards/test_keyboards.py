"""What buttons carry fits into 64 bytes and comes back as it was; layouts hold what they should."""

from functools import partial
from typing import Any

import pytest
from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardMarkup

from keyboards.callback_data import (
    DraftButton,
    DraftStep,
    JobButton,
    JobStep,
    Menu,
    MenuItem,
    ModeChosen,
    Option,
    OptionButton,
    PanelButton,
    PanelStep,
    ShareButton,
    StrengthButton,
)
from keyboards.draft import draft_buttons
from keyboards.job import Offers, failure_buttons, result_buttons, status_buttons
from keyboards.menu import menu
from keyboards.options import CHOSEN, LARGER_SIZES_PX, STRENGTHS, Shown, options_buttons, sizes_px
from locales.catalogue import Catalogue
from ml_models.contract import MAX_SIZE_PX, SIZES_PX, STROKE_SCALES
from ml_models.registry import ALGORITHMS
from tests.toy_algorithm import QUICK, TOY

say = partial(Catalogue().say, "en")
LARGEST = 2**63 - 1


def data(markup: InlineKeyboardMarkup) -> list[str]:
    return [button.callback_data or "" for row in markup.inline_keyboard for button in row]


@pytest.mark.parametrize(
    "button",
    [
        *(Menu(item=item) for item in MenuItem),
        *(ModeChosen(algorithm=key) for key in [*ALGORITHMS, "sixteen_letters_"]),
        *(DraftButton(step=step, message_id=LARGEST) for step in DraftStep),
        *(JobButton(step=step, job_id=LARGEST) for step in JobStep),
        *(OptionButton(option=option, value=MAX_SIZE_PX, message_id=LARGEST) for option in Option),
        *(PanelButton(step=step, message_id=LARGEST) for step in PanelStep),
        ShareButton(style=3, percent=100, message_id=LARGEST),
        StrengthButton(percent=100, job_id=LARGEST),
    ],
)
def test_callback_data_fits_and_comes_back(button: CallbackData) -> None:
    packed = button.pack()
    assert len(packed.encode()) <= 64
    assert type(button).unpack(packed) == button


def test_the_menu_has_every_mode_of_the_registry_help_and_an_example() -> None:
    modes = [ModeChosen(algorithm=key).pack() for key in ALGORITHMS]
    assert data(menu(say, ALGORITHMS.values())) == [*modes, "menu:example", "menu:help"]


def test_a_draft_can_be_cancelled_always_and_swapped_where_that_makes_sense() -> None:
    assert data(draft_buttons(say, 7)) == ["panel:open:7", "draft:cancel:7"]
    assert data(draft_buttons(say, 7, "button.is_style")) == ["draft:swap:7", "panel:open:7", "draft:cancel:7"]


def test_job_buttons_name_their_job() -> None:
    assert data(status_buttons(say, 5, swap=False)) == ["job:cancel:5"]
    assert data(status_buttons(say, 5, swap=True)) == ["job:cancel:5", "job:swap:5"]
    assert data(status_buttons(say, 5, swap=True, keep=True)) == ["job:keep:5", "job:cancel:5", "job:swap:5"]
    painted = ["job:file:5", "job:again:5", "job:options:5", "job:style:5"]
    assert data(result_buttons(say, 5, Offers(swap=True))) == painted
    assert data(result_buttons(say, 5, Offers(styles=False))) == painted[:-1]
    assert data(failure_buttons(say, 5, styles=True)) == ["job:again:5", "job:options:5", "job:style:5"]


def test_an_instant_result_has_other_strengths_in_the_place_of_another_variant() -> None:
    instant = Offers(instant=True, swap=True)
    more = ["job:options:5", "job:style:5", "job:swap:5"]
    assert data(result_buttons(say, 5, instant)) == ["job:file:5", "job:strengths:5", *more]
    open_row = result_buttons(say, 5, instant, strength=0.5)
    assert data(open_row) == [*(f"strength:{percent}:5" for percent in STRENGTHS), "job:file:5", *more]
    assert marked(open_row) == ["strength:50:5"]
    alone = result_buttons(say, 5, Offers(instant=True, styles=False))
    assert data(alone) == ["job:file:5", "job:strengths:5", "job:options:5"]


@pytest.mark.parametrize("strength", [None, 1.0])
def test_the_painting_of_a_draft_is_alone_on_the_first_row(strength: float | None) -> None:
    markup = result_buttons(say, 5, Offers(paint=True, instant=True, swap=True), strength)
    assert [button.callback_data for button in markup.inline_keyboard[0]] == ["job:paint:5"]
    assert "job:paint:5" not in data(markup)[1:]
    assert max(len(row) for row in markup.inline_keyboard) <= 4


def panel(*percents: int, complete: bool = True, empty: bool = False, **changes: Any) -> InlineKeyboardMarkup:
    values = {"sizes_px": sizes_px(TOY), "size_px": 512, "strength": 1.0, "stroke_scale": 1.0, "keep_colours": False}
    values |= {"draft_first": None, "strokes": True, "variants": True, "swap": None}
    return options_buttons(say, Shown(7, percents=percents, complete=complete, empty=empty, **(values | changes)))


def marked(markup: InlineKeyboardMarkup) -> list[str]:
    buttons = [button for row in markup.inline_keyboard for button in row]
    return [str(button.callback_data) for button in buttons if button.text.startswith(CHOSEN)]


def test_the_options_offer_every_size_and_stroke_and_mark_what_is_chosen() -> None:
    offered = data(panel(100))
    assert [f"option:size:{size}:7" for size in SIZES_PX] == offered[: len(SIZES_PX)]
    assert {f"option:strokes:{round(100 * scale)}:7" for scale in STROKE_SCALES.values()} < set(offered)
    assert marked(panel(100)) == ["option:size:512:7", "option:strength:100:7", "option:strokes:100:7"]
    changed = panel(100, size_px=2048, strength=0.25, stroke_scale=0.5, keep_colours=True)
    # Its button would give the colours of the style back.
    chosen = ["option:size:2048:7", "option:strength:25:7", "option:strokes:50:7", "option:colours:0:7"]
    assert marked(changed) == chosen


def test_a_mode_is_offered_what_it_can_do() -> None:
    assert sizes_px(TOY) == SIZES_PX
    assert sizes_px(QUICK) == (*SIZES_PX, *LARGER_SIZES_PX)
    large = panel(100, sizes_px=sizes_px(QUICK))
    assert [len(row) for row in large.inline_keyboard[:3]] == [3, 3, 4]
    bare = data(panel(sizes_px=(512,), strokes=False, variants=False))
    assert not [button for button in bare if button.startswith(("option:strokes", "option:draft", "panel:variant"))]
    assert "panel:variant:7" in data(panel(100))
    # The button gives what is not so yet.
    assert "option:draft:0:7" in marked(panel(100, draft_first=True))
    assert "option:draft:1:7" in data(panel(100, draft_first=False))
    assert "option:draft:1:7" not in marked(panel(100, draft_first=False))


def test_shares_have_buttons_as_soon_as_there_are_two_styles() -> None:
    assert not [button for button in data(panel(100)) if button.startswith("share")]
    two = [button for button in data(panel(70, 30)) if button.startswith("share")]
    assert two == ["share:0:50:7", "share:0:70:7", "share:0:30:7"]
    assert "share:0:70:7" in marked(panel(70, 30))
    four = [button for button in data(panel(25, 25, 20, 90)) if button.startswith("share")]
    assert four == ["share:0:30:7", "share:1:30:7", "share:2:30:7", "share:3:90:7"]
    assert "panel:equal:7" in marked(panel(33, 33, 33))
    assert "panel:equal:7" not in marked(panel(40, 30, 30))


def test_the_last_row_paints_what_is_complete_and_closes_what_is_not() -> None:
    def last(markup: InlineKeyboardMarkup) -> list[str]:
        return [str(button.callback_data) for button in markup.inline_keyboard[-1]]

    assert last(panel(100)) == ["draft:cancel:7", "panel:paint:7"]
    assert last(panel(complete=False)) == ["panel:close:7", "draft:cancel:7"]
    assert last(panel(complete=False, empty=True)) == ["panel:close:7"]
    assert "draft:swap:7" in data(panel(100, swap="button.swap"))


def test_no_row_is_longer_than_a_phone_shows() -> None:
    for markup in (panel(100), panel(70, 30), panel(25, 25, 25, 25), panel(100, sizes_px=sizes_px(QUICK))):
        assert max(len(row) for row in markup.inline_keyboard) <= 4
        assert all(len(button.text) <= 36 // len(row) for row in markup.inline_keyboard for button in row)
