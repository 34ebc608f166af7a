"""Locks that hold among all processes: PostgreSQL's advisory locks, all on one connection of the process."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psycopg
import structlog
from psycopg import sql

from processing.database import StoreError
from processing.shared.database import connect

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25

log = structlog.get_logger(__name__)


class SharedLocks:
    """Locks by name. PostgreSQL lets go of those of a process whose connection has ended, so none outlives its holder.

    Within one process a name must not be held twice at a time: PostgreSQL would allow it.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.AsyncConnection | None = None
        self._connecting = asyncio.Lock()

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncGenerator[None, None]:
        """Wait for the lock and hold it. Raises StoreError where the database cannot be reached."""
        number = _number(name)
        connection = await self._wait_for(number)
        try:
            yield
        finally:
            await asyncio.shield(self._let_go(connection, number))

    async def _wait_for(self, number: int) -> psycopg.AsyncConnection:
        """Take the lock and return the connection that has it."""
        pause_s = FIRST_PAUSE_S
        while True:
            # Asked for again and again: a connection that waits in the server could do nothing for the other locks.
            asking = asyncio.ensure_future(self._try(number))
            try:
                connection = await asyncio.shield(asking)
            except asyncio.CancelledError:
                await asyncio.wait([asking])
                if not asking.cancelled() and not asking.exception() and (connection := asking.result()):
                    await self._let_go(connection, number)
                raise
            if connection:
                return connection
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def close(self) -> None:
        if self._connection:
            await self._connection.close()
            self._connection = None

    async def _try(self, number: int) -> psycopg.AsyncConnection | None:
        try:
            try:
                connection = await self._connected()
                granted = await _ask(connection, "pg_try_advisory_lock", number)
            except psycopg.OperationalError:
                # The server was away since it was asked last; it may be back.
                connection = await self._connected()
                granted = await _ask(connection, "pg_try_advisory_lock", number)
        except psycopg.Error as error:
            raise StoreError(f"the database fails: {error}") from error
        return connection if granted else None

    async def _connected(self) -> psycopg.AsyncConnection:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self._conninfo)
            return self._connection

    async def _let_go(self, connection: psycopg.AsyncConnection, number: int) -> None:
        try:
            await _ask(connection, "pg_advisory_unlock", number)
        except psycopg.Error as error:
            # The server has let go of it by itself.
            log.warning("a lock is lost with its connection", error=str(error))


async def _ask(connection: psycopg.AsyncConnection, function: str, number: int) -> bool:
    query = sql.SQL("SELECT {}(%s)").format(sql.Identifier(function))
    row = await (await connection.execute(query, (number,))).fetchone()
    return bool(row and row[0])


def _number(name: str) -> int:
    """Return 64 bits of the name, signed as PostgreSQL has them."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
