"""What the bot runs on: which processes it is, where the database is, and what may not be left in it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, func, select, text
from sqlalchemy import Engine as Connections

from processing.folders import JobFolders
from processing.job import Job, Status
from processing.shared import tables as shared
from processing.tables import dialogues, job_of, jobs
from tests.postgres import Server, server, store_url


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the bot.

    Attributes:
        command: serve or worker.
        slots: of long jobs; 0: it paints nothing.
    """

    command: str
    slots: int


class Sqlite:
    """One bot, its database in its own folder."""

    name = "sqlite"
    parts = (Part("serve", 2),)

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._path = data_dir / "bot.sqlite3"
        self._connections = create_engine(f"sqlite:///{self._path}", poolclass=NullPool)

    @classmethod
    @asynccontextmanager
    async def running(cls, data_dir: Path) -> AsyncIterator[Sqlite]:
        yield cls(data_dir)

    def settings(self, number: int) -> dict[str, str]:
        """Return what the process of that number, from 0, is told of its database and its folder."""
        return {"DATA_DIR": str(self.data_dir)}

    def jobs_of(self, user_ids: Iterable[int]) -> list[Job]:
        return jobs_of(self._connections, user_ids)

    def open_ends(self, processes: int) -> list[str]:
        """Return what has not come to its end, while so many processes run."""
        with self._connections.connect() as connection:
            return open_ends(connection)

    def left_behind(self) -> list[str]:
        """Return what is there and should not be, or not there and should, while nothing goes on."""
        with self._connections.connect() as connection:
            delivered = connection.scalars(select(jobs.c.id).where(jobs.c.status == Status.DELIVERED)).all()
        database = {self._path.with_name(self._path.name + suffix) for suffix in ("", "-wal", "-shm")}
        return wrong_files(self.data_dir, database, delivered) + self._locks()

    def _locks(self) -> list[str]:
        with closing(sqlite3.connect(self._path, timeout=0.5, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                return [f"the database stays locked: {error}"]
        return []


class Postgres:
    """Two bots behind one address, which paint nothing, and two workers, on a PostgreSQL of their own."""

    name = "postgres"
    parts = (Part("serve", 0), Part("serve", 0), Part("worker", 1), Part("worker", 1))

    def __init__(self, data_dir: Path, started: Server) -> None:
        self.data_dir = data_dir
        self.server = started
        self._url = started.url(started.new_database())
        self._connections = create_engine(store_url(self._url), poolclass=NullPool)

    @classmethod
    @asynccontextmanager
    async def running(cls, data_dir: Path) -> AsyncIterator[Postgres]:
        with server() as started:
            yield cls(data_dir, started)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)

    def settings(self, number: int) -> dict[str, str]:
        return {"DATABASE_URL": self._url, "DATA_DIR": str(self.data_dir / str(number))}

    def jobs_of(self, user_ids: Iterable[int]) -> list[Job]:
        return jobs_of(self._connections, user_ids)

    def open_ends(self, processes: int) -> list[str]:
        with self._connections.connect() as connection:
            found = open_ends(connection)
            for table, due in ((shared.carriers, 0), (shared.carried, 0), (shared.beats, processes)):
                there = connection.scalar(select(func.count()).select_from(table))
                if there != due:
                    found.append(f"{table.name} has {there} rows and not {due}")
        return found

    def left_behind(self) -> list[str]:
        found = wrong_files(self.data_dir, set(), [])
        with self._connections.connect() as connection:
            delivered = set(connection.scalars(select(jobs.c.id).where(jobs.c.status == Status.DELIVERED)))
            stored = set(connection.scalars(select(shared.pictures.c.job_id)))
            found += [f"pictures of job {job_id} are left behind" for job_id in sorted(stored - delivered)]
            found += [f"pictures of job {job_id} are lost" for job_id in sorted(delivered - stored)]
            held = connection.execute(
                text(
                    "SELECT locktype, pid FROM pg_locks WHERE pid <> pg_backend_pid() AND "
                    "(locktype = 'advisory' OR NOT granted)"
                )
            )
            found += [f"process {pid} of PostgreSQL keeps a lock ({kind})" for kind, pid in held]
            idle = connection.scalars(text("SELECT pid FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"))
            found += [f"process {pid} of PostgreSQL is left in a transaction" for pid in idle]
        return found


def jobs_of(connections: Connections, user_ids: Iterable[int]) -> list[Job]:
    with connections.connect() as connection:
        query = select(jobs).where(jobs.c.user_id.in_(list(user_ids))).order_by(jobs.c.id)
        return [job_of(row) for row in connection.execute(query).mappings()]


def open_ends(connection: Connection) -> list[str]:
    """Return the jobs whose users do not know an outcome yet, and the pictures that wait to be taken."""
    untold = (jobs.c.status == Status.FAILED) & jobs.c.told_at.is_(None)
    under_way = jobs.c.status.in_([Status.QUEUED, Status.RUNNING, Status.PAINTED])
    rows = connection.execute(select(jobs.c.id, jobs.c.status).where(under_way | untold))
    ends = [f"job {job_id} is {status}" for job_id, status in rows]
    boxes = connection.execute(select(dialogues.c.key, dialogues.c.data))
    return ends + [f"the inbox of dialogue {key} is not empty" for key, data in boxes if data.get("inbox")]


def wrong_files(data_dir: Path, database: set[Path], delivered: Iterable[int]) -> list[str]:
    """Return the files that are neither the database's own nor pictures of delivered jobs, and those that are missing.

    An empty folder of a job counts as one too many.
    """
    folders = JobFolders(data_dir)
    pictures = {path for job_id in delivered for path in (folders.picture(job_id), folders.photo(job_id))}
    found = {path for path in data_dir.rglob("*") if not path.is_dir()}
    empty = {path for path in data_dir.glob("jobs/*") if path.is_dir() and not any(path.iterdir())}
    extra = sorted((found - pictures - database) | empty)
    return [f"left behind: {path.relative_to(data_dir)}" for path in extra] + [
        f"lost: {path.relative_to(data_dir)}" for path in sorted(pictures - found)
    ]


Engine = Sqlite | Postgres
ENGINES: dict[str, type[Sqlite] | type[Postgres]] = {each.name: each for each in (Sqlite, Postgres)}


def running(name: str, data_dir: Path) -> AbstractAsyncContextManager[Engine]:
    """Start what the engine of that name needs, and stop it in the end."""
    return ENGINES[name].running(data_dir)
