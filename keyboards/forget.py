"""Buttons of the question whether everything is to be deleted."""

from __future__ import annotations

from aiogram.types import InlineKeyboardMarkup
from aiogram.utils.keyboard import InlineKeyboardBuilder

from keyboards.callback_data import ForgetButton, ForgetStep
from locales.catalogue import Say


def forget_buttons(say: Say) -> InlineKeyboardMarkup:
    builder = InlineKeyboardBuilder()
    builder.button(text=say("button.forget"), callback_data=ForgetButton(step=ForgetStep.DELETE))
    builder.button(text=say("button.do_not_forget"), callback_data=ForgetButton(step=ForgetStep.KEEP))
    return InlineKeyboardMarkup(inline_keyboard=builder.adjust(1).export())
