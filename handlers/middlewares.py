"""Around every update: its ids in the log, no update twice, who is served in which language."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from aiogram import BaseMiddleware
from aiogram.types import Chat, TelegramObject, Update, User

from handlers.desk import Person
from locales.catalogue import Catalogue
from processing.store import Store

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class LogContext(BaseMiddleware):
    """Binds update and user to every line that is logged below."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        user: User | None = data.get("event_from_user")
        update_id = event.update_id if isinstance(event, Update) else None
        with structlog.contextvars.bound_contextvars(update_id=update_id, user_id=user.id if user else None):
            return await handler(event, data)


class OnlyOnce(BaseMiddleware):
    """Passes each update on until it was dealt with once: Telegram sends again what was not acknowledged in time.

    The mark is set after the handler: a crash in between lets the update in a second time, and the handlers are made
    so that nothing happens twice then (a job's origin, a picture's message id).
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._under_way: dict[int, asyncio.Event] = {}

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        if not isinstance(event, Update):
            return await handler(event, data)
        while twin := self._under_way.get(event.update_id):
            await twin.wait()
        done = self._under_way[event.update_id] = asyncio.Event()
        try:
            if await self.store.update_seen(event.update_id):
                return None
            result = await handler(event, data)
            await self.store.mark_update(event.update_id)
            return result
        finally:
            del self._under_way[event.update_id]
            done.set()


class Persons(BaseMiddleware):
    """Gives the handlers `person`, `say` in the language of their Telegram client, `update_id` and `origin`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        user: User | None = data.get("event_from_user")
        chat: Chat | None = data.get("event_chat")
        language = self.catalogue.language_of(user.language_code if user else None)
        data["say"] = partial(self.catalogue.say, language)
        if user:
            data["person"] = Person(user.id, chat.id if chat else user.id, language)
        if isinstance(event, Update):
            data["update_id"] = event.update_id
            data["origin"] = f"update:{event.update_id}"
        return await handler(event, data)
