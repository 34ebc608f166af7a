from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiogram import Bot

from bot_init import create_bot
from processing.job import NewJob, Order, Picture, Status, WeightedStyle
from processing.queue.local import JobRunner, LocalQueue
from processing.queue.shared import SharedQueue
from processing.shared.store import SharedStore, create_store
from processing.store import Store
from sandbox.server import Sandbox
from tests.bots import settings_for
from tests.postgres import store_url

NewJobs = Callable[..., NewJob]

#: A module that names these runs its tests over both, one that does not over SQLite.
BOTH_ENGINES = ("sqlite", "postgresql")
sqlite_only = pytest.mark.engine("sqlite")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("engine")
        engines = only.args if only else getattr(metafunc.module, "ENGINES", ("sqlite",))
        metafunc.parametrize("database_url", engines, indirect=True)


async def in_state(store: Store, job_id: int, status: Status, within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while (await store.get(job_id)).status is not status:
            await asyncio.sleep(0.01)


async def lose(store: Store) -> None:
    """The process that ran jobs of this store is gone, and somebody has found out."""
    if isinstance(store, SharedStore):
        await store.sweep(0.0)
    else:
        await store.requeue_running()


def make_queue(
    store: Store, runner: JobRunner, *, slots: int = 1, queue_limit: int = 9, user_queue_limit: int = 9
) -> LocalQueue:
    """Return the queue that goes with the store, not started."""
    if not isinstance(store, SharedStore):
        return LocalQueue(store, runner, slots=slots, queue_limit=queue_limit, user_queue_limit=user_queue_limit)

    async def quiet(job_id: int) -> None: ...

    return SharedQueue(
        store, runner, slots=slots, queue_limit=queue_limit, user_queue_limit=user_queue_limit, quiet=quiet
    )


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of either engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'own' / 'bot.sqlite3'}"
    return store_url(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with opened(database_url) as store:
        yield store


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = create_store(url)
    await store.open()
    try:
        yield store
    finally:
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
