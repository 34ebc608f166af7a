"""Dialogues in the store: remembered under their lock, forgotten with it, one update at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiogram.fsm.storage.base import StorageKey

from handlers.storage import DialogueLocks, StoredDialogues, dialogue_key, storage_key
from processing.store import Store

KEY = StorageKey(bot_id=1, chat_id=-2, user_id=3)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'bot.sqlite3'}")
    await store.open()
    yield store
    await store.close()


@pytest.mark.parametrize("key", [KEY, StorageKey(1, 2, 3, 4, "bc5", "other")])
def test_a_key_comes_back_from_its_text(key: StorageKey) -> None:
    assert storage_key(dialogue_key(key)) == key


async def test_state_and_data_are_read_once_under_a_lock_and_anew_under_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    real = Store.get_dialogue

    async def counted(self: Store, key: str) -> Any:
        nonlocal reads
        reads += 1
        return await real(self, key)

    monkeypatch.setattr(Store, "get_dialogue", counted)
    dialogues = StoredDialogues(store)
    locks = DialogueLocks(dialogues)
    async with locks.lock(KEY):
        await dialogues.set_state(KEY, "style")
        await dialogues.set_data(KEY, {"a": 1})
        await dialogues.update_data(KEY, {"b": 2})
        assert await dialogues.get_state(KEY) == "style"
        assert await dialogues.get_data(KEY) == {"a": 1, "b": 2}
    assert reads == 1
    # Another process may have written meanwhile.
    await store.set_dialogue(dialogue_key(KEY), "content", {})
    async with locks.lock(KEY):
        assert (await dialogues.get_state(KEY), await dialogues.get_data(KEY)) == ("content", {})


async def test_what_could_not_be_stored_is_not_remembered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    dialogues = StoredDialogues(store)

    async def failing(*_: Any) -> None:
        raise OSError("full")

    async with DialogueLocks(dialogues).lock(KEY):
        with monkeypatch.context() as patch:
            patch.setattr(Store, "set_dialogue", failing)
            with pytest.raises(OSError, match="full"):
                await dialogues.set_data(KEY, {"a": 1})
        assert await dialogues.get_data(KEY) == {}


async def test_one_at_a_time_and_no_lock_is_kept(store: Store) -> None:
    locks = DialogueLocks(StoredDialogues(store))
    inside = 0

    async def enter() -> None:
        nonlocal inside
        async with locks.lock(KEY):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.005)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(10)))
    assert locks._locks == {}
