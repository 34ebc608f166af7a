"""The bot as a process of its own for the benchmarks: how it is started, and when it has answered everything."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from main import free_port
from sandbox.server import Sandbox

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
DRAIN_TIMEOUT_S = 60.0


@asynccontextmanager
async def bot_process(
    sandbox: Sandbox, folder: str, *, command: Sequence[str] = ("main.py", "serve"), **settings: object
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the bot with these settings, by their names in lower case, and stop it in the end."""
    port = free_port(HOST)
    given = {
        "bot_token": sandbox.token,
        "telegram_api_url": sandbox.url,
        "webhook_url": f"http://{HOST}:{port}/webhook",
        "port": port,
        "data_dir": folder,
        "log_level": "WARNING",
        "shutdown_grace_s": 0,
    } | settings
    environment = {name.upper(): str(value) for name, value in given.items()}
    bot = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, env=os.environ | environment)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not any(call.method == "setWebhook" for call in sandbox.requests):
                await asyncio.sleep(0.1)
        yield bot
    finally:
        bot.terminate()
        await bot.wait()


async def drained(sandbox: Sandbox) -> int:
    """Return how many updates are still unacknowledged after a while."""
    until = time.monotonic() + DRAIN_TIMEOUT_S
    while sandbox.pending_updates and time.monotonic() < until:
        await asyncio.sleep(0.05)
    return sandbox.pending_updates
