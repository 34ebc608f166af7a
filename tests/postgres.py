"""A real PostgreSQL for tests, on loopback and in a folder of its own, or a failure that says how to get one."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from config import Settings
from main import free_port

FOLDERS = "/usr/lib/postgresql"
HOST = "127.0.0.1"
USER = "painter"
#: Whose rights the server takes where the tests run as root, which it refuses to be.
UNPRIVILEGED = ("postgres", "nobody")
#: Nothing has to outlive the machine here.
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "max_connections=200")
START_TIMEOUT_S = 30.0


class Server:
    """A server that can be stopped, killed and started again, with its databases."""

    def __init__(self, bin_folder: Path, folder: Path) -> None:
        self.port = free_port(HOST)
        self._bin = bin_folder
        self._folder = folder
        self._as = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)

    def create(self) -> None:
        if self._as:
            os.chown(self._folder, self._as.pw_uid, self._as.pw_gid)
        made = self._run(
            "initdb", "-D", self._data, "-U", USER, "--auth=trust", "--no-sync", "--locale=C.UTF-8", "-E", "UTF8"
        )
        _, told = made.communicate(timeout=60)
        assert made.returncode == 0, told.decode()

    def start(self) -> None:
        settings = [*QUICK, f"listen_addresses={HOST}", f"port={self.port}", "unix_socket_directories="]
        options = [part for setting in settings for part in ("-c", setting)]
        self._process = self._run("postgres", "-D", self._data, *options)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self._process.communicate()[1] or b"").decode()
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it at once, connections too (SIGINT: in good order, SIGQUIT: as after a crash)."""
        if self._process:
            self._process.send_signal(number)
            self._process.communicate(timeout=30)
            self._process = None

    def url(self, name: str) -> str:
        return f"postgresql://{USER}@{HOST}:{self.port}/{name}"

    def new_database(self) -> str:
        """Return the name of a new database, without tables."""
        name = f"test_{next(self._names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def empty(self, name: str) -> None:
        """Cut off whoever is connected, and delete every row of every table but those of the schema's version."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608
            found = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%schema%'"
            )
            tables = sql.SQL(", ").join(sql.Identifier(row[0]) for row in found)
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(tables))

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        identity = {"user": self._as.pw_uid, "group": self._as.pw_gid, "extra_groups": []} if self._as else {}
        return subprocess.Popen(
            [str(self._bin / program), *options],
            cwd=self._folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **identity,  # type: ignore[arg-type]
        )


@contextmanager
def server() -> Iterator[Server]:
    """Start a server with an empty data folder, and stop it in the end."""
    bin_folder = _bin_folder()
    with tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as folder:
        started = Server(bin_folder, Path(folder))
        started.create()
        try:
            started.start()
            yield started
        finally:
            started.stop()


def _bin_folder() -> Path:
    found = (
        sorted(Path(FOLDERS).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        if Path(FOLDERS).is_dir()
        else []
    )
    on_path = shutil.which("initdb")
    if found or on_path:
        return (found[-1] if found else Path(str(on_path))).resolve().parent
    if os.environ.get("SKIP_POSTGRES") == "1":
        pytest.skip("SKIP_POSTGRES=1 and there is no PostgreSQL")
    pytest.fail(
        "There is no PostgreSQL for the tests of many machines: run `sh scripts/ensure_postgresql.sh` or "
        "`apt-get install postgresql`, or set SKIP_POSTGRES=1 to go without these tests."
    )


def store_url(url: str) -> str:
    """Return SQLAlchemy's address of a database, which stores take."""
    return Settings(database_url=url).database


def _unprivileged() -> pwd.struct_passwd | None:
    """Return who the server is to be where we are root, None elsewhere."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in UNPRIVILEGED if name in known)
