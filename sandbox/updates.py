"""The updates that wait for the bot: kept until acknowledged, by the webhook or by getUpdates."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.errors import ApiError

# What the Bot API can send; the last three only on request, as with the real server.
UPDATE_TYPES = (
    "message", "edited_message", "channel_post", "edited_channel_post", "business_connection", "business_message",
    "edited_business_message", "deleted_business_messages", "guest_message", "inline_query", "chosen_inline_result",
    "callback_query", "shipping_query", "pre_checkout_query", "purchased_paid_media", "poll", "poll_answer",
    "my_chat_member", "chat_join_request", "chat_boost", "removed_chat_boost", "managed_bot", "subscription",
    "stopped_message_generation", "chat_member", "message_reaction", "message_reaction_count",
)  # fmt: skip
ON_REQUEST = frozenset(UPDATE_TYPES[-3:])
MAX_PENDING = 100_000
TERMINATED = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"


@dataclass(frozen=True, slots=True)
class Update:
    """One update; `chat_id` names the queue in which the order is kept."""

    update_id: int
    chat_id: int
    payload: dict[str, Any]


class Updates:
    """Numbers and keeps updates; filters by allowed_updates when they are made, as the real server does."""

    def __init__(self, first_id: int = 100_000_001) -> None:
        self._next_id = first_id
        self._chats: dict[int, deque[Update]] = {}
        self._pending: dict[int, Update] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._listener: Callable[[int], None] | None = None
        self.allowed: frozenset[str] = frozenset(UPDATE_TYPES) - ON_REQUEST
        self.restricted = False

    def __len__(self) -> int:
        return len(self._pending)

    def allow(self, kinds: Iterable[str]) -> None:
        """Set the kinds that are kept from now on; none means all but ON_REQUEST."""
        chosen = frozenset(kinds)
        self.restricted = bool(chosen)
        self.allowed = chosen or frozenset(UPDATE_TYPES) - ON_REQUEST

    def listen(self, listener: Callable[[int], None] | None) -> None:
        """Call the listener with the chat's id for every new update, and now for each chat with some."""
        self._listener = listener
        if listener is not None:
            for chat_id in list(self._chats):
                listener(chat_id)

    def add(self, kind: str, content: dict[str, Any], chat_id: int) -> None:
        if kind not in self.allowed or len(self._pending) >= MAX_PENDING:
            return
        update = Update(self._next_id, chat_id, {"update_id": self._next_id, kind: content})
        self._next_id += 1
        self._pending[update.update_id] = update
        self._chats.setdefault(chat_id, deque()).append(update)
        if self._listener is not None:
            self._listener(chat_id)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def first_of(self, chat_id: int) -> Update | None:
        waiting = self._chats.get(chat_id)
        return waiting[0] if waiting else None

    def second_of(self, chat_id: int) -> Update | None:
        waiting = self._chats.get(chat_id)
        return waiting[1] if waiting and len(waiting) > 1 else None

    def acknowledge(self, update: Update) -> None:
        if self._pending.pop(update.update_id, None) is None:
            return
        waiting = self._chats[update.chat_id]
        waiting.remove(update)
        if not waiting:
            del self._chats[update.chat_id]

    def drop_all(self) -> None:
        self._pending.clear()
        self._chats.clear()

    async def poll(self, offset: int, limit: int, timeout_s: float) -> list[dict[str, Any]]:
        """getUpdates: forget all before the offset (from the end where negative), wait for at least one, return some.

        A later call ends an earlier one that still waits with 409, as two running bots would see it.
        """
        self.end_poll(ApiError(409, TERMINATED))
        if offset < 0:
            offset = next(iter(list(self._pending)[offset:]), self._next_id)
        for update in [each for each in self._pending.values() if each.update_id < offset]:
            self.acknowledge(update)
        with contextlib.suppress(TimeoutError, _PollEndedError):
            async with asyncio.timeout(timeout_s):
                while not self._pending:
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        return [update.payload for update in list(self._pending.values())[:limit]]

    def end_poll(self, error: ApiError | None = None) -> None:
        """End a poll that waits: with the error, or with no updates."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error or _PollEndedError())
        self._waiter = None


class _PollEndedError(Exception):
    """The server stops; a poll that waits returns nothing."""
