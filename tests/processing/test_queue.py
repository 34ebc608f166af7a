from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from ml_models.registry import ALGORITHMS
from processing.job import (
    Failure,
    Job,
    JobEndedError,
    NewJob,
    NothingToKeepError,
    QueueFullError,
    Status,
    UnknownJobError,
    UserQueueFullError,
)
from processing.lanes import Lane
from processing.queue.base import JobQueue
from processing.queue.local import LocalQueue
from processing.store import Store
from tests.processing.conftest import BOTH_ENGINES, NewJobs, in_state, make_queue
from tests.processing.fakes import OUTCOME, FakeRunner
from tests.toy_algorithm import QUICK
from tests.waiting import until

ENGINES = BOTH_ENGINES


@pytest.fixture
def runner(store: Store) -> FakeRunner:
    return FakeRunner(store)


@pytest.fixture
async def queue(store: Store, runner: FakeRunner) -> AsyncIterator[LocalQueue]:
    queue = make_queue(store, runner, slots=2, queue_limit=6, user_queue_limit=3)
    await queue.start()
    yield queue
    await queue.close()


async def test_what_is_made_is_a_queue(store: Store, runner: FakeRunner) -> None:
    queue: JobQueue = make_queue(store, runner)
    assert queue


async def test_as_many_run_as_there_are_slots_in_fair_order(
    queue: LocalQueue, runner: FakeRunner, new_job: NewJobs
) -> None:
    orders = [new_job(user_id) for user_id in (1, 1, 1, 2, 3)]
    first, second = [(await queue.submit(order)).job.id for order in orders[:2]]
    await until(lambda: len(runner.begun) == 2)
    third, of_two, of_three = [(await queue.submit(order)).job.id for order in orders[2:]]
    await asyncio.sleep(0.05)
    assert runner.begun == [first, second]
    assert [(await queue.submit(order)).position for order in orders] == [0, 0, 3, 1, 2]
    await queue.cancel(first, 1)  # its user still has one running, so the others go first
    await until(lambda: len(runner.begun) == 3)
    await queue.cancel(of_two, 2)
    await until(lambda: len(runner.begun) == 4)
    assert runner.begun == [first, second, of_two, of_three]
    runner.may_end.set()
    await until(lambda: len(runner.told) == 3)
    assert runner.begun[-1] == third
    assert (await queue.counts())[Status.DELIVERED] == 3


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(ALGORITHMS, QUICK.key, QUICK)
    return QUICK.key


async def test_an_instant_job_has_a_slot_while_paintings_run_and_wait(
    queue: LocalQueue, runner: FakeRunner, new_job: NewJobs, instant: str
) -> None:
    paintings = [(await queue.submit(new_job(user_id))).job.id for user_id in (1, 2, 3)]
    await until(lambda: len(runner.begun) == 2)
    first = await queue.submit(new_job(1, algorithm=instant))
    second = await queue.submit(new_job(4, algorithm=instant))
    assert [(ticket.position, ticket.follows) for ticket in (first, second)] == [(0, False), (1, False)]
    await until(lambda: len(runner.begun) == 3)
    await asyncio.sleep(0.05)
    assert runner.begun == [*paintings[:2], first.job.id]
    await queue.cancel(first.job.id, 1)
    await until(lambda: len(runner.begun) == 4)
    assert runner.begun[-1] == second.job.id
    await queue.cancel(paintings[0], 1)
    await until(lambda: len(runner.begun) == 5)
    assert runner.begun[-1] == paintings[2]


async def test_everybodys_first_instant_job_goes_before_anybodys_second(
    queue: LocalQueue, runner: FakeRunner, new_job: NewJobs, instant: str
) -> None:
    paintings = [(await queue.submit(new_job(user_id))).job.id for user_id in (1, 2)]
    orders = [new_job(user_id, algorithm=instant) for user_id in (1, 1, 3)]
    first, second, other = [(await queue.submit(order)).job.id for order in orders]
    await until(lambda: len(runner.begun) == 3)
    # No painting waits for the slot that this frees.
    await queue.cancel(paintings[1], 2)
    await until(lambda: len(runner.begun) == 4)
    await queue.cancel(first, 1)
    await until(lambda: len(runner.begun) == 5)
    assert runner.begun[2:] == [first, other, second]


