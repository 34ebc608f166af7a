"""Long polling that acknowledges an update only after it was handled; aiogram's own acknowledges first."""

from __future__ import annotations

import asyncio

import structlog
from aiogram import Bot, Dispatcher
from aiogram.exceptions import AiogramError
from aiogram.types import Update

from reporting.logs import redact
from reporting.metrics import Metrics

POLL_TIMEOUT_S = 30
PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0

log = structlog.get_logger(__name__)


class Polling:
    """Fetches updates in batches; a batch is handled side by side, one user's updates in their order."""

    def __init__(self, bot: Bot, dispatcher: Dispatcher, metrics: Metrics) -> None:
        self.bot = bot
        self.dispatcher = dispatcher
        self.metrics = metrics
        self._offset: int | None = None
        self._batch: asyncio.Future[list[bool]] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="long polling")

    async def close(self) -> None:
        """Fetch no more, and wait for the updates under way."""
        if self._task:
            batch = self._batch
            self._task.cancel()
            await asyncio.wait([self._task])
            if batch:
                await asyncio.wait([batch])

    async def _run(self) -> None:
        pause_s = PAUSE_S
        allowed = self.dispatcher.resolve_used_update_types()
        while True:
            try:
                updates = await self.bot.get_updates(
                    self._offset, timeout=POLL_TIMEOUT_S, allowed_updates=allowed, request_timeout=POLL_TIMEOUT_S + 10
                )
                pause_s = PAUSE_S
            except Exception as error:
                # Whatever it is, a bot that no longer asks is deaf.
                passing = isinstance(error, AiogramError)
                log.warning("no updates could be fetched", reason=redact(str(error)), exc_info=not passing)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            if updates:
                await self._handle(updates)

    async def _handle(self, updates: list[Update]) -> None:
        self._batch = asyncio.gather(*(self._feed(update) for update in updates))
        # A stop must not cut handlers off.
        handled = await asyncio.shield(self._batch)
        self._batch = None
        for update, done in zip(updates, handled, strict=True):
            if not done:
                # It comes again, with all behind it; those are known by their ids and pass.
                await asyncio.sleep(PAUSE_S)
                return
            self._offset = update.update_id + 1

    async def _feed(self, update: Update) -> bool:
        """Return whether the update may be acknowledged."""
        try:
            with self.metrics.acknowledging():
                await self.dispatcher.feed_update(self.bot, update)
        except Exception:
            log.exception("an update could not be handled", update_id=update.update_id)
            return False
        return True
