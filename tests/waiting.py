"""Waiting for what nothing announces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Return once the condition holds; raise TimeoutError where it does not within so many seconds."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)
