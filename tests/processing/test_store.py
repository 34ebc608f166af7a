from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import OperationalError

from ml_models.registry import ALGORITHMS
from processing import database as database_module
from processing import store as store_module
from processing.job import (
    Failure,
    Outcome,
    QueueFullError,
    Status,
    UnknownJobError,
    UserQueueFullError,
    Wanted,
)
from processing.lanes import Lane
from processing.shared.store import create_store
from processing.store import Store, StoreError
from processing.tables import dialogues
from tests.processing.conftest import BOTH_ENGINES, NewJobs, lose, sqlite_only
from tests.toy_algorithm import QUICK

ENGINES = BOTH_ENGINES
OUTCOME = Outcome(512, 341, 2.5, "slim")


async def add(store: Store, new_job: NewJobs, user_id: int = 1, **fields: object) -> int:
    job, _ = await store.add(new_job(user_id, **fields), queue_limit=1000, user_queue_limit=1000)
    return job.id


async def reopened(store: Store, url: str) -> Store:
    await store.close()
    again = create_store(url)
    await again.open()
    return again


# --- the file


@sqlite_only
async def test_the_database_is_private(store: Store, database_url: str, new_job: NewJobs) -> None:
    await add(store, new_job)
    file = Path(database_url.removeprefix("sqlite:///"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    assert modes == {"bot.sqlite3": 0o600, "bot.sqlite3-wal": 0o600, "bot.sqlite3-shm": 0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@sqlite_only
async def test_jobs_are_flushed_to_the_disk_and_marks_need_not_be(
    store: Store, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: list[object] = []
    commit = database_module._commit

    def looked_at(engine: Engine, wishes: list[object]) -> None:
        commit(engine, wishes)  # type: ignore[arg-type]
        with engine.connect() as connection:
            flushes.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())

    monkeypatch.setattr(database_module, "_commit", looked_at)
    normal, full = 1, 2
    await add(store, new_job)
    await store.mark_update(1)
    await store.take_next()
    assert flushes == [full, normal, full]
    assert await store._database.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar()) == "wal"


@sqlite_only
async def test_a_newer_database_is_refused(store: Store, database_url: str) -> None:
    await store.close()
    with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"version 99.*knows 2"):
        await Store(database_url).open()


@sqlite_only
async def test_an_older_database_is_brought_up_to_date_and_keeps_its_jobs(
    store: Store, database_url: str, new_job: NewJobs
) -> None:
    job_id = await add(store, new_job)
    await store.take_next()
    before = await store.mark_painted(job_id, OUTCOME)
    await store.close()
    with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
        connection.execute("ALTER TABLE jobs DROP COLUMN stopped_at")
        connection.execute("UPDATE schema_version SET version = 1")
    connection.close()
    for _ in range(2):
        await store.open()
        assert await store.get(job_id) == before
        await store.close()
    await store.open()
    later_id = await add(store, new_job)
    await store.take_next()
    stopped = Outcome(512, 341, 2.5, "slim", stopped_at=0.62)
    assert (await store.mark_painted(later_id, stopped)).outcome == stopped


async def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "bot.sqlite3").write_bytes(b"no database, but long enough to be read as one" * 99)
    with pytest.raises(StoreError, match=r"bot\.sqlite3.*not a database"):
        await Store(f"sqlite:///{tmp_path / 'bot.sqlite3'}").open()


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.counts()


# --- transactions


async def test_a_failing_transaction_harms_no_other(store: Store, new_job: NewJobs) -> None:
    changes = [add(store, new_job), store.get(77), add(store, new_job), store.get(78), store.update_seen(5)]
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert [type(result) for result in results] == [int, UnknownJobError, int, UnknownJobError, bool]
    assert (await store.counts())[Status.QUEUED] == 2


