"""What many processes do to one another through one store, two of them seen from inside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version

import pytest
from sqlalchemy import select, text

from processing.job import Job, Outcome, QueueFullError, Status, UnknownJobError, UserQueueFullError
from processing.retention import Retention
from processing.shared import tables
from processing.shared.results import StoredResults
from processing.shared.store import SharedStore, Swept
from processing.store import StoreError
from tests.processing.conftest import NewJobs, opened

ENGINES = ("postgresql",)
OUTCOME = Outcome(512, 341, 2.5, "slim")
LONG_S = 60.0


@pytest.fixture
async def stores(database_url: str) -> AsyncIterator[tuple[SharedStore, SharedStore]]:
    """The stores of two processes that take jobs."""
    async with opened(database_url) as one, opened(database_url) as other:
        assert isinstance(one, SharedStore)
        assert isinstance(other, SharedStore)
        await one.register(2)
        await other.register(3)
        yield one, other


async def add(store: SharedStore, new_job: NewJobs, user_id: int = 1) -> int:
    return (await store.add(new_job(user_id), queue_limit=99, user_queue_limit=99))[0].id


async def silence(store: SharedStore, seconds: float = 2 * LONG_S) -> None:
    """Make it look as if this process had said nothing for so long."""
    change = text("UPDATE procrastinate_workers SET last_heartbeat = now() - make_interval(secs => :s) WHERE id = :id")
    values = {"s": seconds, "id": store.worker_id}
    await store._database.write(lambda connection: connection.execute(change, values).rowcount)


async def think_dead(store: SharedStore, by: SharedStore) -> Swept:
    """Let one process take the jobs of another, as if that had been silent for long."""
    await silence(store)
    return await by.sweep(LONG_S)


async def carriers(store: SharedStore) -> list[tuple[str, str]]:
    """Return queue and state of all carriers."""
    query = select(tables.carriers.c.queue_name, tables.carriers.c.status).order_by(tables.carriers.c.id)
    return await store._database.read(lambda connection: [(row[0], row[1]) for row in connection.execute(query)])


async def taken(store: SharedStore) -> Job:
    job = await store.take_next()
    assert job
    return job


async def test_each_job_is_taken_once_and_the_order_is_fair_among_processes(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    for user_id in (1, 1, 1, 2, 2, 3):
        await add(stores[0], new_job, user_id)
    jobs = [await taken(stores[turn % 2]) for turn in range(6)]
    assert [job.user_id for job in jobs] == [1, 2, 3, 1, 2, 1]
    assert len({job.id for job in jobs}) == 6
    assert [await store.take_next() for store in stores] == [None, None]


async def test_who_takes_at_once_takes_different_jobs(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    for user_id in range(20):
        await add(stores[0], new_job, user_id)
    jobs = await asyncio.gather(*(store.take_next() for _ in range(15) for store in stores))
    ids = [job.id for job in jobs if job]
    assert len(ids) == len(set(ids)) == 20
    assert await carriers(stores[0]) == [("long", "doing")] * 20


async def test_limits_hold_among_processes(stores: tuple[SharedStore, SharedStore], new_job: NewJobs) -> None:
    adding = [
        store.add(new_job(user_id), queue_limit=11, user_queue_limit=2)
        for user_id in range(10)
        for store in (*stores, *stores)
    ]
    results = await asyncio.gather(*adding, return_exceptions=True)
    users = [result[0].user_id for result in results if isinstance(result, tuple)]
    assert len(users) == 11
    assert max(map(users.count, users)) <= 2
    assert {type(result) for result in results} == {tuple, QueueFullError, UserQueueFullError}


async def test_the_same_origin_from_two_processes_is_one_job(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    new = new_job(origin="update:5")
    results = await asyncio.gather(*(store.add(new, queue_limit=9, user_queue_limit=9) for store in stores * 5))
    assert len({job.id for job, _ in results}) == 1
    assert await carriers(stores[0]) == [("long", "todo")]


async def test_a_cancelled_job_leaves_nothing_to_carry(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    running, waiting = await add(one, new_job), await add(one, new_job)
    assert (await taken(one)).id == running
    for job_id in (running, waiting):
        assert (await other.mark_cancelled(job_id)).status is Status.CANCELLED
    assert [await other.is_carried(job_id) for job_id in (running, waiting)] == [True, False]
    await other.release(running)  # it is not the other's to let go of
    assert await other.is_carried(running)
    await one.release(running)
    assert await carriers(one) == []


async def test_only_who_runs_a_job_says_what_became_of_it(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    job = await add(one, new_job)
    await taken(one)
    await StoredResults(other).put(job, b"wrong", b"wrong")
    assert (await other.mark_painted(job, OUTCOME)).status is Status.RUNNING
    results = StoredResults(one)
    assert not await results.has(job)
    await results.put(job, b"png", b"jpeg")
    assert (await one.mark_painted(job, OUTCOME)).status is Status.PAINTED
    assert await other.claim(job) is None
    assert await one.claim(job) == await one.get(job)
    await StoredResults(other).discard(job)
    assert [await results.get_picture(job), await results.get_photo(job)] == [b"png", b"jpeg"]
    await results.discard(job)
    assert [await results.get_picture(job), await results.has(job)] == [None, False]


# --- processes that are gone


async def test_a_job_of_a_silent_process_waits_again_and_the_second_loss_fails_it(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    job = await add(one, new_job)
    await taken(one)
    assert (await other.sweep(LONG_S)).again == []
    assert (await think_dead(one, other)).again == [job]
    again = await taken(other)
    assert (again.id, again.attempts, again.worker_losses) == (job, 2, 1)
    await one.register(1)
    assert (await think_dead(other, one)).failed == [job]
    assert await one.take_next() is None
    untold = await one.take_untold()
    assert untold
    assert untold.failure
    assert (untold.id, untold.failure.code) == (job, "worker_lost")
    assert await one.take_untold() is None
    await one.mark_told(job)
    await one.release(job)
    assert await carriers(one) == []


@pytest.mark.parametrize("end", ["cancelled while it ran", "cancelled while it waits", "lost twice"])
async def test_pictures_that_a_process_stored_just_before_its_end_go_with_the_job(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs, end: str
) -> None:
    one, other = stores
    job = await add(one, new_job)
    await taken(one)
    if end == "lost twice":
        await one.count_worker_loss(job)
    elif end == "cancelled while it ran":
        await other.mark_cancelled(job)
    await StoredResults(one).put(job, b"png", b"jpeg")
    await think_dead(one, other)
    if end == "cancelled while it waits":
        assert await StoredResults(other).has(job)
        await other.mark_cancelled(job)
    assert not await StoredResults(other).has(job)


async def test_who_was_thought_dead_changes_nothing_when_it_comes_back(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    job = await add(one, new_job)
    await taken(one)
    await think_dead(one, other)
    assert await one.beat(LONG_S) is None
    assert (await one.mark_painted(job, OUTCOME)).status is Status.QUEUED
    await taken(other)
    assert (await one.mark_painted(job, OUTCOME)).status is Status.RUNNING
    assert (await one.count_worker_loss(job)).worker_losses == 1
    assert (await one.give_back(job)).status is Status.RUNNING
    assert await one.claim(job) is None
    assert (await other.mark_painted(job, OUTCOME)).status is Status.PAINTED


async def test_what_a_silent_process_has_painted_is_only_told(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    job = await add(one, new_job)
    await taken(one)
    await StoredResults(one).put(job, b"png", b"jpeg")
    await one.mark_painted(job, OUTCOME)
    swept = await think_dead(one, other)
    assert (swept.again, swept.failed, swept.to_tell) == ([], [], [job])
    assert await other.take_next() is None
    untold = await other.take_untold()
    assert untold
    assert (untold.id, untold.status, untold.attempts) == (job, Status.PAINTED, 1)
    assert await StoredResults(other).get_photo(job) == b"jpeg"


async def test_what_a_silent_process_has_told_is_put_away(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    job = await add(one, new_job)
    await taken(one)
    await one.mark_painted(job, OUTCOME)
    await one.mark_delivered(job)
    swept = await think_dead(one, other)
    assert (swept.again, swept.failed, swept.to_tell) == ([], [], [])
    assert await carriers(other) == []


async def test_who_leaves_hands_over_what_it_has_and_loses_no_try(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    running, painted = await add(one, new_job, 1), await add(one, new_job, 2)
    assert {(await taken(one)).id, (await taken(one)).id} == {running, painted}
    await one.mark_painted(painted, OUTCOME)
    await one.leave()
    again, untold = await taken(other), await other.take_untold()
    assert untold
    assert (again.id, again.attempts, again.worker_losses, untold.id) == (running, 1, 0, painted)
    # What it still had in hand comes too late.
    assert (await one.mark_painted(running, OUTCOME)).status is Status.RUNNING


async def test_a_beat_tells_what_is_held_by_whom(stores: tuple[SharedStore, SharedStore], new_job: NewJobs) -> None:
    one, other = stores
    first, second = await add(one, new_job, 1), await add(one, new_job, 2)
    assert [(await taken(store)).id for store in stores] == [first, second]
    pulses = [await store.beat(LONG_S) for store in stores]
    assert [pulse and (list(pulse.held), pulse.slots, pulse.leads) for pulse in pulses] == [
        ([first], 5, True),
        ([second], 5, False),
    ]
    await silence(one)
    pulse = await other.beat(LONG_S)
    assert pulse
    assert (pulse.slots, pulse.leads) == (3, True)


async def test_a_wish_to_keep_is_asked_once_and_dies_with_the_process(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    job = await add(one, new_job)
    await taken(one)
    assert [await other.ask_to_keep(job) for _ in range(2)] == [True, False]
    pulse = await one.beat(LONG_S)
    assert pulse
    assert pulse.held[job].keep_asked
    await think_dead(one, other)
    await taken(other)
    assert await one.ask_to_keep(job)


async def test_a_wish_to_keep_dies_with_the_worker_of_who_runs_the_job_and_with_no_other(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    job = await add(one, new_job)
    await taken(one)
    await think_dead(one, other)
    await taken(other)
    await other.ask_to_keep(job)
    for loser, is_kept in ((one, True), (other, False)):
        await loser.count_worker_loss(job)
        pulse = await other.beat(LONG_S)
        assert pulse
        assert pulse.held[job].keep_asked is is_kept


# --- what goes


async def test_a_user_who_is_forgotten_leaves_nothing_in_any_table(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    for user_id in (1, 1, 2):
        await add(one, new_job, user_id)
    running, painted = await taken(one), await taken(other)
    assert (running.user_id, painted.user_id) == (1, 2)
    await StoredResults(one).put(running.id, b"png", b"jpeg")
    await StoredResults(other).put(painted.id, b"png", b"jpeg")
    await other.set_dialogue("9:1:1", "style", {"n": 1})
    await other.forget(1, "9:1:1")
    await one.sweep(LONG_S)
    counts = {
        table: await one._database.read(
            lambda connection, table=table: connection.scalar(text(f"SELECT count(*) FROM {table}"))  # noqa: S608
        )
        for table in ("jobs", "carried", "pictures", "dialogues", "procrastinate_jobs", "procrastinate_events")
    }
    assert counts == dict.fromkeys(counts, 1) | {"dialogues": 0, "procrastinate_events": 2}
    # What still ran finds that out, and stores nothing.
    await StoredResults(one).put(running.id, b"png", b"jpeg")
    with pytest.raises(UnknownJobError):
        await one.mark_painted(running.id, OUTCOME)
    assert not await StoredResults(one).has(running.id)


async def test_old_pictures_go_whichever_process_looks(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    *told, untold = [await add(one, new_job, user_id) for user_id in (1, 2, 3)]
    for job in (*told, untold):
        assert (await taken(one)).id == job
        await StoredResults(one).put(job, b"png", b"jpeg")
        await one.mark_painted(job, OUTCOME)
    for job in told:
        await one.mark_delivered(job)
        await one.release(job)
    assert await Retention(other, StoredResults(other), hours=1).sweep() == 0
    assert await Retention(other, StoredResults(other), hours=0).sweep() == 2
    assert list(await StoredResults(one).kept()) == [untold]


# --- procrastinate's tables as somebody else may leave them


async def test_jobs_whose_carriers_were_deleted_are_carried_again(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    ids = [await add(one, new_job, user_id) for user_id in (1, 2, 3)]
    await taken(one)
    await taken(one)
    await one.mark_painted(ids[1], OUTCOME)
    await one._database.write(lambda connection: connection.execute(text("DELETE FROM procrastinate_jobs")).rowcount)
    swept = await other.sweep(LONG_S)
    assert (swept.again, swept.to_tell) == ([ids[0]], [ids[1]])
    assert {(await taken(other)).id, (await taken(other)).id} == {ids[0], ids[2]}
    untold = await other.take_untold()
    assert untold
    assert untold.id == ids[1]


async def test_carriers_whose_jobs_were_deleted_are_put_away(
    stores: tuple[SharedStore, SharedStore], new_job: NewJobs
) -> None:
    one, other = stores
    await add(one, new_job)
    await add(one, new_job)
    await taken(one)
    await one._database.write(lambda connection: connection.execute(text("DELETE FROM jobs")).rowcount)
    await other.sweep(LONG_S)
    assert await carriers(one) == []
    pulse = await one.beat(LONG_S)
    assert pulse
    assert pulse.held == {}


async def test_a_database_of_another_procrastinate_is_refused(database_url: str) -> None:
    async with opened(database_url) as store:
        change = text("UPDATE shared_schema SET procrastinate = :version")

        async def made_for(name: str) -> None:
            await store._database.write(lambda connection: connection.execute(change, {"version": name}).rowcount)

        await made_for("0.1")
        with pytest.raises(StoreError, match=r"procrastinate 0\.1"):
            await SharedStore(database_url).open()
        await made_for(version("procrastinate"))
        async with opened(database_url):
            pass


async def test_a_server_that_is_not_there_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processing.shared.database.OPEN_TIMEOUT_S", 0.0)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9/paint.*cannot be opened.*refused") as caught:
        await SharedStore("postgresql+psycopg://bot:hard-to-guess@127.0.0.1:9/paint").open()
    assert "hard-to-guess" not in str(caught.value)
