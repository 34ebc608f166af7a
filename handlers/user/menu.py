"""The greeting's buttons: a mode, help, an example."""

from __future__ import annotations

import random
from pathlib import Path

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, FSInputFile

from config import Settings
from handlers.answers import acknowledge, refuse
from handlers.desk import Desk, Person
from handlers.draft import Draft
from handlers.user.commands import help_text
from keyboards.callback_data import Menu, MenuItem, ModeChosen
from locales.catalogue import Say
from ml_models.registry import ALGORITHMS

EXAMPLES = Path(__file__).parents[2] / "docs" / "pictures"


async def choose_mode(
    query: CallbackQuery,
    callback_data: ModeChosen,
    person: Person,
    state: FSMContext,
    say: Say,
    desk: Desk,
    origin: str,
) -> None:
    if callback_data.algorithm not in ALGORITHMS:
        await refuse(query, say("button.unknown"))
        return
    await acknowledge(query)
    kept = Draft.from_data(await state.get_data())
    # A photo that was sent before the mode is kept.
    await desk.receive(person, state, kept.in_mode(callback_data.algorithm), origin)


async def show_help(query: CallbackQuery, person: Person, say: Say, settings: Settings, desk: Desk) -> None:
    await acknowledge(query)
    await desk.bot.send_message(person.chat_id, help_text(say, settings))


async def show_example(query: CallbackQuery, person: Person, say: Say, desk: Desk) -> None:
    await acknowledge(query)
    picture = random.choice(sorted(EXAMPLES.glob("example-*.jpg")))
    name = picture.stem.removeprefix("example-").replace("-", ", ")
    await desk.bot.send_photo(person.chat_id, FSInputFile(picture), caption=say("example.caption", name=name))


def create_router() -> Router:
    router = Router(name="menu")
    router.callback_query.register(choose_mode, ModeChosen.filter())
    router.callback_query.register(show_help, Menu.filter(F.item == MenuItem.HELP))
    router.callback_query.register(show_example, Menu.filter(F.item == MenuItem.EXAMPLE))
    return router
