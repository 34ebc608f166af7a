"""The queues of two processes on one database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from processing.job import Job, NothingToKeepError, Status
from processing.lanes import Lane
from processing.queue.shared import SharedQueue
from processing.shared.store import SharedStore
from processing.store import StoreError
from tests.processing.conftest import NewJobs, in_state, opened
from tests.processing.fakes import OUTCOME, FakeRunner
from tests.processing.test_shared_store import think_dead
from tests.waiting import until

ENGINES = ("postgresql",)


@dataclass
class Process:
    """What one process has."""

    store: SharedStore
    runner: FakeRunner
    queue: SharedQueue
    quieted: list[int] = field(default_factory=list)
    may_quiet: asyncio.Event = field(default_factory=asyncio.Event)


def process(store: SharedStore, slots: int) -> Process:
    quieted: list[int] = []
    may_quiet = asyncio.Event()
    may_quiet.set()

    async def quiet(job_id: int) -> None:
        await may_quiet.wait()
        quieted.append(job_id)

    runner = FakeRunner(store)
    queue = SharedQueue(store, runner, slots=slots, queue_limit=9, user_queue_limit=9, quiet=quiet)
    return Process(store, runner, queue, quieted, may_quiet)


async def think_it_dead(worker: Process, by: Process) -> None:
    """Let one process take the jobs of another, as if that had been silent; it has no beat in between."""
    async with worker.queue._taking:
        await think_dead(worker.store, by.store)


@pytest.fixture
async def pair(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Process, Process]]:
    """A bot that only talks, and a worker with two slots; both look often, and think nobody dead soon."""
    monkeypatch.setattr("processing.queue.shared.BEAT_S", 0.2)
    monkeypatch.setattr("processing.queue.shared.STALLED_AFTER_S", 60.0)
    async with opened(database_url) as one, opened(database_url) as other:
        assert isinstance(one, SharedStore)
        assert isinstance(other, SharedStore)
        bot, worker = process(one, 0), process(other, 2)
        for each in (bot, worker):
            await each.queue.start()
        yield bot, worker
        for each in (bot, worker):
            each.runner.may_end.set()
            await each.queue.close()


async def test_what_one_is_asked_for_the_other_does(pair: tuple[Process, Process], new_job: NewJobs) -> None:
    bot, worker = pair
    tickets = [await bot.queue.submit(new_job(user_id)) for user_id in (1, 2, 3)]
    ids = [ticket.job.id for ticket in tickets]
    await until(lambda: worker.runner.begun == ids[:2])
    assert bot.runner.begun == []
    assert [(await bot.queue.submit(new_job(user_id, origin=f"o{user_id}"))).position for user_id in (4, 5)] == [2, 3]
    worker.runner.may_end.set()
    await until(lambda: len(worker.runner.told) == 5)
    assert bot.runner.told == []
    assert (await bot.queue.counts())[Status.DELIVERED] == 5
    await until_nothing_is_carried(bot.store, ids)


async def until_nothing_is_carried(store: SharedStore, ids: list[int]) -> None:
    async with asyncio.timeout(5):
        while any([await store.is_carried(job_id) for job_id in ids]):
            await asyncio.sleep(0.02)


async def test_a_notification_is_enough_and_a_beat_is_too(
    pair: tuple[Process, Process], new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, worker = pair
    deaf = [False]
    hear = SharedQueue._hear

    monkeypatch.setattr(worker.queue._listener, "_on_word", lambda word: None if deaf[0] else hear(worker.queue, word))
    for is_deaf in (False, True):
        deaf[0] = is_deaf
        job = (await bot.queue.submit(new_job())).job.id
        await until(lambda job=job: job in worker.runner.begun, 5.0)
        await bot.queue.cancel(job, 1)
        await until(lambda job=job: job in worker.runner.cut, 5.0)


async def test_a_cancel_is_over_when_the_work_has_stopped_and_shows_no_more(
    pair: tuple[Process, Process], new_job: NewJobs
) -> None:
    bot, worker = pair
    job = (await bot.queue.submit(new_job())).job.id
    await until(lambda: worker.runner.begun == [job])
    began = time.monotonic()
    assert (await bot.queue.cancel(job, 1)).status is Status.CANCELLED
    assert time.monotonic() - began < 2.0
    assert (worker.runner.cut, worker.quieted) == ([job], [job])
    assert not await bot.store.is_carried(job)


async def test_a_beat_does_not_cut_again_what_is_being_cut(pair: tuple[Process, Process], new_job: NewJobs) -> None:
    bot, worker = pair
    worker.may_quiet.clear()
    job = (await bot.queue.submit(new_job())).job.id
    await until(lambda: worker.runner.begun == [job])
    await bot.queue.cancel(job, 1)
    assert await bot.store.is_carried(job)
    worker.may_quiet.set()
    await until(lambda: worker.quieted == [job])
    await until_nothing_is_carried(bot.store, [job])


async def test_a_swap_stops_the_work_elsewhere_too(pair: tuple[Process, Process], new_job: NewJobs) -> None:
    bot, worker = pair
    job = (await bot.queue.submit(new_job())).job.id
    await until(lambda: worker.runner.begun == [job])
    ticket = await bot.queue.replace(job, 1, new_job())
    assert worker.runner.cut == [job]
    await until(lambda: worker.runner.begun == [job, ticket.job.id])


async def test_a_wish_to_keep_reaches_who_runs_the_job(pair: tuple[Process, Process], new_job: NewJobs) -> None:
    bot, worker = pair
    job = (await bot.queue.submit(new_job())).job.id
    await until(lambda: worker.runner.begun == [job])
    with pytest.raises(NothingToKeepError):
        await bot.queue.keep(job, 1)
    await bot.store.set_status_message(job, 5, has_picture=True)
    # Shown once, but of a run that is no more: the wish waits for the first picture of this one.
    assert [await bot.queue.keep(job, 1) for _ in range(2)] == [True, False]
    await asyncio.sleep(0.3)
    assert worker.runner.kept == []
    worker.runner.shown.add(job)
    await until(lambda: bool(worker.runner.kept))


async def test_a_wish_to_keep_may_come_before_it_is_known_that_the_picture_is_shown(
    pair: tuple[Process, Process], new_job: NewJobs
) -> None:
    bot, worker = pair
    job = (await bot.queue.submit(new_job())).job.id
    await until(lambda: worker.runner.begun == [job])
    worker.runner.shown.add(job)
    asking = asyncio.create_task(bot.queue.keep(job, 1))
    await asyncio.sleep(0.1)
    await worker.store.set_status_message(job, 5, has_picture=True)
    assert await asking
    await until(lambda: worker.runner.kept == [job])


async def test_a_job_whose_answer_was_lost_on_the_way_is_taken_again(
    pair: tuple[Process, Process], new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, worker = pair
    take_next, lost = worker.store.take_next, [True]

    async def lose_the_answer(lane: Lane | None = None) -> Job | None:
        job = await take_next(lane)
        if job and lost:
            lost.clear()
            raise StoreError("the connection broke in mid-commit")
        return job

    monkeypatch.setattr(worker.store, "take_next", lose_the_answer)
    monkeypatch.setattr("processing.queue.local.STORE_PAUSE_S", 0.01)
    job = (await bot.queue.submit(new_job())).job.id
    await until(lambda: worker.runner.begun == [job])
    assert (await bot.store.get(job)).attempts == 1


async def test_who_was_thought_dead_stops_its_work_and_goes_on_with_other(
    pair: tuple[Process, Process], new_job: NewJobs
) -> None:
    bot, worker = pair
    job = (await bot.queue.submit(new_job())).job.id
    await until(lambda: worker.runner.begun == [job])
    await think_it_dead(worker, by=bot)
    await until(lambda: worker.runner.cut == [job])
    # It has a new name by now, and the job is anybody's.
    await until(lambda: worker.runner.begun == [job, job])
    worker.runner.may_end.set()
    await in_state(bot.store, job, Status.DELIVERED)
    assert worker.runner.told == [job]


async def taken_again_in_mid_cut(bot: Process, worker: Process, new_job: NewJobs) -> int:
    """Have the worker take its own job again while its old run cannot end; return the job."""
    worker.may_quiet.clear()
    job = (await bot.queue.submit(new_job())).job.id
    await until(lambda: worker.runner.begun == [job])
    await think_it_dead(worker, by=bot)
    async with asyncio.timeout(20):
        while (await bot.store.get(job)).attempts < 2:
            await asyncio.sleep(0.01)
    return job


async def test_a_job_that_is_back_begins_when_its_old_run_is_over(
    pair: tuple[Process, Process], new_job: NewJobs
) -> None:
    bot, worker = pair
    job = await taken_again_in_mid_cut(bot, worker, new_job)
    await asyncio.sleep(0.5)
    assert (worker.runner.begun, worker.runner.cut) == ([job], [job])
    worker.may_quiet.set()
    await until(lambda: worker.runner.begun == [job, job])
    # The end of the old run has not touched the new one, which no beat gives back.
    await asyncio.sleep(0.5)
    assert (await bot.store.get(job)).attempts == 2
    await bot.queue.cancel(job, 1)
    assert (worker.runner.begun, worker.runner.cut) == ([job, job], [job, job])


async def test_a_picture_of_the_old_run_is_told_and_not_painted_again(
    pair: tuple[Process, Process], new_job: NewJobs
) -> None:
    bot, worker = pair
    job = await taken_again_in_mid_cut(bot, worker, new_job)
    await worker.store.mark_painted(job, OUTCOME)
    worker.may_quiet.set()
    await in_state(bot.store, job, Status.DELIVERED)
    await until_nothing_is_carried(bot.store, [job])
    assert (worker.runner.begun, worker.runner.told) == ([job], [job])


@pytest.mark.parametrize("by_bot", [True, False])
async def test_what_a_silent_worker_has_left_untold_is_told_once(
    pair: tuple[Process, Process], new_job: NewJobs, monkeypatch: pytest.MonkeyPatch, by_bot: bool
) -> None:
    bot, worker = pair

    async def none() -> None: ...

    monkeypatch.setattr((worker if by_bot else bot).store, "take_untold", none)
    worker.runner.may_tell.clear()
    worker.runner.may_end.set()
    job = (await bot.queue.submit(new_job())).job.id
    await until(lambda: worker.runner.telling == [job])
    await think_it_dead(worker, by=bot)
    if not by_bot:
        async with asyncio.timeout(10):
            while not await worker.store.claim(job):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        assert worker.runner.telling == [job]
        worker.runner.may_tell.set()
    await in_state(bot.store, job, Status.DELIVERED)
    await until_nothing_is_carried(bot.store, [job])
    assert (bot.runner.told, worker.runner.told) == (([job], []) if by_bot else ([], [job]))
    worker.runner.may_tell.set()


async def test_a_worker_that_closes_has_its_job_done_by_another(
    pair: tuple[Process, Process], new_job: NewJobs, database_url: str
) -> None:
    bot, worker = pair
    job = (await bot.queue.submit(new_job())).job.id
    await until(lambda: worker.runner.begun == [job])
    async with opened(database_url) as store:
        assert isinstance(store, SharedStore)
        other = process(store, 1)
        await other.queue.start()
        await worker.queue.close()
        await until(lambda: other.runner.begun == [job], 5.0)
        assert ((await store.get(job)).attempts, (await store.get(job)).worker_losses) == (1, 0)
        other.runner.may_end.set()
        await in_state(store, job, Status.DELIVERED)
        await other.queue.close()
