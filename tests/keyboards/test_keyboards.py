"""What buttons carry fits into 64 bytes and comes back as it was; layouts hold what they should."""

from functools import partial

import pytest
from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardMarkup

from keyboards.callback_data import DraftButton, DraftStep, JobButton, JobStep, Menu, MenuItem, ModeChosen
from keyboards.draft import draft_buttons
from keyboards.job import failure_buttons, result_buttons, status_buttons
from keyboards.menu import menu
from locales.catalogue import Catalogue
from ml_models.registry import ALGORITHMS

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
    assert data(draft_buttons(say, 7)) == ["draft:cancel:7"]
    assert data(draft_buttons(say, 7, "button.is_style")) == ["draft:swap:7", "draft:cancel:7"]


def test_job_buttons_name_their_job() -> None:
    assert data(status_buttons(say, 5, swap=False)) == ["job:cancel:5"]
    assert data(status_buttons(say, 5, swap=True)) == ["job:cancel:5", "job:swap:5"]
    assert data(result_buttons(say, 5, styles=True)) == ["job:file:5", "job:again:5", "job:style:5"]
    assert data(result_buttons(say, 5, styles=False)) == ["job:file:5", "job:again:5"]
    assert data(failure_buttons(say, 5, styles=True)) == ["job:again:5", "job:style:5"]
