"""SQLite: two connections, one that writes and one that reads, and the short transactions on them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Column, Connection, Engine, create_engine, event, insert, inspect, make_url, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from processing import tables

T = TypeVar("T")

BUSY_TIMEOUT_MS = 5000
LARGEST_GROUP = 64


def add_column(column: Column[Any], connection: Connection) -> None:
    """Add a column that may be empty to a table of an earlier version; a new table has it from the start."""
    table = column.table
    if column.name not in {found["name"] for found in inspect(connection).get_columns(table.name)}:
        definition = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")


# Step n brings a database from version n to n + 1; a step that was released is never changed.
MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    tables.metadata.create_all,
    partial(add_column, tables.jobs.c.stopped_at),
)


class StoreError(Exception):
    """The database cannot be used; the text is complete and for the operator."""

    @classmethod
    def of(cls, error: SQLAlchemyError) -> StoreError:
        """Return it in the database's own words: the statement, details and what fills them are the users'."""
        words = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        found = cls(f"the database fails: {words}")
        found.__cause__ = error
        return found


@dataclass(slots=True, eq=False)
class _Wish(Generic[T]):
    """A piece of work that waits to be committed, and then what came of it."""

    work: Callable[[Connection], T]
    durable: bool
    future: asyncio.Future[T]
    result: T | None = None
    error: Exception | None = None


class _WishError(Exception):
    """The database itself failed in the middle of this wish."""

    def __init__(self, wish: _Wish[Any]) -> None:
        self.wish = wish


class Transactions(Protocol):
    """What a store needs of its database; Database tells what each does."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self, work: Callable[[Connection], T]) -> T: ...

    async def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T: ...


class Database:
    """Short transactions: one writer, whose waiting transactions are committed together, and one reader beside it.

    Each has a thread of its own and crosses over to it once a group, not once a statement: while every core paints,
    crossing is what costs. A durable commit costs a flush of the disk too, so a burst of updates shares one. What is
    asked for is done even if the one who asked is cancelled meanwhile: no transaction is ever cut in the middle.
    """

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._engine: Engine | None = None
        self._threads: tuple[ThreadPoolExecutor, ...] = ()
        self._waiting: asyncio.Queue[_Wish[Any] | None] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Create the file if need be and bring the tables up to date; raise StoreError where that cannot be."""
        try:
            engine = await asyncio.to_thread(self._open)
        except (SQLAlchemyError, OSError) as error:
            reason = getattr(error, "orig", None) or error
            raise StoreError(f"the database {self._url.render_as_string()} cannot be opened: {reason}") from error
        self._engine = engine
        self._threads = tuple(ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("store-write", "store-read"))
        self._waiting = asyncio.Queue()
        self._writer = asyncio.create_task(self._write(engine, self._threads[0]), name="store")

    async def close(self) -> None:
        """Finish what was asked for, then let go of the file."""
        if self._writer:
            self._waiting.put_nowait(None)
            await self._writer
            self._writer = None
        for thread in self._threads:
            await asyncio.to_thread(thread.shutdown)
        if self._engine:
            await asyncio.to_thread(self._engine.dispose)
            self._engine = None

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run the work, which changes nothing, on what is committed; it waits for no writer. Raises StoreError."""
        if self._engine is None or self._writer is None:
            raise StoreError("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads[1], _read, self._engine, work)

    async def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Run the work in a transaction and return its result once that is committed.

        An error of the work undoes the work alone and is raised here, one of the database as StoreError. Where that
        happens to a group, the work of the others may be run once more, from the start.

        Args:
            durable: survives the loss of power; otherwise only the death of the process.
        """
        if self._writer is None or self._writer.done():
            raise StoreError("the database is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        # An error that nobody waits for any more is no news to the event loop.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.put_nowait(_Wish(work, durable, future))
        return await asyncio.shield(future)

    async def _write(self, engine: Engine, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        closing = False
        while not closing:
            group = [await self._waiting.get()]
            while not self._waiting.empty() and len(group) < LARGEST_GROUP:
                group.append(self._waiting.get_nowait())
            closing = None in group
            wishes = [wish for wish in group if wish is not None]
            if not wishes:
                continue
            try:
                await loop.run_in_executor(thread, _commit, engine, wishes)
            except Exception as error:
                for wish in wishes:
                    wish.error = StoreError.of(error) if isinstance(error, SQLAlchemyError) else error
            for wish in wishes:
                if wish.future.done():
                    continue
                if wish.error is None:
                    wish.future.set_result(wish.result)
                else:
                    wish.future.set_exception(wish.error)

    def _open(self) -> Engine:
        self._make_private_file()
        engine = create_engine(self._url, pool_size=2, max_overflow=0)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        try:
            with engine.connect().execution_options(commits="FULL") as connection, connection.begin():
                migrate(connection)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _make_private_file(self) -> None:
        path = Path(self._url.database or "")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)  # SQLite gives the files beside it (-wal, -shm) the same mode


def _read(engine: Engine, work: Callable[[Connection], T]) -> T:
    try:
        with engine.connect() as connection:
            return work(connection)
    except SQLAlchemyError as error:
        raise StoreError.of(error) from error


def _commit(engine: Engine, wishes: list[_Wish[Any]]) -> None:
    left = list(wishes)
    while left:
        try:
            _transact(engine, left)
            return
        except _WishError as failed:
            left.remove(failed.wish)


def _transact(engine: Engine, wishes: list[_Wish[Any]]) -> None:
    commits = "FULL" if any(wish.durable for wish in wishes) else "NORMAL"
    with engine.connect().execution_options(commits=commits) as connection, connection.begin():
        for wish in wishes:
            wish.error = None
            savepoint = connection.begin_nested()
            try:
                wish.result = wish.work(connection)
            except SQLAlchemyError as error:
                wish.error = StoreError.of(error)
                # A full disk, for one, has undone all of the transaction by now, and its savepoints are gone.
                raise _WishError(wish) from None
            except Exception as error:
                wish.error = error
                savepoint.rollback()
            else:
                savepoint.commit()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 would open transactions late; _begin_sqlite does it instead
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    commits = connection.get_execution_options().get("commits")
    if commits is None:
        connection.exec_driver_sql("BEGIN")
        return
    # In WAL mode FULL flushes at every commit, NORMAL at checkpoints alone.
    connection.exec_driver_sql(f"PRAGMA synchronous={commits}")
    # At once a writer's: a transaction that reads first and then finds another process writing would fail.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def migrate(connection: Connection) -> None:
    """Make the store's tables, or bring those of an earlier version up to date; raise StoreError for a later one."""
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
