"""Changes of the store that must not be lost, whatever keeps it from taking them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from processing.job import UnknownJobError

T = TypeVar("T")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

log = structlog.get_logger(__name__)


async def persist(
    change: Callable[[], Awaitable[T]], stopping: asyncio.Event, passing: type[Exception] = Exception
) -> T:
    """Change the store, and try until that succeeds (a full disk): the row is what everything else goes by.

    Raises UnknownJobError where its user was forgotten meanwhile, what is not passing, and once the bot stops what
    the store raises.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await change()
        except UnknownJobError:
            raise
        except passing as error:
            if stopping.is_set():
                raise
            log.error("the store fails", error=str(error), pause_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
