"""What the bot runs on: where the database is, what must run beside it, and what may not be left in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, select

from processing.job import Job, Status
from processing.tables import dialogues, job_of, jobs


class Sqlite:
    """One bot, its database in its own folder."""

    name = "sqlite"
    #: The processes of the bot, by their command.
    commands = ("serve",)

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "bot.sqlite3"
        self._engine = create_engine(f"sqlite:///{self.path}", poolclass=NullPool)

    @property
    def settings(self) -> dict[str, str]:
        """What the bot is told of its database."""
        return {}

    @property
    def files(self) -> set[str]:
        """The names of the database's own files in the data folder."""
        return {self.path.name + suffix for suffix in ("", "-wal", "-shm")}

    async def start(self) -> None:
        """Start what has to be there before the bot."""

    async def stop(self) -> None:
        """Stop that after the bot."""

    def jobs_of(self, user_ids: Iterable[int]) -> list[Job]:
        with self._engine.connect() as connection:
            query = select(jobs).where(jobs.c.user_id.in_(list(user_ids))).order_by(jobs.c.id)
            return [job_of(row) for row in connection.execute(query).mappings()]

    def states(self) -> dict[int, Status]:
        """Return the state of every job that there ever was."""
        with self._engine.connect() as connection:
            return {job_id: Status(status) for job_id, status in connection.execute(select(jobs.c.id, jobs.c.status))}

    def open_ends(self) -> list[str]:
        """Return what has not come to its end: jobs whose users do not know yet, pictures that wait to be taken."""
        with self._engine.connect() as connection:
            return _jobs_under_way(connection) + _full_inboxes(connection)

    def locks(self) -> list[str]:
        """Return what is locked though nothing goes on."""
        with closing(sqlite3.connect(self.path, timeout=0.5, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                return [f"the database stays locked: {error}"]
        return []


def _jobs_under_way(connection: Connection) -> list[str]:
    untold = (jobs.c.status == Status.FAILED) & jobs.c.told_at.is_(None)
    under_way = jobs.c.status.in_([Status.QUEUED, Status.RUNNING, Status.PAINTED])
    rows = connection.execute(select(jobs.c.id, jobs.c.status).where(under_way | untold))
    return [f"job {job_id} is {status}" for job_id, status in rows]


def _full_inboxes(connection: Connection) -> list[str]:
    rows = connection.execute(select(dialogues.c.key, dialogues.c.data))
    return [f"the inbox of dialogue {key} is not empty" for key, data in rows if data.get("inbox")]


ENGINES = {each.name: each for each in (Sqlite,)}
