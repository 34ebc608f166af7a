"""/forget: all of a user's data is deleted, once that is confirmed."""

from __future__ import annotations

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from handlers.answers import acknowledge, edit
from handlers.desk import Person
from handlers.storage import dialogue_key
from keyboards.callback_data import ForgetButton, ForgetStep
from keyboards.forget import forget_buttons
from locales.catalogue import Say
from processing.folders import Results
from processing.forget import forget_user
from processing.queue.base import JobQueue
from processing.status_message import StatusMessages
from processing.store import Store


async def ask(message: Message, say: Say) -> None:
    await message.answer(say("forget.ask"), reply_markup=forget_buttons(say))


async def delete(
    query: CallbackQuery,
    person: Person,
    state: FSMContext,
    say: Say,
    queue: JobQueue,
    store: Store,
    results: Results,
    status_messages: StatusMessages,
) -> None:
    """Delete what is kept of whoever presses: the button carries no name."""
    await acknowledge(query)
    await forget_user(
        person.user_id,
        dialogue_key(state.key),
        queue=queue,
        store=store,
        results=results,
        status_messages=status_messages,
    )
    await edit(query, say("forget.done"), None)


async def keep(query: CallbackQuery, say: Say) -> None:
    await acknowledge(query)
    await edit(query, say("forget.kept"), None)


def create_router() -> Router:
    router = Router(name="forget")
    router.message.register(ask, Command("forget"))
    router.callback_query.register(delete, ForgetButton.filter(F.step == ForgetStep.DELETE))
    router.callback_query.register(keep, ForgetButton.filter(F.step == ForgetStep.KEEP))
    return router
