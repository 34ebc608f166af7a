"""A whole bot in the test's own process, against the sandbox: real HTTP, webhook, dispatcher, database, pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from config import Settings
from main import free_port
from sandbox.server import Sandbox
from service import Service, running

HOST = "127.0.0.1"
ADMIN_ID = 9_000


def settings_for(sandbox: Sandbox, data_dir: Path, **changes: Any) -> Settings:
    """Return the settings of a bot whose Bot API server is the sandbox."""
    port = free_port(HOST)
    values: dict[str, Any] = {
        "bot_token": sandbox.token,
        "telegram_api_url": sandbox.url,
        "webhook_url": f"http://{HOST}:{port}/webhook",
        "host": HOST,
        "port": port,
        "download_limit_mb": 20,
        "data_dir": data_dir,
        "pool_size": 1,
        "shutdown_grace_s": 0,
    }
    return Settings(**values | changes)


@asynccontextmanager
async def bot_in(sandbox: Sandbox, data_dir: Path, **changes: Any) -> AsyncIterator[Service]:
    async with running(settings_for(sandbox, data_dir, **changes)) as service:
        yield service
