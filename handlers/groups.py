"""In a group: a pointer to the private chat, for commands alone."""

from __future__ import annotations

from aiogram import F, Router
from aiogram.filters import CommandStart
from aiogram.types import Message

from locales.catalogue import Say


async def start(message: Message, say: Say) -> None:
    await message.reply(say("group.private"))


def create_groups_router() -> Router:
    router = Router(name="groups")
    router.message.register(start, F.chat.type.in_({"group", "supergroup"}), CommandStart())
    return router
