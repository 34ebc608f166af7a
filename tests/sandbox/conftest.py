from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import Hook, running_hook


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest.fixture
async def bot(sandbox: Sandbox) -> AsyncIterator[Bot]:
    session = AiohttpSession(api=TelegramAPIServer.from_base(sandbox.url))
    inner = await session.create_session()
    yield Bot(sandbox.token, session=session)
    # aiogram's own close waits a quarter of a second for TLS, which is not used here.
    await inner.close()


@pytest.fixture
async def user(sandbox: Sandbox) -> SandboxUser:
    """Somebody who has written to the bot, with message 1."""
    person = sandbox.user()
    await person.send_text("/start")
    return person


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with running_hook() as running:
        yield running
