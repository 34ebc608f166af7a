"""How fast one user may send: a token bucket each, and one sentence now and then for whoever is faster."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from aiogram import BaseMiddleware, Bot
from aiogram.exceptions import AiogramError
from aiogram.types import Chat, TelegramObject, Update

from handlers.answers import refuse
from handlers.desk import Person
from handlers.middlewares import Handler
from locales.catalogue import Say

#: At once after a pause: six full albums, or every button of the options pressed as fast as a finger can.
BURST = 60
#: Between two sentences to the same user.
SILENCE_S = 60.0
#: Users whose buckets are remembered; the one heard of longest ago is forgotten first, and begins with a full bucket.
REMEMBERED_USERS = 10_000

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Bucket:
    """What one user may still send.

    Attributes:
        tokens: updates that pass at once.
        filled_at: by the clock, in seconds.
        left_out: updates that did not pass since the user was last told.
        told_at: by the clock; None: never.
    """

    tokens: float
    filled_at: float
    left_out: int = 0
    told_at: float | None = None


class UpdateLimit(BaseMiddleware):
    """Leaves out the updates of a user who sends faster than that for long; to Telegram they are acknowledged.

    Before the dialogue's lock and the store, so that a flood costs neither. An update that fails gives its token back:
    Telegram sends it again.

    Args:
        per_minute: updates of one user that pass for as long as it goes on.
        clock: in seconds.
    """

    def __init__(self, per_minute: float, *, burst: int = BURST, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_minute / 60
        self.burst = burst
        self.clock = clock
        self._buckets: OrderedDict[int, Bucket] = OrderedDict()

    async def __call__(
        self,
        handler: Handler,
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        person: Person | None = data.get("person")
        if person is None or not isinstance(event, Update):
            return await handler(event, data)
        bucket = self._filled(person.user_id)
        if bucket.tokens < 1:
            await self._leave_out(event, bucket, person, data)
            return None
        bucket.tokens -= 1
        try:
            return await handler(event, data)
        except BaseException:
            bucket.tokens += 1
            raise

    def _filled(self, user_id: int) -> Bucket:
        now = self.clock()
        bucket = self._buckets.setdefault(user_id, Bucket(self.burst, now))
        self._buckets.move_to_end(user_id)
        if len(self._buckets) > REMEMBERED_USERS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.filled_at) * self.per_second)
        bucket.filled_at = now
        return bucket

    async def _leave_out(self, update: Update, bucket: Bucket, person: Person, data: dict[str, Any]) -> None:
        bucket.left_out += 1
        chat: Chat | None = data.get("event_chat")
        if bucket.told_at is not None and self.clock() - bucket.told_at < SILENCE_S:
            return
        bucket.told_at = self.clock()
        log.warning("a user sends too fast", left_out=bucket.left_out)
        bucket.left_out = 0
        say: Say = data["say"]
        if update.callback_query:
            await refuse(update.callback_query, say("limit.too_fast"))
        elif chat and chat.type == "private":
            bot: Bot = data["bot"]
            try:
                await bot.send_message(person.chat_id, say("limit.too_fast"))
            except AiogramError as error:
                log.info("a sentence could not be sent", reason=type(error).__name__)
