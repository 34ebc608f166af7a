"""A bot whose requests to Telegram are put together as always and then answered here."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.methods import GetMe, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import Chat, File, Message, User

from tests.chat import picture


class OfflineSession(AiohttpSession):
    """Every request is carried out, as far as anybody can tell."""

    numbers = itertools.count(10_000)

    async def make_request(self, bot: Bot, method: TelegramMethod[TelegramType], *_: Any, **__: Any) -> Any:
        self.build_form_data(bot, method)()
        returned = str(method.__returning__)
        if isinstance(method, GetMe):
            return User(id=bot.id, is_bot=True, first_name="Bot", username="offline_bot")
        if "Message" in returned:
            chat = Chat(id=getattr(method, "chat_id", None) or 1, type="private")
            sent = Message(message_id=next(self.numbers), date=datetime.now(UTC), chat=chat, text="x")
            return sent.as_(bot)
        if "File" in returned:
            return File(file_id="f", file_unique_id="u", file_size=1000, file_path="photos/1.png")
        return True

    async def stream_content(self, url: str, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        yield picture(form="PNG")
