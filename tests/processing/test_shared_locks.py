"""Locks among processes, each seen as one object with a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from processing.database import StoreError
from processing.shared.locks import SharedLocks

Pair = tuple[SharedLocks, SharedLocks]


@pytest.fixture
async def pair(postgres_url: str) -> AsyncIterator[Pair]:
    pair = SharedLocks(postgres_url), SharedLocks(postgres_url)
    yield pair
    for locks in pair:
        await locks.close()


async def hold_until(locks: SharedLocks, name: str, held: asyncio.Event, may_end: asyncio.Event) -> None:
    async with locks.hold(name):
        held.set()
        await may_end.wait()


def cut_off(url: str) -> None:
    """Have the server end every other connection to the database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_one_at_a_time_among_processes_and_other_names_go_on(pair: Pair) -> None:
    inside = 0

    async def enter(locks: SharedLocks) -> None:
        nonlocal inside
        async with locks.hold("1:2"):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            inside -= 1

    held, may_end = asyncio.Event(), asyncio.Event()
    other = asyncio.create_task(hold_until(pair[0], "1:3", held, may_end))
    await held.wait()
    for _ in range(3):
        await asyncio.gather(*(enter(locks) for locks in pair))
    may_end.set()
    await other


async def test_who_is_cancelled_holds_nothing(pair: Pair) -> None:
    one, other = pair
    held, may_end = asyncio.Event(), asyncio.Event()
    for turns in range(12):  # at whatever moment of asking it comes
        holding = asyncio.create_task(hold_until(one, "1:2", held, may_end))
        for _ in range(turns):
            await asyncio.sleep(0)
        holding.cancel()
        await asyncio.wait([holding])
        async with asyncio.timeout(2), other.hold("1:2"):
            pass


async def test_a_lock_goes_with_the_connection_of_its_holder(pair: Pair, postgres_url: str) -> None:
    one, other = pair
    held, may_end = asyncio.Event(), asyncio.Event()
    holding = asyncio.create_task(hold_until(one, "1:2", held, may_end))
    await held.wait()
    await asyncio.to_thread(cut_off, postgres_url)
    async with asyncio.timeout(5), other.hold("1:2"):
        may_end.set()
        await holding
        # The first one has a new connection by now, and has not let go of what is the other's.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), one.hold("1:2"):
                pass


async def test_a_server_that_is_gone_is_an_error_of_the_store() -> None:
    locks = SharedLocks("postgresql://painter@127.0.0.1:9/paint")
    with pytest.raises(StoreError, match="refused"):
        async with locks.hold("1:2"):
            pass