async def test_a_painting_gets_the_next_slot_that_is_free_however_many_instant_jobs_wait(
    queue: LocalQueue, runner: FakeRunner, new_job: NewJobs, instant: str
) -> None:
    at_once = [(await queue.submit(new_job(user_id, algorithm=instant))).job.id for user_id in (1, 2, 3)]
    await until(lambda: runner.begun == at_once)
    waiting = (await queue.submit(new_job(4, algorithm=instant))).job.id
    painting = (await queue.submit(new_job(5))).job.id
    await queue.cancel(at_once[0], 1)
    await until(lambda: len(runner.begun) == 4)
    assert runner.begun[-1] == painting
    await queue.cancel(at_once[1], 2)
    await until(lambda: len(runner.begun) == 5)
    assert runner.begun[-1] == waiting


async def test_neither_kind_starves_the_other_in_a_crowd(store: Store, new_job: NewJobs, instant: str) -> None:
    class InTurn(FakeRunner):
        """Ends the runs one by one, in the order in which they began."""

        ends = asyncio.Semaphore(0)

        async def run(self, job: Job) -> None:
            self.begun.append(job.id)
            await self.ends.acquire()
            await store.mark_painted(job.id, OUTCOME)

    for user_id in range(20):
        await store.add(new_job(user_id, algorithm=instant), queue_limit=99, user_queue_limit=9)
    runner = InTurn(store)
    queue = make_queue(store, runner, slots=2, queue_limit=99)
    await queue.start()
    try:
        await until(lambda: len(runner.begun) == 3)
        paintings = [(await queue.submit(new_job(user_id))).job.id for user_id in range(20, 24)]
        for begun in range(4, 25):
            runner.ends.release()
            await until(lambda begun=begun: len(runner.begun) == begun)
    finally:
        await queue.close()
    # Each painting waits for the runs that end next and for no other; the crowd is served in between.
    assert [runner.begun.index(job_id) for job_id in paintings] == [3, 4, 6, 7]


async def test_a_ticket_tells_place_and_time(queue: LocalQueue, runner: FakeRunner, new_job: NewJobs) -> None:
    first = new_job(1, algorithm="nst_gatys")
    for order in (first, new_job(2, algorithm="nst_gatys")):
        await queue.submit(order)
    await until(lambda: len(runner.begun) == 2)
    ticket = await queue.submit(new_job(3, algorithm="nst_gatys"))
    assert (ticket.position, ticket.job.status) == (1, Status.QUEUED)
    run_s = ALGORITHMS["nst_gatys"].seconds_at_512 * (128 / 512) ** 2
    assert ticket.seconds == pytest.approx(2 * run_s, abs=1.0)
    running = await queue.submit(first)
    assert (running.position, running.job.status) == (0, Status.RUNNING)
    assert running.seconds == pytest.approx(run_s, abs=1.0)


async def test_a_job_for_a_free_slot_begins_at_once(queue: LocalQueue, new_job: NewJobs) -> None:
    tickets = [await queue.submit(new_job(user_id)) for user_id in (1, 2, 3)]
    assert [ticket.position for ticket in tickets] == [0, 0, 1]


async def test_the_same_origin_is_one_job_and_one_line_in_the_log(queue: LocalQueue, new_job: NewJobs) -> None:
    new = new_job(origin="update:7")
    with capture_logs() as logs:
        first, again = await queue.submit(new), await queue.submit(new)
        swapped = [await queue.replace(first.job.id, 1, new_job(1, origin="swap:7")) for _ in range(2)]
    assert first.job.id == again.job.id
    old, other = first.job.id, swapped[0].job.id
    assert [line for line in logs if line["event"] == "a job is accepted"] == [
        {"event": "a job is accepted", "log_level": "info", "job_id": old, "origin": "update:7"},
        {"event": "a job is accepted", "log_level": "info", "job_id": other, "origin": "swap:7", "replaces": old},
    ]


async def test_a_full_queue_is_said_at_once(queue: LocalQueue, new_job: NewJobs) -> None:
    for user_id in (1, 1, 1, 2, 2):
        await queue.submit(new_job(user_id))
    with pytest.raises(UserQueueFullError, match="3 jobs of this user"):
        await queue.submit(new_job(1))
    await queue.submit(new_job(3))
    with pytest.raises(QueueFullError, match="6 jobs wait or run"):
        await queue.submit(new_job(4))


