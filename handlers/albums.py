"""Albums: their pictures come as single messages; they are stored as they come and taken together after a pause."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import structlog
from aiogram.exceptions import AiogramError
from aiogram.fsm.context import FSMContext
from aiogram.fsm.storage.base import BaseEventIsolation, BaseStorage, StorageKey

from handlers.desk import Desk, Person, was_ordered
from handlers.draft import Draft, Received, received_from
from handlers.storage import dialogue_key, storage_key
from processing.store import Store
from reporting.notices import Notices

#: Telegram sends an album's messages within a few tenths of a second.
PAUSE_S = 0.8

log = structlog.get_logger(__name__)


class Albums:
    """Gathers albums in the dialogue's stored data, so that a restart in between loses none."""

    def __init__(
        self, desk: Desk, storage: BaseStorage, locks: BaseEventIsolation, notices: Notices, pause_s: float = PAUSE_S
    ) -> None:
        self.desk = desk
        self.storage = storage
        self.locks = locks
        self.notices = notices
        self.pause_s = pause_s
        self._timers: dict[StorageKey, asyncio.Task[None]] = {}

    async def add(self, person: Person, context: FSMContext, album_id: str, received: Received) -> None:
        """Store one picture of an album; an earlier album that still waits is taken first."""
        if await was_ordered(context, received.message_id):
            return
        album = (await context.get_data()).get("album")
        if album and album["id"] != album_id:
            await self.settle(context)
            album = None
        items = [item for item in (album["items"] if album else []) if item["message_id"] != received.message_id]
        items.append(dataclasses.asdict(received))
        await context.update_data(album={"id": album_id, "person": dataclasses.asdict(person), "items": items})
        self._wait(context.key)

    async def settle(self, context: FSMContext) -> None:
        """Take the album that waits in this dialogue, if there is one. The dialogue's lock is held by the caller."""
        timer = self._timers.pop(context.key, None)
        if timer and timer is not asyncio.current_task():
            timer.cancel()
        data = await context.get_data()
        album = data.get("album")
        if not album:
            return
        person = Person(**album["person"])
        received = [received_from(item) for item in album["items"]]
        draft = Draft.from_data(data)
        room = draft.mode.max_styles - len(draft.styles) + (draft.content is None)
        if len(received) > room:
            text = self.desk.say(person)("album.too_many", limit=draft.mode.max_styles)
            await self.desk.bot.send_message(person.chat_id, text)
        await self.desk.receive(person, context, received, f"album:{person.chat_id}:{album['id']}")
        await context.set_data(_without_album(await context.get_data()))

    async def resume(self, store: Store) -> None:
        """Take the albums that a stopped bot left behind."""
        for key, _ in await store.dialogues_with("album"):
            self._wait(storage_key(key))

    async def close(self) -> None:
        """Stop waiting; what was gathered is stored and taken up at the next start."""
        timers = list(self._timers.values())
        self._timers.clear()
        for timer in timers:
            timer.cancel()
        await asyncio.gather(*timers, return_exceptions=True)

    def _wait(self, key: StorageKey) -> None:
        if earlier := self._timers.pop(key, None):
            earlier.cancel()
        self._timers[key] = asyncio.create_task(self._settle_later(key))

    async def _settle_later(self, key: StorageKey) -> None:
        await asyncio.sleep(self.pause_s)
        try:
            async with self.locks.lock(key):
                # From here on it must not be cut off by the next picture's timer.
                self._timers.pop(key, None)
                await self.settle(FSMContext(self.storage, key))
        except AiogramError as error:
            log.warning("an album could not be answered", dialogue=dialogue_key(key), reason=type(error).__name__)
        except Exception as error:
            log.exception("an album could not be taken", dialogue=dialogue_key(key))
            await self.notices.error(error, where="album")


def _without_album(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "album"}
