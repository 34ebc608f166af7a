"""One connection to the database, and the short transactions on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, event, insert, inspect, make_url, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from processing import tables

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

BUSY_TIMEOUT_MS = 5000
LARGEST_GROUP = 64

# Step n brings a database from version n to n + 1; a step that was released is never changed.
MIGRATIONS: tuple[Callable[[Connection], None], ...] = (tables.metadata.create_all,)


class StoreError(Exception):
    """The database cannot be used; the text is complete and for the operator."""


class Database:
    """Transactions one after the other on one connection; those that wait together are committed together.

    With synchronous=FULL a commit costs a flush of the disk, so a burst of updates shares one. What is asked for is
    done even if the one who asked is cancelled meanwhile: no transaction is ever cut in the middle.
    """

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        if self._url.get_backend_name() == "sqlite":
            self._url = self._url.set(drivername="sqlite+aiosqlite")
        self._engine: AsyncEngine | None = None
        self._waiting: asyncio.Queue[tuple[Work[Any], asyncio.Future[Any]] | None] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Create the file if need be and bring the tables up to date; raise StoreError where that cannot be."""
        self._waiting = asyncio.Queue()
        try:
            if self._url.get_backend_name() == "sqlite":
                self._make_private_file()
            self._engine = self._create_engine()
            async with self._engine.begin() as connection:
                await connection.run_sync(_migrate)
        except (SQLAlchemyError, OSError) as error:
            await self.close()
            reason = getattr(error, "orig", None) or error
            raise StoreError(f"the database {self._url.render_as_string()} cannot be opened: {reason}") from error
        except StoreError:
            await self.close()
            raise
        self._writer = asyncio.create_task(self._write(self._engine), name="store")

    async def close(self) -> None:
        """Finish what was asked for, then let go of the file."""
        if self._writer:
            self._waiting.put_nowait(None)
            await self._writer
            self._writer = None
        if self._engine:
            await self._engine.dispose()
            self._engine = None

    async def transact(self, work: Work[T]) -> T:
        """Run the work in a transaction and return its result once that is committed.

        The work awaits nothing but its connection. An error of the work undoes the work alone and is raised here.
        """
        if self._writer is None or self._writer.done():
            raise StoreError("the database is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        # An error that nobody waits for any more is no news to the event loop.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.put_nowait((work, future))
        return await asyncio.shield(future)

    async def _write(self, engine: AsyncEngine) -> None:
        closing = False
        while not closing:
            group = [await self._waiting.get()]
            while not self._waiting.empty() and len(group) < LARGEST_GROUP:
                group.append(self._waiting.get_nowait())
            closing = None in group
            if wanted := [item for item in group if item is not None]:
                await self._commit(engine, wanted)

    async def _commit(self, engine: AsyncEngine, group: list[tuple[Work[Any], asyncio.Future[Any]]]) -> None:
        outcomes: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []
        try:
            async with engine.begin() as connection:
                for work, future in group:
                    try:
                        async with connection.begin_nested():
                            outcomes.append((future, await work(connection), None))
                    except Exception as error:
                        outcomes.append((future, None, error))
        except Exception as error:
            outcomes = [(future, None, error) for _, future in group]
        for future, result, error_of_work in outcomes:
            if future.done():
                continue
            if error_of_work is None:
                future.set_result(result)
            else:
                future.set_exception(error_of_work)

    def _create_engine(self) -> AsyncEngine:
        engine = create_async_engine(self._url, pool_size=1, max_overflow=0)
        if self._url.get_backend_name() == "sqlite":
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine

    def _make_private_file(self) -> None:
        path = Path(self._url.database or "")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)  # SQLite gives the files beside it (-wal, -shm) the same mode


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 would open transactions late; _begin_sqlite does it instead
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # At once a writer's: a transaction that reads first and then finds another process writing would fail.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    table = tables.schema_version
    known = len(MIGRATIONS)
    version = 0
    if inspect(connection).has_table(table.name):
        version = connection.scalar(select(table.c.version)) or 0
    if version > known:
        raise StoreError(
            f"the database has version {version} and this program knows {known}: "
            "run the newer program, or move the database away"
        )
    for step in MIGRATIONS[version:]:
        step(connection)
    if version == 0:
        connection.execute(insert(table).values(version=known))
    elif version < known:
        connection.execute(update(table).values(version=known))
