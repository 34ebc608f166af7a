"""Answers to button presses."""

from __future__ import annotations

import structlog
from aiogram.exceptions import AiogramError
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

log = structlog.get_logger(__name__)


async def acknowledge(query: CallbackQuery, text: str | None = None) -> None:
    """Stop the button's spinner, with a toast or without."""
    await _answer(query, text, alert=False)


async def refuse(query: CallbackQuery, text: str) -> None:
    """Say in a window that this button does nothing, and why."""
    await _answer(query, text, alert=True)


async def edit(query: CallbackQuery, text: str, buttons: InlineKeyboardMarkup | None) -> None:
    """Put this in the place of the message whose button was pressed."""
    if not isinstance(query.message, Message):
        return
    try:
        await query.message.edit_text(text, reply_markup=buttons)
    except AiogramError as error:
        # Pressed twice, or deleted meanwhile.
        log.info("a message could not be edited", reason=type(error).__name__)


async def edit_buttons(query: CallbackQuery, buttons: InlineKeyboardMarkup) -> None:
    """Put these in the place of the buttons of which one was pressed."""
    if not isinstance(query.message, Message):
        return
    try:
        await query.message.edit_reply_markup(reply_markup=buttons)
    except AiogramError as error:
        log.info("buttons could not be edited", reason=type(error).__name__)


async def _answer(query: CallbackQuery, text: str | None, *, alert: bool) -> None:
    """A press from long ago cannot be answered any more; what the button does must not depend on it."""
    try:
        await query.answer(text, show_alert=alert)
    except AiogramError as error:
        log.info("a button press could not be answered", reason=type(error).__name__)
