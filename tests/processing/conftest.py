from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiogram import Bot

from bot_init import create_bot
from processing.job import NewJob, Order, Picture, Status, WeightedStyle
from processing.store import Store
from sandbox.server import Sandbox
from tests.bots import settings_for

NewJobs = Callable[..., NewJob]


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for a condition that nothing announces."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def in_state(store: Store, job_id: int, status: Status, within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while (await store.get(job_id)).status is not status:
            await asyncio.sleep(0.01)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'own' / 'bot.sqlite3'}"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = Store(database_url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def bot(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Bot]:
    bot = create_bot(settings_for(sandbox, tmp_path))
    yield bot
    await bot.session.close()


@pytest.fixture
def new_job() -> NewJobs:
    """Return a maker of jobs: new_job(user_id), each of an origin of its own unless one is given."""
    numbers = itertools.count(1)

    def make(user_id: int = 1, *, origin: str | None = None, algorithm: str = "toy", seed: int = 0) -> NewJob:
        style = WeightedStyle(Picture("style"), 2.0)
        order = Order(algorithm, Picture("content", as_file=True, size_bytes=9), (style,), size_px=128, seed=seed)
        return NewJob(origin or f"update:{next(numbers)}", user_id, user_id + 1000, "ru", order)

    return make