@sqlite_only
async def test_a_full_disk_fails_the_one_that_met_it_and_loses_nothing_of_its_neighbours(
    store: Store, new_job: NewJobs
) -> None:
    def fill(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count=1")  # as many as there are
        try:
            connection.exec_driver_sql("INSERT INTO dialogues VALUES ('1:2', NULL, zeroblob(1000000))")
        finally:
            connection.exec_driver_sql("PRAGMA max_page_count=1000000")

    changes = (add(store, new_job), store._database.write(fill), add(store, new_job))
    first, full, last = await asyncio.gather(*changes, return_exceptions=True)
    assert isinstance(full, StoreError)
    assert str(full) == "the database fails: database or disk is full"
    assert isinstance(full.__cause__, OperationalError)
    assert [job.id for job in await store.active_jobs(1)] == [first, last]
    assert await store.get_dialogue("1:2") == (None, {})


@sqlite_only
async def test_a_database_that_another_holds_fails_in_words(
    store: Store, database_url: str, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.close()
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 10)
    await store.open()
    other = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    results = await asyncio.gather(*(add(store, new_job) for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["the database fails: database is locked"] * 3
    assert {type(result) for result in results} == {StoreError}
    other.execute("ROLLBACK")
    other.close()
    await add(store, new_job)


@sqlite_only
async def test_what_cannot_be_read_is_an_error_of_the_store(store: Store) -> None:
    with pytest.raises(StoreError, match="no such table: gone") as caught:
        await store._database.read(lambda connection: connection.exec_driver_sql("SELECT * FROM gone"))
    assert isinstance(caught.value.__cause__, OperationalError)


@sqlite_only
async def test_what_was_asked_for_is_done_even_if_the_one_who_asked_is_cancelled(
    store: Store, new_job: NewJobs
) -> None:
    task = asyncio.create_task(add(store, new_job))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.requeue_running() == 0  # in the same line, so what was asked for before is done by now
    assert (await store.counts())[Status.QUEUED] == 1


@sqlite_only
async def test_a_burst_shares_its_commits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    commit = database_module._commit

    def counted(engine: Engine, wishes: list[object]) -> None:
        groups.append(len(wishes))
        commit(engine, wishes)  # type: ignore[arg-type]

    monkeypatch.setattr(database_module, "_commit", counted)
    await asyncio.gather(*(store.mark_update(number) for number in range(100)))
    assert sum(groups) == 100
    assert len(groups) <= 3


def test_an_accepted_job_survives_kill_9(database_url: str) -> None:
    program = """
import asyncio, os, signal, sys
from processing.job import NewJob, Order, Picture
from processing.shared.store import create_store

async def main():
    store = create_store(sys.argv[1])
    await store.open()
    new = NewJob("update:1", 1, 1, "en", Order("toy", Picture("a"), ()))
    await store.add(new, queue_limit=9, user_queue_limit=9)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    killed = subprocess.run([sys.executable, "-c", program, database_url], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL

    async def look() -> dict[Status, int]:
        store = create_store(database_url)
        await store.open()
        counts = await store.counts()
        await store.close()
        return counts

    assert asyncio.run(look())[Status.QUEUED] == 1


# --- dialogues and updates


async def test_dialogues_are_kept_replaced_and_removed(store: Store, database_url: str) -> None:
    assert await store.get_dialogue("1:2") == (None, {})
    await store.set_dialogue("1:2", "style", {"content": {"file_id": "ф"}, "n": 1})
    await store.set_dialogue("1:3", None, {"album": [1, 2]})
    store = await reopened(store, database_url)
    assert await store.get_dialogue("1:2") == ("style", {"content": {"file_id": "ф"}, "n": 1})
    assert await store.dialogues_with("album") == [("1:3", {"album": [1, 2]})]
    await store.set_dialogue("1:2", "style", {})
    assert await store.get_dialogue("1:2") == ("style", {})
    await store.set_dialogue("1:2", None, {})
    await store.set_dialogue("1:3", None, {})
    left = select(func.count()).select_from(dialogues)
    assert await store._database.read(lambda connection: connection.scalar(left)) == 0
    await store.close()


async def test_an_update_is_known_for_a_day(store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await store.update_seen(2**40)
    await store.mark_update(2**40)
    await store.mark_update(2**40)
    store = await reopened(store, database_url)
    assert await store.update_seen(2**40)
    monkeypatch.setattr(store_module, "_now", lambda: datetime.now(UTC) + timedelta(hours=23))
    await store.mark_update(1)
    assert await store.update_seen(2**40)
    monkeypatch.setattr(store_module, "_now", lambda: datetime.now(UTC) + timedelta(hours=25))
    await store.mark_update(2)
    assert not await store.update_seen(2**40)
    assert await store.update_seen(1)
    await store.close()


# --- jobs


async def test_a_job_comes_back_as_it_was(store: Store, new_job: NewJobs, database_url: str) -> None:
    new = new_job(7, seed=2**31)
    job, is_new = await store.add(new, queue_limit=1, user_queue_limit=1)
    store = await reopened(store, database_url)
    stored = await store.get(job.id)
    assert is_new
    assert stored == job
    assert (stored.order, stored.origin, stored.user_id, stored.chat_id, stored.language) == (
        new.order,
        new.origin,
        7,
        1007,
        "ru",
    )
    assert stored.status is Status.QUEUED
    assert abs(datetime.now(UTC) - stored.created_at) < timedelta(minutes=1)
    await store.close()


async def test_drafts_and_what_starts_from_them_come_back_as_they_were(store: Store, new_job: NewJobs) -> None:
    new = new_job()
    orders = (replace(new.order, draft_of=Wanted("nst_gatys", 1024)), replace(new.order, start="quick"))
    for number, order in enumerate(orders):
        job, _ = await store.add(replace(new, origin=str(number), order=order), queue_limit=9, user_queue_limit=9)
        assert (await store.get(job.id)).order == order


@sqlite_only
async def test_an_order_that_an_older_version_stored_is_read(store: Store, database_url: str, new_job: NewJobs) -> None:
    new = new_job()
    job_id = (await store.add(new, queue_limit=9, user_queue_limit=9))[0].id
    await store.close()
    with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
        for name in ("start", "draft_of"):
            connection.execute("""UPDATE jobs SET "order" = json_remove("order", ?)""", (f"$.{name}",))
        [stored] = connection.execute("""SELECT "order" FROM jobs""").fetchone()
    connection.close()
    assert "start" not in stored
    await store.open()
    assert (await store.get(job_id)).order == new.order
    taken = await store.take_next()
    assert taken
    assert taken.id == job_id


async def test_the_same_origin_is_stored_once_even_when_the_queue_is_full(store: Store, new_job: NewJobs) -> None:
    new = new_job(origin="update:5")
    results = await asyncio.gather(*(store.add(new, queue_limit=1, user_queue_limit=1) for _ in range(5)))
    assert sorted(is_new for _, is_new in results) == [False] * 4 + [True]
    assert len({job.id for job, _ in results}) == 1


async def test_limits_hold_when_everybody_comes_at_once(store: Store, new_job: NewJobs) -> None:
    orders = [new_job(user_id) for user_id in range(10) for _ in range(5)]
    added = (store.add(new, queue_limit=12, user_queue_limit=2) for new in orders)
    results = await asyncio.gather(*added, return_exceptions=True)
    stored = [result[0].user_id for result in results if isinstance(result, tuple)]
    assert len(stored) == 12
    assert max(map(stored.count, stored)) == 2
    refused = [result for result in results if not isinstance(result, tuple)]
    assert {type(error) for error in refused} == {QueueFullError, UserQueueFullError}
    assert {error.limit for error in refused if isinstance(error, QueueFullError)} == {12}


async def test_what_runs_counts_against_the_limits_and_what_has_ended_does_not(store: Store, new_job: NewJobs) -> None:
    await add(store, new_job)
    taken = await store.take_next()
    assert taken
    with pytest.raises(UserQueueFullError) as full:
        await store.add(new_job(), queue_limit=9, user_queue_limit=1)
    assert full.value.limit == 1
    await store.mark_painted(taken.id, OUTCOME)
    await store.add(new_job(), queue_limit=1, user_queue_limit=1)


async def test_the_order_is_fair(store: Store, new_job: NewJobs) -> None:
    first, second, third = [await add(store, new_job, 1) for _ in range(3)]
    of_two = [await add(store, new_job, 2) for _ in range(2)]
    of_three = await add(store, new_job, 3)
    taken = [job.id for _ in range(6) if (job := await store.take_next())]
    assert taken == [first, of_two[0], of_three, second, of_two[1], third]
    assert await store.take_next() is None


async def test_a_user_with_nothing_running_goes_before_one_with_something(store: Store, new_job: NewJobs) -> None:
    running = await add(store, new_job, 1)
    assert await store.take_next()
    second = await add(store, new_job, 1)
    other = await add(store, new_job, 2)
    assert [turn.job_id for turn in await store.line()] == [running, other, second]
    await store.mark_cancelled(running)
    assert [turn.job_id for turn in await store.line()] == [second, other]


async def test_instant_jobs_and_painted_ones_are_lines_of_their_own(
    store: Store, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALGORITHMS, QUICK.key, QUICK)
    painted = [await add(store, new_job, 1) for _ in range(2)]
    instant = [await add(store, new_job, 1, algorithm=QUICK.key) for _ in range(2)]
    other = await add(store, new_job, 2, algorithm=QUICK.key)
    # A user's first draft waits for nothing of his paintings, and his second for everybody's first.
    taken = [await store.take_next(Lane.SHORT) for _ in range(4)]
    assert [job and job.id for job in taken] == [instant[0], other, instant[1], None]
    taken = [await store.take_next(Lane.LONG) for _ in range(3)]
    assert [job and job.id for job in taken] == [*painted, None]


async def test_a_job_goes_its_way(store: Store, new_job: NewJobs) -> None:
    job_id = await add(store, new_job)
    taken = await store.take_next()
    assert taken
    assert (taken.status, taken.attempts) == (Status.RUNNING, 1)
    assert taken.started_at is not None
    painted = await store.mark_painted(job_id, OUTCOME)
    assert (painted.status, painted.outcome) == (Status.PAINTED, OUTCOME)
    assert await store.active_jobs(1) == []
    assert [job.id for job in await store.unfinished()] == [job_id]
    delivered = await store.mark_delivered(job_id)
    assert delivered.status is Status.DELIVERED
    assert delivered.told_at is not None
    assert await store.unfinished() == []
    runs = await store.recent_runs("toy", 10)
    assert [(round(run.megapixels, 6), run.seconds, run.encoder) for run in runs] == [(0.174592, 2.5, "slim")]


@pytest.mark.parametrize("final", ["delivered", "cancelled", "failed"])
async def test_a_final_state_never_changes(store: Store, new_job: NewJobs, final: str) -> None:
    job_id = await add(store, new_job)
    await store.take_next()
    match final:
        case "delivered":
            await store.mark_painted(job_id, OUTCOME)
            await store.mark_delivered(job_id)
        case "cancelled":
            await store.mark_cancelled(job_id)
        case "failed":
            await store.mark_failed(job_id, Failure("timeout", {"limit_s": 5}))
            await store.mark_told(job_id)
    before = await store.get(job_id)
    assert before.status == final
    await store.mark_painted(job_id, OUTCOME)
    await store.mark_delivered(job_id)
    await store.mark_cancelled(job_id)
    await store.mark_failed(job_id, Failure("download", {}))
    await store.count_worker_loss(job_id)
    await store.give_back(job_id)
    await lose(store)
    assert await store.take_next() is None
    assert await store.get(job_id) == before


async def test_a_painted_job_is_past_cancelling(store: Store, new_job: NewJobs) -> None:
    job_id = await add(store, new_job)
    await store.take_next()
    await store.mark_painted(job_id, OUTCOME)
    assert (await store.mark_cancelled(job_id)).status is Status.PAINTED


async def test_a_failure_is_kept_until_it_is_told(store: Store, new_job: NewJobs, database_url: str) -> None:
    job_id = await add(store, new_job)
    failure = Failure("too_large", {"megapixels": 60.5, "limit_megapixels": 50})
    await store.mark_failed(job_id, failure)
    store = await reopened(store, database_url)
    (untold,) = await store.unfinished()
    assert (untold.id, untold.failure, untold.told_at) == (job_id, failure, None)
    assert (await store.mark_told(job_id)).told_at is not None
    assert await store.unfinished() == []
    await store.close()


@sqlite_only
async def test_what_a_killed_bot_left_running_waits_again(store: Store, new_job: NewJobs, database_url: str) -> None:
    job_id = await add(store, new_job)
    await store.take_next()
    await store.count_worker_loss(job_id)
    store = await reopened(store, database_url)
    assert await store.requeue_running() == 1
    again = await store.take_next()
    assert again
    assert (again.id, again.attempts, again.worker_losses) == (job_id, 2, 1)
    await store.close()


async def test_a_job_given_back_was_not_an_attempt(store: Store, new_job: NewJobs) -> None:
    job_id = await add(store, new_job)
    await store.take_next()
    given_back = await store.give_back(job_id)
    assert (given_back.status, given_back.attempts, given_back.started_at) == (Status.QUEUED, 0, None)


async def test_the_status_message_is_remembered(store: Store, new_job: NewJobs) -> None:
    job_id = await add(store, new_job)
    await store.set_status_message(job_id, 2**33)
    assert ((await store.get(job_id)).status_message_id, (await store.get(job_id)).status_has_picture) == (
        2**33,
        False,
    )
    await store.set_status_message(job_id, 5, has_picture=True)
    assert (await store.get(job_id)).status_has_picture


async def test_counts_name_every_state(store: Store, new_job: NewJobs) -> None:
    await add(store, new_job)
    await add(store, new_job, 2)
    await store.take_next()
    assert await store.counts() == dict.fromkeys(Status, 0) | {Status.QUEUED: 1, Status.RUNNING: 1}


@sqlite_only
async def test_numbers_of_jobs_are_never_given_twice(store: Store, new_job: NewJobs, database_url: str) -> None:
    job_id = await add(store, new_job)
    with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
        connection.execute("DELETE FROM jobs")
    connection.close()
    assert await add(store, new_job) > job_id


def test_the_bots_process_stays_free_of_torch() -> None:
    program = """
import sys
import processing.store, processing.pool, processing.runner, processing.queue.local, ml_models.registry
heavy = {"torch", "torchvision", "numpy"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False, env=environment)
    assert done.returncode == 0
