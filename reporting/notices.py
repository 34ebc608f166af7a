"""Notices to the admin: start, stop and errors, the same error at most once in ten minutes with a count."""

from __future__ import annotations

import asyncio
import html
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError

from reporting.logs import redact

QUIET_S = 600.0
SEND_TIMEOUT_S = 10.0
#: Of a message's 4,096 characters, less the words around it.
TRACEBACK_CHARACTERS = 2500
REMEMBERED_ERRORS = 200

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Seen:
    sent_at: float
    held_back: int = 0


class Notices:
    """Sends notices to one person, or to nobody where admin_id is None.

    Never raises for Telegram's sake, and never takes longer than SEND_TIMEOUT_S.
    """

    def __init__(self, bot: Bot, admin_id: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.bot = bot
        self.admin_id = admin_id
        self.clock = clock
        self._seen: dict[str, _Seen] = {}

    async def started(self, details: str) -> None:
        await self._send(f"▶ The bot has started.\n{html.escape(redact(details))}")

    async def stopped(self) -> None:
        await self._send("■ The bot is stopping.")

    async def error(self, error: BaseException, *, job_id: int | None = None, where: str = "") -> None:
        """Tell of an error, unless the same one was told of less than ten minutes ago; then it is counted."""
        signature = _signature(error)
        now = self.clock()
        seen = self._seen.get(signature)
        if seen and now - seen.sent_at < QUIET_S:
            seen.held_back += 1
            return
        held_back = seen.held_back if seen else 0
        self._seen.pop(signature, None)
        self._seen[signature] = _Seen(now)
        while len(self._seen) > REMEMBERED_ERRORS:
            del self._seen[next(iter(self._seen))]
        lines = ["⚠ <b>Error</b>" + (f" in job {job_id}" if job_id is not None else "")]
        if where:
            lines.append(html.escape(where))
        if held_back:
            lines.append(f"{held_back} more of this kind since the last notice")
        lines.append(f"<pre>{html.escape(_short_traceback(error))}</pre>")
        await self._send("\n".join(lines))

    async def _send(self, text: str) -> None:
        if self.admin_id is None:
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self.bot.send_message(self.admin_id, text)
        except (AiogramError, TimeoutError) as error:
            reason = redact(str(error)) or f"it took longer than {SEND_TIMEOUT_S:g} s"
            log.warning("a notice could not be sent", reason=reason)


def _signature(error: BaseException) -> str:
    """Return what makes two errors the same: the kind and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else getattr(error, "code", str(error))
    return f"{type(error).__qualname__} {place}"


def _short_traceback(error: BaseException) -> str:
    text = redact("".join(traceback.format_exception(error)).strip())
    if len(text) > TRACEBACK_CHARACTERS:
        text = "…" + text[-TRACEBACK_CHARACTERS:]
    return text
