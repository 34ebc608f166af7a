"""PostgreSQL: short transactions, several at a time, and the schema of many machines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, TypeVar

import psycopg
import structlog
from procrastinate.schema import SchemaManager
from sqlalchemy import Connection, Engine, create_engine, func, insert, inspect, make_url, select
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from processing.database import StoreError, migrate
from processing.shared import tables

T = TypeVar("T")

CONNECTIONS = 4
#: A server that starts together with the bot may need some seconds.
OPEN_TIMEOUT_S = 30.0
OPEN_PAUSE_S = 1.0
#: A machine that is gone without a word is noticed within seconds, not hours: by us (libpq's settings, in seconds but
#: for the last, in milliseconds), and by the server, which holds its locks until then (milliseconds but for the last).
CONNECT_ARGS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "options": "-c idle_in_transaction_session_timeout=10000 -c lock_timeout=10000 -c tcp_user_timeout=15000 "
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}
TRIES = 3
#: SQLSTATE of a transaction that lost against another one and may be run again.
SERIALIZATION_FAILURE, DEADLOCK = "40001", "40P01"
#: Advisory locks that are no dialogue's.
SCHEMA_LOCK = 1
QUEUE_LOCK = 2
SCHEMA_VERSION = 1

log = structlog.get_logger(__name__)


class SharedDatabase:
    """Transactions on PostgreSQL, each on a connection and in a thread of its own.

    They are not gathered as SQLite's are: the server commits them side by side. A lost connection is an error of the
    one transaction, and the next has a new connection.
    """

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._engine: Engine | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._under_way: set[asyncio.Future[Any]] = set()

    async def open(self) -> None:
        """Bring the tables up to date; raise StoreError where that cannot be, or where no server comes in time."""
        engine = create_engine(
            self._url, pool_size=CONNECTIONS, max_overflow=0, pool_pre_ping=True, connect_args=CONNECT_ARGS
        )
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        while True:
            try:
                await asyncio.to_thread(_prepare, engine)
                break
            except SQLAlchemyError as error:
                reason = str(getattr(error, "orig", None) or error).strip()
                if not isinstance(error, OperationalError) or time.monotonic() > deadline:
                    engine.dispose()
                    address = self._url.render_as_string()
                    raise StoreError(f"the database {address} cannot be opened: {reason}") from error
                log.warning("the database is waited for", reason=reason)
                await asyncio.sleep(OPEN_PAUSE_S)
            except BaseException:
                engine.dispose()
                raise
        self._engine = engine
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="store")

    async def close(self) -> None:
        """Finish what was asked for, then let go of the connections."""
        engine, threads = self._engine, self._threads
        self._engine = self._threads = None
        if self._under_way:
            await asyncio.wait(self._under_way)
        if threads:
            await asyncio.to_thread(threads.shutdown)
        if engine:
            await asyncio.to_thread(engine.dispose)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run the work, which changes nothing. Raises StoreError."""
        return await self._do(work, durable=True)

    async def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Run the work in a transaction and return its result once that is committed.

        It is done even if the one who asked is cancelled meanwhile. Where it lost against another transaction it is run
        again from the start. An error of the work undoes it and is raised, one of the database as StoreError; where the
        connection is lost in mid-commit, it may be committed all the same.

        Args:
            durable: survives the loss of power of the server; otherwise only the death of this process.
        """
        return await self._do(work, durable=durable)

    async def _do(self, work: Callable[[Connection], T], *, durable: bool) -> T:
        if self._engine is None or self._threads is None:
            raise StoreError("the database is closed")
        future = asyncio.get_running_loop().run_in_executor(self._threads, _transact, self._engine, work, durable)
        self._under_way.add(future)
        # An error that nobody waits for any more is no news to the event loop.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        future.add_done_callback(self._under_way.discard)
        return await asyncio.shield(future)


async def connect(conninfo: str) -> psycopg.AsyncConnection:
    """Return a connection beside those of the transactions, for what outlives one; raise psycopg.Error."""
    return await psycopg.AsyncConnection.connect(conninfo, autocommit=True, **CONNECT_ARGS)


def _transact(engine: Engine, work: Callable[[Connection], T], durable: bool) -> T:
    tries_left = TRIES
    while True:
        tries_left -= 1
        try:
            with engine.connect() as connection, connection.begin():
                if not durable:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
                return work(connection)
        except SQLAlchemyError as error:
            sqlstate = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
            if sqlstate not in (SERIALIZATION_FAILURE, DEADLOCK) or not tries_left:
                raise StoreError.of(error) from error


def _prepare(engine: Engine) -> None:
    """Make or migrate the tables of the store, then those of many machines; one process does it at a time."""
    pinned = version("procrastinate")
    with engine.connect() as connection, connection.begin():
        connection.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))
        migrate(connection)
        table = tables.shared_schema
        if not inspect(connection).has_table(table.name):
            # On the driver's own connection: it is many statements, and its percent signs are no placeholders.
            raw = connection.connection.driver_connection
            assert raw is not None  # noqa: S101 - it is checked out
            raw.execute(SchemaManager.get_schema())
            tables.metadata.create_all(connection)
            connection.execute(insert(table).values(version=SCHEMA_VERSION, procrastinate=pinned))
            return
        found = connection.execute(select(table)).one()
        if (found.version, found.procrastinate) != (SCHEMA_VERSION, pinned):
            raise StoreError(
                f"the database was made for procrastinate {found.procrastinate} (version {found.version}), and this "
                f"program has {pinned} (version {SCHEMA_VERSION}): run the program that fits, or migrate the database"
            )
