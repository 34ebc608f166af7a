"""Answers to button presses."""

from __future__ import annotations

from aiogram.exceptions import TelegramBadRequest
from aiogram.types import CallbackQuery


async def acknowledge(query: CallbackQuery, text: str | None = None) -> None:
    """Stop the button's spinner, with a toast or without. A press from long ago cannot be answered any more."""
    try:
        await query.answer(text)
    except TelegramBadRequest:
        return


async def refuse(query: CallbackQuery, text: str) -> None:
    """Say in a window that this button does nothing, and why."""
    try:
        await query.answer(text, show_alert=True)
    except TelegramBadRequest:
        return