async def test_cancel_stops_the_work_and_frees_the_slot(
    queue: LocalQueue, runner: FakeRunner, new_job: NewJobs
) -> None:
    jobs = [(await queue.submit(new_job(user_id))).job for user_id in (1, 2, 3)]
    await until(lambda: len(runner.begun) == 2)
    began = time.monotonic()
    cancelled = await queue.cancel(jobs[0].id, 1)
    assert time.monotonic() - began < 2.0
    assert cancelled.status is Status.CANCELLED
    assert runner.cut == [jobs[0].id]
    await until(lambda: jobs[2].id in runner.begun)
    assert (await queue.cancel(jobs[0].id, 1)) == cancelled
    assert runner.told == []


async def test_cancel_of_a_waiting_job_keeps_it_from_running(
    queue: LocalQueue, runner: FakeRunner, new_job: NewJobs
) -> None:
    jobs = [(await queue.submit(new_job(user_id))).job for user_id in (1, 2, 3)]
    await until(lambda: len(runner.begun) == 2)
    await queue.cancel(jobs[2].id, 3)
    runner.may_end.set()
    await until(lambda: len(runner.told) == 2)
    assert jobs[2].id not in runner.begun


async def test_cancel_right_after_submit(queue: LocalQueue, runner: FakeRunner, new_job: NewJobs) -> None:
    for pauses in range(12):  # at whatever moment of being taken up it comes
        job = (await queue.submit(new_job())).job
        for _ in range(pauses):
            await asyncio.sleep(0)
        assert (await queue.cancel(job.id, 1)).status is Status.CANCELLED
    await asyncio.sleep(0.05)
    assert runner.begun == runner.cut
    assert not queue._running


async def test_many_cancels_at_once_agree(queue: LocalQueue, runner: FakeRunner, new_job: NewJobs) -> None:
    job = (await queue.submit(new_job())).job
    await until(lambda: runner.begun == [job.id])
    results = await asyncio.gather(*(queue.cancel(job.id, 1) for _ in range(5)))
    assert {result.status for result in results} == {Status.CANCELLED}
    assert runner.cut == [job.id]


async def test_replacing_a_running_job_stops_its_work_and_needs_no_room(
    queue: LocalQueue, store: Store, runner: FakeRunner, new_job: NewJobs
) -> None:
    jobs = [(await queue.submit(new_job(user_id))).job for user_id in (1, 2, 3, 4, 5, 6)]
    await until(lambda: len(runner.begun) == 2)
    with pytest.raises(QueueFullError):
        await queue.submit(new_job(1))
    began = time.monotonic()
    ticket = await queue.replace(jobs[0].id, 1, new_job(1, origin="swap:1"))
    assert time.monotonic() - began < 2.0
    assert runner.cut == [jobs[0].id]
    assert (await queue.job(jobs[0].id, 1)).status is Status.CANCELLED
    assert (await queue.active_jobs(1)) == [ticket.job]
    assert (ticket.job.origin, ticket.position) == ("swap:1", 4)  # one slot is free for the first who waits
    runner.may_end.set()
    await in_state(store, ticket.job.id, Status.DELIVERED)
    assert jobs[0].id not in runner.told


async def test_replacing_a_waiting_job_keeps_it_from_running(
    queue: LocalQueue, runner: FakeRunner, new_job: NewJobs
) -> None:
    jobs = [(await queue.submit(new_job(user_id))).job for user_id in (1, 2, 3)]
    await until(lambda: len(runner.begun) == 2)
    ticket = await queue.replace(jobs[2].id, 3, new_job(3))
    runner.may_end.set()
    await until(lambda: len(runner.told) == 3)
    assert set(runner.begun) == {jobs[0].id, jobs[1].id, ticket.job.id}
    assert runner.cut == []


async def test_replacing_twice_for_the_same_origin_is_once(queue: LocalQueue, new_job: NewJobs) -> None:
    old = (await queue.submit(new_job(1))).job
    new = new_job(1, origin="swap:1")
    tickets = await asyncio.gather(*(queue.replace(old.id, 1, new) for _ in range(3)))
    assert len({ticket.job.id for ticket in tickets}) == 1
    assert [job.id for job in await queue.active_jobs(1)] == [tickets[0].job.id]


