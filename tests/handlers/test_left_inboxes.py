"""Pictures that a bot has left in an inbox, taken by another bot on the same database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytest
from aiogram.fsm.context import FSMContext
from aiogram.fsm.storage.base import StorageKey

from handlers import inbox as inbox_module
from handlers.desk import Desk, Person
from handlers.draft import Draft, Received
from handlers.inbox import Inbox, Item
from handlers.storage import DialogueLocks, StoredDialogues, dialogue_key
from processing.job import Picture
from processing.store import Store

KEY = StorageKey(1, 7, 7)


class Orders:
    """A desk that only remembers what it is given."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []

    async def receive(self, person: Person, context: FSMContext, draft: Draft, origin: str) -> bool:
        self.drafts.append(draft)
        return True


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'bot.sqlite3'}")
    await store.open()
    yield store
    await store.close()


async def test_what_has_lain_there_for_long_is_taken_and_nothing_younger(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "LOOK_EVERY_S", 0.02)
    orders, dialogues = Orders(), StoredDialogues(store)
    nothing = cast(Any, None)
    inbox = Inbox(cast(Desk, orders), nothing, dialogues, DialogueLocks(dialogues), nothing)

    async def leave(seconds_ago: float) -> None:
        items = [Item(Received(Picture(f"p{n}"), n), "album", arrived_at=time.time() - seconds_ago) for n in (3, 4)]
        data = {"inbox": {"person": asdict(Person(7, 7, "en")), "items": [asdict(item) for item in items]}}
        await store.set_dialogue(dialogue_key(KEY), None, data)

    inbox.look_after(store)
    try:
        await leave(inbox_module.LEFT_AFTER_S - 20)
        await asyncio.sleep(0.2)
        assert orders.drafts == []
        await leave(inbox_module.LEFT_AFTER_S + 1)
        async with asyncio.timeout(5):
            while (await store.get_dialogue(dialogue_key(KEY)))[1].get("inbox"):
                await asyncio.sleep(0.01)
    finally:
        await inbox.close()
    [draft] = orders.drafts
    assert [picture.picture.file_id for picture in draft.pictures] == ["p3", "p4"]
