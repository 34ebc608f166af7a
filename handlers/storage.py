"""aiogram's dialogue state, kept in the bot's own database, and one lock a dialogue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from aiogram.fsm.state import State
from aiogram.fsm.storage.base import BaseEventIsolation, BaseStorage, StateType, StorageKey

from processing.shared.locks import SharedLocks
from processing.store import Store


def dialogue_key(key: StorageKey) -> str:
    parts = (key.bot_id, key.chat_id, key.user_id, key.thread_id or "", key.business_connection_id or "", key.destiny)
    return ":".join(str(part) for part in parts)


def storage_key(text: str) -> StorageKey:
    """Return the key that dialogue_key wrote."""
    bot_id, chat_id, user_id, thread_id, business_connection_id, destiny = text.split(":", 5)
    return StorageKey(
        int(bot_id), int(chat_id), int(user_id), int(thread_id) if thread_id else None,
        business_connection_id or None, destiny,
    )  # fmt: skip


class StoredDialogues(BaseStorage):
    """State and data of each dialogue as one row. The store is closed by whoever opened it.

    What was read or written is remembered until the dialogue's lock is let go (DialogueLocks calls forget): an update
    reads its dialogue several times. Without the lock nothing may be asked here.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[StorageKey, tuple[str | None, dict[str, Any]]] = {}

    def forget(self, key: StorageKey) -> None:
        self._known.pop(key, None)

    async def _read(self, key: StorageKey) -> tuple[str | None, dict[str, Any]]:
        if key not in self._known:
            self._known[key] = await self.store.get_dialogue(dialogue_key(key))
        return self._known[key]

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        await self.set(key, state, (await self._read(key))[1])

    async def get_state(self, key: StorageKey) -> str | None:
        return (await self._read(key))[0]

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        await self.set(key, (await self._read(key))[0], data)

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        return dict((await self._read(key))[1])

    async def set(self, key: StorageKey, state: StateType, data: Mapping[str, Any]) -> None:
        """Replace both in one transaction."""
        name = state.state if isinstance(state, State) else state
        self.forget(key)
        await self.store.set_dialogue(dialogue_key(key), name, dict(data))
        self._known[key] = name, dict(data)

    async def close(self) -> None:
        pass


class DialogueLocks(BaseEventIsolation):
    """One update of a dialogue at a time. aiogram's own keeps a lock for every user there ever was; these go.

    Args:
        shared: locks that hold among all processes, or None where there is one process.
    """

    def __init__(self, dialogues: StoredDialogues, shared: SharedLocks | None = None) -> None:
        self._dialogues = dialogues
        self._shared = shared
        self._locks: dict[StorageKey, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def lock(self, key: StorageKey) -> AsyncGenerator[None, None]:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock, self._among_all(key):
                try:
                    yield
                finally:
                    self._dialogues.forget(key)
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)

    def _among_all(self, key: StorageKey) -> AbstractAsyncContextManager[None]:
        return self._shared.hold(dialogue_key(key)) if self._shared else nullcontext()

    async def close(self) -> None:
        self._locks.clear()
