"""What a bot needs to serve people. A check returns what is missing in words, or None."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramNotFound, TelegramUnauthorizedError

from reporting.metrics import DATABASE_TIMEOUT_S, Jobs, Workers

Check = Callable[[], Awaitable[str | None]]

TELEGRAM_TIMEOUT_S = 5.0
#: Probes come every few seconds, and Telegram is asked less often.
TELEGRAM_GOOD_FOR_S = 60.0
TELEGRAM_BAD_FOR_S = 5.0


def database(jobs: Jobs) -> Check:
    async def check() -> str | None:
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                await jobs.backlog()
        except TimeoutError:
            return f"it does not answer within {DATABASE_TIMEOUT_S:g} s"
        except Exception as error:
            return f"it fails with {type(error).__name__}"
        return None

    return check


def workers(pool: Workers, slots_everywhere: Callable[[], int]) -> Check:
    async def check() -> str | None:
        if pool.slots and not pool.pids():
            return f"none of {pool.slots} is alive"
        return None if slots_everywhere() else "there are none: POOL_SIZE is 0 here, and no other process has slots"

    return check


class Telegram:
    """Whether Telegram knows the token and pushes to where it should.

    Args:
        webhook_url: as given to Telegram; "" where none may be set, as with long polling; None: whatever it is.
    """

    def __init__(self, bot: Bot, webhook_url: str | None) -> None:
        self._bot = bot
        self._webhook_url = webhook_url
        self._turn = asyncio.Lock()
        self._missing: str | None = None
        self._good_until = -TELEGRAM_GOOD_FOR_S

    async def __call__(self) -> str | None:
        async with self._turn:
            if time.monotonic() > self._good_until:
                self._missing = await self._ask()
                good_for_s = TELEGRAM_BAD_FOR_S if self._missing else TELEGRAM_GOOD_FOR_S
                self._good_until = time.monotonic() + good_for_s
            return self._missing

    async def _ask(self) -> str | None:
        try:
            async with asyncio.timeout(TELEGRAM_TIMEOUT_S):
                info = await self._bot.get_webhook_info()
        except (TelegramUnauthorizedError, TelegramNotFound):
            return "it refuses BOT_TOKEN"
        except TimeoutError:
            return f"it does not answer within {TELEGRAM_TIMEOUT_S:g} s"
        except AiogramError as error:
            return f"it cannot be asked ({type(error).__name__})"
        if self._webhook_url is None or info.url == self._webhook_url:
            return None
        return "its webhook is not WEBHOOK_URL" if self._webhook_url else "a webhook is set, so there is no polling"
