"""Notices to the admin: start, stop and errors, the same error at most once in ten minutes with a count."""

from __future__ import annotations

import asyncio
import html
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError

from reporting.logs import redact

QUIET_S = 600.0
SEND_TIMEOUT_S = 10.0
#: Of a message's 4,096 characters, less the words around it.
TRACEBACK_CHARACTERS = 2500
REMEMBERED_ERRORS = 200
#: Named in one message of counts.
COUNTED_ERRORS = 20

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Seen:
    """An error that was told.

    Attributes:
        name: what a person calls it: its kind and its place.
        told_at: by the clock, in seconds.
        held_back: how often it came since.
    """

    name: str
    told_at: float
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
        self._counting: asyncio.Task[None] | None = None

    async def started(self, details: str) -> None:
        await self._send(f"▶ The bot has started.\n{html.escape(redact(details))}")

    async def stopped(self) -> None:
        """Tell of the stop, and of the errors that were held back until now."""
        if self._counting:
            self._counting.cancel()
        await self._send("\n".join(["■ The bot is stopping.", *self._counts(quiet_s=0.0)]))

    async def error(self, error: BaseException, *, job_id: int | None = None, where: str = "") -> None:
        """Tell of an error, unless the same one was told of less than ten minutes ago.

        Then it is counted, and the count is told when the ten minutes are over, or when the bot stops.
        """
        signature = _signature(error)
        now = self.clock()
        seen = self._seen.get(signature)
        if seen and now - seen.told_at < QUIET_S:
            seen.held_back += 1
            if self._counting is None or self._counting.done():
                self._counting = asyncio.create_task(self._tell_counts(), name="counts of errors")
            return
        held_back = seen.held_back if seen else 0
        self._seen.pop(signature, None)
        self._seen[signature] = _Seen(_name(error), now)
        while len(self._seen) > REMEMBERED_ERRORS:
            del self._seen[next(iter(self._seen))]
        lines = ["⚠ <b>Error</b>" + (f" in job {job_id}" if job_id is not None else "")]
        if where:
            lines.append(html.escape(where))
        if held_back:
            lines.append(f"{held_back} more of this kind since the last notice")
        lines.append(f"<pre>{html.escape(_short_traceback(error))}</pre>")
        await self._send("\n".join(lines))

    async def _tell_counts(self) -> None:
        """Tell the counts as their ten minutes end, until none is left."""
        while told_at := [seen.told_at for seen in self._seen.values() if seen.held_back]:
            await asyncio.sleep(min(told_at) + QUIET_S - self.clock())
            if counts := self._counts(quiet_s=QUIET_S):
                await self._send("\n".join(counts))

    def _counts(self, *, quiet_s: float) -> list[str]:
        """Return what was held back of the errors told at least quiet_s ago; their ten minutes begin anew."""
        now = self.clock()
        due = [seen for seen in self._seen.values() if seen.held_back and now - seen.told_at >= quiet_s]
        lines = [f"⚠ {seen.held_back} more of {html.escape(seen.name)}" for seen in due[:COUNTED_ERRORS]]
        if more := sum(seen.held_back for seen in due[COUNTED_ERRORS:]):
            lines.append(f"⚠ {more} more of other kinds")
        for seen in due:
            seen.told_at, seen.held_back = now, 0
        return lines

    async def _send(self, text: str) -> None:
        if self.admin_id is None:
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self.bot.send_message(self.admin_id, text)
        except (AiogramError, TimeoutError) as error:
            reason = redact(str(error)) or f"it took longer than {SEND_TIMEOUT_S:g} s"
            log.warning("a notice could not be sent", reason=reason)


def _name(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__qualname__[:80]}{place[:80]}"


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
