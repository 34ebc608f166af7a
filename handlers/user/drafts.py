"""Buttons while pictures are gathered: swap and cancel."""

from __future__ import annotations

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery

from handlers.answers import acknowledge, edit, refuse
from handlers.desk import Desk, Person, begin_anew, keep_draft, question
from handlers.draft import Draft
from keyboards.callback_data import DraftButton, DraftStep
from locales.catalogue import Say


async def swap(query: CallbackQuery, callback_data: DraftButton, state: FSMContext, say: Say) -> None:
    draft = Draft.from_data(await state.get_data())
    if draft.last_message_id != callback_data.message_id or not draft.swappable:
        await refuse(query, say("button.unknown"))
        return
    draft = draft.swapped()
    await keep_draft(state, draft, draft.state)
    # With both of them there, the options look the same as before.
    await acknowledge(query, say("options.swapped") if draft.awaited is None else None)
    await edit(query, *question(say, draft))


async def cancel(
    query: CallbackQuery, callback_data: DraftButton, person: Person, state: FSMContext, say: Say, desk: Desk
) -> None:
    draft = Draft.from_data(await state.get_data())
    if draft.last_message_id != callback_data.message_id or await state.get_state() is None:
        await refuse(query, say("button.unknown"))
        return
    await begin_anew(state, draft.emptied())
    await acknowledge(query)
    await edit(query, say("cancel.dialogue"), None)
    if query.message and draft.panel_id != query.message.message_id:
        await desk.discard(person, draft.panel_id)


def create_router() -> Router:
    router = Router(name="drafts")
    router.callback_query.register(swap, DraftButton.filter(F.step == DraftStep.SWAP))
    router.callback_query.register(cancel, DraftButton.filter(F.step == DraftStep.CANCEL))
    return router
