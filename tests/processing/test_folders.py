"""The folders of DATA_DIR: for the owner's eyes alone, whatever was there before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from processing.folders import JobFolders, write_durably
from processing.store import Store

FOLDER, FILE = 0o700, 0o600


@pytest.fixture
def _everybody_may_read() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.mark.usefixtures("_everybody_may_read")
async def test_what_is_made_is_private_whatever_the_umask(tmp_path: Path) -> None:
    data = tmp_path / "data"
    folders = JobFolders(data)
    folders.make_private()
    store = Store(f"sqlite:///{data / 'bot.sqlite3'}")
    await store.open()
    await store.mark_update(1)
    folders.create(7)
    for path in (folders.picture(7), folders.photo(7)):
        write_durably(path, b"x")
    found = modes(tmp_path)
    await store.close()
    assert {name: mode for name, mode in found.items() if mode != FILE} == {
        "data": FOLDER,
        "data/jobs": FOLDER,
        "data/jobs/7": FOLDER,
    }
    assert {"data/bot.sqlite3", "data/bot.sqlite3-wal", "data/bot.sqlite3-shm"} < set(found)


@pytest.mark.usefixtures("_everybody_may_read")
async def test_what_was_there_is_closed_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    folders = JobFolders(data)
    url = f"sqlite:///{data / 'bot.sqlite3'}"
    first = Store(url)
    await first.open()
    await first.mark_update(1)
    folders.create(7)
    folders.photo(7).write_bytes(b"x")
    # As a killed bot of an earlier version left it: the log of the database lies beside it.
    left = {name: (data / name).read_bytes() for name in ("bot.sqlite3", "bot.sqlite3-wal", "bot.sqlite3-shm")}
    await first.close()
    for name, content in left.items():
        (data / name).write_bytes(content)
    for path in (data, *data.rglob("*")):
        path.chmod(0o777)
    folders.make_private()
    again = Store(url)
    await again.open()
    known = await again.update_seen(1)
    found = modes(tmp_path)
    await again.close()
    assert known
    assert {name for name, mode in found.items() if mode == FOLDER} == {"data", "data/jobs", "data/jobs/7"}
    assert set(found.values()) == {FOLDER, FILE}


def test_a_folder_that_everybody_shares_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    JobFolders(tmp_path).make_private()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
    assert modes(tmp_path) == {"jobs": FOLDER}
