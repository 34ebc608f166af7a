"""The webhook: updates are pushed in each chat's order and again until they are acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sandbox.body import Body, read_parts
from sandbox.errors import ApiError
from sandbox.faults import Faults
from sandbox.updates import Update, Updates

FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0
# The real server gives up on an answer after about a minute.
TIMEOUT_S = 60.0
#: How long an update that is to be overtaken waits for another.
SWAP_S = 0.6
MAX_KEPT = 100_000
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name

Execute = Callable[[str, Body], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where updates go."""

    url: str
    secret_token: str | None = field(repr=False)
    max_connections: int


@dataclass(slots=True)
class PushStats:
    """How the bot acknowledges: seconds from an update's first push to its 2xx, and how many pushes were repeats."""

    seconds: list[float] = field(default_factory=list)
    redeliveries: int = 0

    def record(self, seconds: float) -> None:
        if len(self.seconds) >= MAX_KEPT:
            del self.seconds[: MAX_KEPT // 2]
        self.seconds.append(seconds)

    def clear(self) -> None:
        self.seconds.clear()
        self.redeliveries = 0


class WebhookPusher:
    """Pushes while a webhook is set: one task per chat that has updates, at most max_connections requests at once."""

    def __init__(self, updates: Updates, faults: Faults, execute: Execute) -> None:
        self.webhook: Webhook | None = None
        self.last_error: tuple[int, str] | None = None
        self.stats = PushStats()
        self._updates = updates
        self._faults = faults
        self._execute = execute
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._connections = asyncio.Semaphore(1)
        self._session: aiohttp.ClientSession | None = None
        self._changing = asyncio.Lock()

    async def set(self, webhook: Webhook | None) -> None:
        """Push to this webhook from now on; a push under way is broken off and made again, to the new one."""
        async with self._changing:
            await self._pause()
            self.webhook, self.last_error = webhook, None
            self._resume()

    async def start(self) -> None:
        """Go on pushing to the webhook that was set before, if any."""
        async with self._changing:
            await self._pause()
            self._resume()

    async def close(self) -> None:
        """Stop pushing; the webhook stays set."""
        async with self._changing:
            await self._pause()

    async def _pause(self) -> None:
        self._updates.listen(None)
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _resume(self) -> None:
        if self.webhook is None:
            return
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.webhook.max_connections),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        )
        self._connections = asyncio.Semaphore(self.webhook.max_connections)
        self._updates.end_poll(ApiError(409, "Conflict: terminated by setWebhook request"))
        self._updates.listen(self._arrived)

    def _arrived(self, chat_id: int) -> None:
        if chat_id not in self._tasks:
            self._tasks[chat_id] = asyncio.create_task(self._push_chat(chat_id))

    async def _push_chat(self, chat_id: int) -> None:
        while (update := self._updates.first_of(chat_id)) is not None:
            if self._faults.swaps_next_update():
                await asyncio.sleep(SWAP_S)
                update = self._updates.second_of(chat_id) or update
            started = time.perf_counter()
            pause_s = FIRST_PAUSE_S
            copies = self._faults.copies_of_next_update()
            self.stats.redeliveries += copies - 1
            while not any(await asyncio.gather(*(self._push(update) for _ in range(copies)))):
                self.stats.redeliveries += 1
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
            self.stats.record(time.perf_counter() - started)
            self._updates.acknowledge(update)
        # No await between the last look and here, so that no update falls in between.
        if self._tasks.get(chat_id) is asyncio.current_task():
            del self._tasks[chat_id]

    async def _push(self, update: Update) -> bool:
        webhook, session = self.webhook, self._session
        assert webhook is not None  # noqa: S101 - tasks are ended before it is unset
        assert session is not None  # noqa: S101
        headers = {SECRET_HEADER: webhook.secret_token} if webhook.secret_token else {}
        reply = None
        try:
            async with (
                self._connections,
                session.post(webhook.url, json=update.payload, headers=headers, allow_redirects=False) as response,
            ):
                if not 200 <= response.status < 300:
                    self._failed(f"Wrong response from the webhook: {response.status} {response.reason}")
                    return False
                reply = await _read_reply(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._failed(f"Connection failed: {type(error).__name__}")
            return False
        if reply is not None:
            name = str(reply.fields.pop("method"))
            # The outcome is not told to the bot, as with the real server; the ways of receiving stay as they are.
            if name.lower() not in {"setwebhook", "deletewebhook", "getupdates"}:
                with contextlib.suppress(ApiError):
                    await self._execute(name, reply)
        return True

    def _failed(self, message: str) -> None:
        self.last_error = (int(time.time()), message)


async def _read_reply(response: aiohttp.ClientResponse) -> Body | None:
    """Return the call that a webhook's answer contains, None where it contains none."""
    body = Body()
    with contextlib.suppress(ApiError, ValueError):
        if response.content_type == "application/json":
            given = await response.json()
            body.fields.update(given if isinstance(given, dict) else {})
        elif response.content_type.startswith("multipart/"):
            await read_parts(aiohttp.MultipartReader(response.headers, response.content), body)
    return body if "method" in body.fields else None
