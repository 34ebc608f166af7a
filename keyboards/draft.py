"""Buttons while pictures are being gathered."""

from __future__ import annotations

from aiogram.types import InlineKeyboardMarkup
from aiogram.utils.keyboard import InlineKeyboardBuilder

from keyboards.callback_data import DraftButton, DraftStep, PanelButton, PanelStep
from locales.catalogue import Say


def draft_buttons(say: Say, message_id: int, swap: str | None = None) -> InlineKeyboardMarkup:
    """Options and cancel, and before them a swap with the given text's key where there is something to swap."""
    builder = InlineKeyboardBuilder()
    if swap:
        builder.button(text=say(swap), callback_data=DraftButton(step=DraftStep.SWAP, message_id=message_id))
    builder.button(text=say("button.options"), callback_data=PanelButton(step=PanelStep.OPEN, message_id=message_id))
    builder.button(text=say("button.cancel"), callback_data=DraftButton(step=DraftStep.CANCEL, message_id=message_id))
    return InlineKeyboardMarkup(inline_keyboard=builder.adjust(*([1] if swap else []), 2).export())
