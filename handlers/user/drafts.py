"""Buttons while pictures are gathered: swap and cancel."""

from __future__ import annotations

from aiogram import F, Router
from aiogram.exceptions import AiogramError
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from handlers.answers import acknowledge, refuse
from handlers.desk import begin_anew, keep_draft, question
from handlers.draft import Draft
from keyboards.callback_data import DraftButton, DraftStep
from keyboards.draft import draft_buttons
from locales.catalogue import Say


async def swap(query: CallbackQuery, callback_data: DraftButton, state: FSMContext, say: Say) -> None:
    draft = Draft.from_data(await state.get_data())
    if draft.last_message_id != callback_data.message_id or not draft.swappable:
        await refuse(query, say("button.unknown"))
        return
    draft = draft.swapped()
    await keep_draft(state, draft, draft.awaited)
    await acknowledge(query)
    text, button = question(draft)
    if isinstance(query.message, Message):
        await _edit(
            query.message,
            say(text, title=draft.mode.title),
            draft_buttons(say, draft.last_message_id, button),
        )


async def cancel(query: CallbackQuery, callback_data: DraftButton, state: FSMContext, say: Say) -> None:
    draft = Draft.from_data(await state.get_data())
    if draft.last_message_id != callback_data.message_id or await state.get_state() is None:
        await refuse(query, say("button.unknown"))
        return
    await begin_anew(state, Draft(draft.algorithm))
    await acknowledge(query)
    if isinstance(query.message, Message):
        await _edit(query.message, say("cancel.dialogue"), None)


async def _edit(message: Message, text: str, buttons: InlineKeyboardMarkup | None) -> None:
    try:
        await message.edit_text(text, reply_markup=buttons)
    except AiogramError:
        # Pressed twice, or deleted meanwhile.
        return


def create_router() -> Router:
    router = Router(name="drafts")
    router.callback_query.register(swap, DraftButton.filter(F.step == DraftStep.SWAP))
    router.callback_query.register(cancel, DraftButton.filter(F.step == DraftStep.CANCEL))
    return router