@pytest.mark.parametrize("status", [Status.PAINTED, Status.CANCELLED])
async def test_a_job_that_has_ended_is_not_replaced(
    queue: LocalQueue, store: Store, runner: FakeRunner, new_job: NewJobs, status: Status
) -> None:
    runner.may_tell.clear()
    job = (await queue.submit(new_job(1))).job
    if status is Status.CANCELLED:
        await queue.cancel(job.id, 1)
    runner.may_end.set()
    await in_state(store, job.id, status)
    with pytest.raises(JobEndedError):
        await queue.replace(job.id, 1, new_job(1))
    assert (await queue.job(job.id, 1)).status is status
    assert sum((await queue.counts()).values()) == 1


async def test_a_replaced_job_whose_user_is_forgotten_at_once_is_stopped_too(
    queue: LocalQueue, store: Store, runner: FakeRunner, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = store.replace

    async def replace_and_forget(job_id: int, user_id: int, new: NewJob) -> tuple[Job, bool]:
        replaced = await replace(job_id, user_id, new)
        await store.forget(user_id, "dialogue")
        return replaced

    monkeypatch.setattr(store, "replace", replace_and_forget)
    job = (await queue.submit(new_job())).job
    await until(lambda: runner.begun == [job.id])
    await queue.replace(job.id, 1, new_job())
    assert runner.cut == [job.id]


async def test_nobody_replaces_the_job_of_another(queue: LocalQueue, new_job: NewJobs) -> None:
    job = (await queue.submit(new_job(1))).job
    for job_id in (job.id, 999):
        with pytest.raises(UnknownJobError):
            await queue.replace(job_id, 2, new_job(2))
    assert (await queue.job(job.id, 1)).status.active
    assert await queue.active_jobs(2) == []


async def test_a_picture_that_is_painted_is_sent_all_the_same(
    queue: LocalQueue, store: Store, runner: FakeRunner, new_job: NewJobs
) -> None:
    runner.may_tell.clear()
    runner.may_end.set()
    job = (await queue.submit(new_job())).job
    await in_state(store, job.id, Status.PAINTED)
    assert (await queue.cancel(job.id, 1)).status is Status.PAINTED
    runner.may_tell.set()
    await until(lambda: runner.told == [job.id])


async def test_only_the_owner_reaches_a_job(queue: LocalQueue, new_job: NewJobs) -> None:
    job = (await queue.submit(new_job(1))).job
    for attempt in (queue.cancel(job.id, 2), queue.job(job.id, 2), queue.cancel(999, 1), queue.job(999, 1)):
        with pytest.raises(UnknownJobError):
            await attempt
    assert (await queue.job(job.id, 1)).status.active
    assert (await queue.cancel(job.id, 1)).status is Status.CANCELLED


async def test_telling_a_user_holds_no_slot(queue: LocalQueue, runner: FakeRunner, new_job: NewJobs) -> None:
    runner.may_tell.clear()
    runner.may_end.set()
    for user_id in range(1, 7):
        await queue.submit(new_job(user_id))
    await until(lambda: len(runner.begun) == 6)
    assert runner.told == []
    runner.may_tell.set()


async def test_a_restart_takes_everything_up_again(
    store: Store, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processing.queue.shared.BEAT_S", 0.1)
    monkeypatch.setattr("processing.queue.shared.STALLED_AFTER_S", 1.0)
    ids = [(await store.add(new_job(user), queue_limit=9, user_queue_limit=9))[0].id for user in range(1, 6)]
    running, painted, failed, waiting, cancelled = ids
    await store.mark_cancelled(cancelled)
    assert [job.id for _ in range(3) if (job := await store.take_next())] == [running, painted, failed]
    await store.mark_painted(painted, OUTCOME)
    await store.mark_failed(failed, Failure("timeout", {"limit_s": 1}))
    runner = FakeRunner(store)
    runner.may_end.set()
    queue = make_queue(store, runner)
    await queue.start()
    await until(lambda: len(runner.told) == 4)
    assert sorted(runner.begun) == [running, waiting]
    assert sorted(runner.told) == [running, painted, failed, waiting]
    assert (await store.get(running)).attempts == 2
    await queue.close()


async def test_close_cuts_what_runs_and_keeps_it_stored(store: Store, runner: FakeRunner, new_job: NewJobs) -> None:
    queue = make_queue(store, runner)
    await queue.start()
    running = (await queue.submit(new_job(1))).job
    await queue.submit(new_job(2))
    await until(lambda: runner.begun == [running.id])
    await queue.close()
    assert runner.stopped
    assert runner.cut == [running.id]
    assert (await store.counts())[Status.QUEUED] == 2
    assert (await store.get(running.id)).attempts == 0
    assert runner.told == []


async def test_close_lets_jobs_end_within_the_grace_and_begins_no_other(
    store: Store, runner: FakeRunner, new_job: NewJobs
) -> None:
    queue = LocalQueue(store, runner, slots=1, queue_limit=9, user_queue_limit=9)
    await queue.start()
    running, waiting = [(await queue.submit(new_job(user_id))).job for user_id in (1, 2)]
    await until(lambda: runner.begun == [running.id])
    closing = asyncio.create_task(queue.close(30.0))
    await asyncio.sleep(0.1)
    assert not runner.stopped
    runner.may_end.set()
    async with asyncio.timeout(5):
        await closing
    assert (runner.begun, runner.told, runner.cut) == ([running.id], [running.id], [])
    assert (await store.get(running.id)).status is Status.DELIVERED
    assert (await store.get(waiting.id)).status is Status.QUEUED


async def test_close_gives_back_what_has_not_ended_within_the_grace(
    store: Store, runner: FakeRunner, new_job: NewJobs
) -> None:
    queue = LocalQueue(store, runner, slots=1, queue_limit=9, user_queue_limit=9)
    await queue.start()
    job = (await queue.submit(new_job(1))).job
    await until(lambda: runner.begun == [job.id])
    began = time.monotonic()
    await queue.close(0.3)
    assert 0.3 <= time.monotonic() - began < 3.0
    assert runner.cut == [job.id]
    given_back = await store.get(job.id)
    assert (given_back.status, given_back.attempts) == (Status.QUEUED, 0)


async def test_close_lets_a_message_that_is_being_sent_end(store: Store, runner: FakeRunner, new_job: NewJobs) -> None:
    queue = make_queue(store, runner)
    runner.may_tell.clear()
    runner.may_end.set()
    await queue.start()
    job = (await queue.submit(new_job(1))).job
    await until(lambda: runner.telling == [job.id])
    asyncio.get_running_loop().call_later(0.2, runner.may_tell.set)
    await queue.close()
    assert (await store.get(job.id)).status is Status.DELIVERED


async def test_a_store_that_fails_for_a_while_stops_nothing(
    queue: LocalQueue, store: Store, runner: FakeRunner, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_next, failures = store.take_next, [OSError("no space left"), OSError("no space left")]

    async def sometimes(lane: Lane) -> Job | None:
        if failures:
            raise failures.pop()
        return await take_next(lane)

    monkeypatch.setattr(store, "take_next", sometimes)
    monkeypatch.setattr("processing.queue.local.STORE_PAUSE_S", 0.01)
    job = (await queue.submit(new_job())).job
    await until(lambda: runner.begun == [job.id])


async def test_only_its_owner_keeps_what_a_running_job_shows(
    queue: LocalQueue, store: Store, runner: FakeRunner, new_job: NewJobs
) -> None:
    jobs = [(await queue.submit(new_job(user_id))).job.id for user_id in (1, 2, 3)]
    await until(lambda: len(runner.begun) == 2)
    running, _, waiting = jobs
    with pytest.raises(UnknownJobError):
        await queue.keep(running, 2)
    with pytest.raises(UnknownJobError):
        await queue.keep(77, 1)
    with pytest.raises(NothingToKeepError):
        await queue.keep(running, 1)
    runner.shown.add(running)
    await queue.set_status_message(running, 5)
    await store.set_status_message(running, 5, has_picture=True)
    with pytest.raises(NothingToKeepError):
        await queue.keep(waiting, 3)
    assert [await queue.keep(running, 1) for _ in range(2)] == [True, False]
    await until(lambda: set(runner.kept) == {running})
    runner.may_end.set()
    await until(lambda: len(runner.told) == 3)
    with pytest.raises(JobEndedError):
        await queue.keep(running, 1)


async def test_nothing_of_a_cancelled_job_is_kept(queue: LocalQueue, runner: FakeRunner, new_job: NewJobs) -> None:
    job_id = (await queue.submit(new_job(1))).job.id
    await until(lambda: runner.begun == [job_id])
    runner.shown.add(job_id)
    await queue.cancel(job_id, 1)
    with pytest.raises(JobEndedError):
        await queue.keep(job_id, 1)
    assert runner.kept == []
