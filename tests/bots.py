"""A whole bot in the test's own process, against the sandbox: real HTTP, webhook, dispatcher, database, pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from main import free_port
from processing.store import Store, StoreError
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


def fail_to_store_dialogues(patch: pytest.MonkeyPatch, times: int) -> list[StoreError]:
    """Make the next writes of a dialogue fail so many times; return the errors that are still to come."""
    errors = [StoreError("the disk is full") for _ in range(times)]
    real = Store.set_dialogue

    async def failing(self: Store, *given: Any) -> None:
        if errors:
            raise errors.pop()
        await real(self, *given)

    patch.setattr(Store, "set_dialogue", failing)
    return errors


def contents(folder: Path) -> bytes:
    """Return all files under the folder, one after another."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@asynccontextmanager
async def bot_in(sandbox: Sandbox, data_dir: Path, **changes: Any) -> AsyncIterator[Service]:
    async with running(settings_for(sandbox, data_dir, **changes)) as service:
        yield service
