"""The greeting's buttons: the modes of the registry, help, an example."""

from __future__ import annotations

from collections.abc import Iterable

from aiogram.types import InlineKeyboardMarkup
from aiogram.utils.keyboard import InlineKeyboardBuilder

from keyboards.callback_data import Menu, MenuItem, ModeChosen
from locales.catalogue import Say
from ml_models.registry import Algorithm


def menu(say: Say, algorithms: Iterable[Algorithm]) -> InlineKeyboardMarkup:
    builder = InlineKeyboardBuilder()
    modes = 0
    for algorithm in algorithms:
        builder.button(
            text=say("button.mode", title=algorithm.title), callback_data=ModeChosen(algorithm=algorithm.key)
        )
        modes += 1
    builder.button(text=say("button.example"), callback_data=Menu(item=MenuItem.EXAMPLE))
    builder.button(text=say("button.help"), callback_data=Menu(item=MenuItem.HELP))
    rows = [2] * (modes // 2) + [1] * (modes % 2)
    return InlineKeyboardMarkup(inline_keyboard=builder.adjust(*rows, 2).export())
