"""What PostgreSQL notifies this process of, as it comes; what came while the connection was lost is not made up for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from psycopg import sql

from processing.shared.database import connect
from processing.shared.store import CHANNEL

#: procrastinate's own, for every job that comes into any of its queues.
NEW_JOBS = "procrastinate_any_queue_v1"
PAUSE_S = 1.0
LONGEST_PAUSE_S = 10.0

log = structlog.get_logger(__name__)


class Listener:
    """Listens on a connection of its own, and makes another when that is lost.

    Args:
        on_word: is given what was said on CHANNEL; {} for a new job, and for whatever may have been missed.
    """

    def __init__(self, conninfo: str, on_word: Callable[[dict[str, Any]], None]) -> None:
        self._conninfo = conninfo
        self._on_word = on_word
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="listener")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        pause_s = PAUSE_S
        while True:
            try:
                async with await connect(self._conninfo) as connection:
                    for channel in (CHANNEL, NEW_JOBS):
                        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    pause_s = PAUSE_S
                    self._on_word({})
                    async for note in connection.notifies():
                        self._on_word(json.loads(note.payload) if note.channel == CHANNEL else {})
            except psycopg.Error as error:
                log.warning("the database says nothing", reason=str(error), pause_s=pause_s)
            except Exception:
                log.exception("a notification could not be dealt with")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
