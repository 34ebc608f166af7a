from __future__ import annotations

import asyncio
import errno
import stat
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ml_models.contract import Progress, Stage, Style, StyleTransferRequest, StyleTransferResult
from ml_models.errors import (
    DownloadError,
    JobTimeoutError,
    StyleTransferError,
    UnreadablePictureError,
    WeightsError,
    WorkerLostError,
)
from ml_models.registry import ALGORITHMS, Algorithm
from processing import folders as folders_module
from processing import persistence, teller
from processing import runner as runner_module
from processing.folders import JobFolders
from processing.job import Failure, Job, NothingToKeepError, NotYetError, Outcome, Picture, RefusedError, Status
from processing.pool import OnProgress, Painted
from processing.runner import ATTEMPTS_ALLOWED, Runner
from processing.store import Store, StoreError
from reporting.metrics import Metrics
from tests.processing.conftest import BOTH_ENGINES, NewJobs
from tests.toy_algorithm import QUICK, TOY
from tests.waiting import until

ENGINES = BOTH_ENGINES
PAINTED = Painted(StyleTransferResult(b"png", 128, 85, 1.5, "toy", {}), b"jpeg")


@dataclass
class Pictures:
    """Gives the file_id back as the picture; first raises what the test laid out."""

    errors: list[Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def fetch(self, picture: Picture) -> bytes:
        self.asked.append(picture.file_id)
        if self.errors:
            raise self.errors.pop(0)
        return picture.file_id.encode()


@dataclass
class FakePool:
    errors: list[Exception] = field(default_factory=list)
    requests: list[StyleTransferRequest] = field(default_factory=list)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    stops: list[asyncio.Event] = field(default_factory=list)
    starts: list[Algorithm | None] = field(default_factory=list)
    preview: bytes | None = None

    async def run(
        self,
        algorithm: Algorithm,
        request: StyleTransferRequest,
        on_progress: OnProgress,
        timeout_s: float,
        stop: asyncio.Event,
        start: Algorithm | None,
    ) -> Painted:
        assert (algorithm, timeout_s) == (TOY, 60.0)
        self.requests.append(request)
        self.starts.append(start)
        self.stops.append(stop)
        on_progress(Progress(0.5, Stage.PAINTING, self.preview))
        if self.errors:
            raise self.errors.pop(0)
        await asyncio.wait(
            [asyncio.create_task(event.wait()) for event in (self.may_end, stop)], return_when=asyncio.FIRST_COMPLETED
        )
        on_progress(Progress(0.99, Stage.FINISHING))
        return replace(PAINTED, result=replace(PAINTED.result, stopped=stop.is_set()))


@dataclass
class Chat:
    """A delivery that remembers.

    `refusals` is how often Telegram cannot be reached first, and `wait_s` how long it asks to wait then; `refused` are
    the ways that it never takes; `gone` is whether there is nobody to reach.
    """

    refusals: int = 0
    wait_s: float = 0.0
    refused: tuple[str, ...] = ()
    gone: bool = False
    shown: list[tuple[int, float]] = field(default_factory=list)
    delivered: list[Job] = field(default_factory=list)
    told: list[Job] = field(default_factory=list)
    reported: list[BaseException] = field(default_factory=list)
    raising: bool = False
    store: Store | None = None
    cleared: list[Status] = field(default_factory=list)
    said_late: int = 0

    def show(self, job: Job, progress: Progress) -> None:
        self.shown.append((job.id, progress.fraction))

    async def deliver(self, job: Job) -> bool:
        return self._reached("deliver", self.delivered, job)

    async def tell_failure(self, job: Job) -> bool:
        return self._reached("tell_failure", self.told, job)

    async def late(self, job: Job) -> None:
        self.said_late += 1
        if self.raising:
            raise OSError("no network")

    async def clear(self, job: Job) -> None:
        assert self.store
        self.cleared.append((await self.store.get(job.id)).status)

    async def report(self, job: Job, error: BaseException) -> None:
        self.reported.append(error)
        if self.raising:
            raise OSError("no network")

    def _reached(self, way: str, sent: list[Job], job: Job) -> bool:
        if self.refusals:
            self.refusals -= 1
            if self.raising:
                raise OSError("no network")
            raise NotYetError("no network", wait_s=self.wait_s)
        if way in self.refused:
            raise RefusedError("it is too large")
        sent.append(job)
        return not self.gone


@dataclass
class House:
    store: Store
    pool: FakePool
    pictures: Pictures
    chat: Chat
    folders: JobFolders
    runner: Runner
    metrics: Metrics

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    async def take(self, new_job: NewJobs, **fields: object) -> Job:
        await self.store.add(new_job(**fields), queue_limit=9, user_queue_limit=9)
        job = await self.store.take_next()
        assert job
        return job

    async def carry(self, job: Job) -> Job:
        """Run and finish, as a queue does."""
        await self.runner.run(job)
        await self.runner.finish(job)
        return await self.store.get(job.id)


@pytest.fixture
async def house(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setitem(ALGORITHMS, "toy", TOY)
    monkeypatch.setattr(runner_module, "FETCH_PAUSES_S", (0.01, 0.01, 0.01))
    for module in (persistence, teller):
        monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    pool, pictures, chat, folders = FakePool(), Pictures(), Chat(store=store), JobFolders(tmp_path / "data")
    pool.may_end.set()
    metrics = Metrics()
    limits = {"timeout_s": 60.0, "max_megapixels": 7, "memory_mb": 500}
    runner = Runner(store, pool, pictures, chat, folders, **limits, device="cpu", metrics=metrics)
    return House(store, pool, pictures, chat, folders, runner, metrics)


async def test_a_job_is_painted_stored_and_delivered_once(house: House, new_job: NewJobs) -> None:
    job = await house.take(new_job)
    await house.runner.run(job)
    painted = await house.store.get(job.id)
    assert (painted.status, painted.outcome) == (Status.PAINTED, Outcome(128, 85, 1.5, "toy"))
    assert house.chat.delivered == []
    await house.runner.finish(job)
    await house.runner.finish(job)
    assert (await house.store.get(job.id)).status is Status.DELIVERED
    assert house.chat.delivered == [painted]
    # Its traces go only after the store knows that it was delivered.
    assert house.chat.cleared == [Status.DELIVERED]
    assert house.chat.shown == [(job.id, 0.5), (job.id, 0.99)]


async def test_the_request_is_what_the_user_ordered(house: House, new_job: NewJobs) -> None:
    new = new_job()
    order = replace(new.order, strength=0.5, stroke_scale=2.0, keep_colours=True, seed=5)
    await house.store.add(replace(new, order=order), queue_limit=1, user_queue_limit=1)
    job = await house.store.take_next()
    assert job
    await house.runner.run(job)
    assert house.pool.requests == [
        StyleTransferRequest(b"content", (Style(b"style", 2.0),), 128, 0.5, 2.0, True, 5, None, None, "cpu", 7, 500)
    ]


async def test_what_starts_from_a_draft_is_run_with_its_algorithm(
    house: House, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALGORITHMS, QUICK.key, QUICK)
    new = new_job()
    for start in (QUICK.key, None, "gone"):
        order = replace(new.order, start=start)
        await house.store.add(replace(new, origin=str(start), order=order), queue_limit=1, user_queue_limit=1)
        job = await house.store.take_next()
        assert job
        await house.runner.run(job)
    assert house.pool.starts == [QUICK, None]
    failed = await house.store.get(job.id)
    assert failed.failure
    assert failed.failure.code == "invalid_request"


async def test_pictures_are_stored_whole_and_private(house: House, new_job: NewJobs) -> None:
    job = await house.take(new_job)
    await house.runner.run(job)
    folder = house.folders.folder(job.id)
    found = {path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}
    assert found == {"picture.png": (b"png", 0o600), "photo.jpg": (b"jpeg", 0o600)}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("error", [None, ZeroDivisionError("broken"), WorkerLostError("killed")])
async def test_a_job_whose_user_is_forgotten_meanwhile_ends_without_a_trace(
    house: House, new_job: NewJobs, error: Exception | None
) -> None:
    house.pool.may_end.clear()
    house.pool.errors = [error] if error else []
    job = await house.take(new_job, user_id=5)
    fetch = house.pictures.fetch

    async def forgotten(picture: Picture) -> bytes:
        await house.store.forget(5, "dialogue")
        house.pool.may_end.set()
        return await fetch(picture)

    house.pictures.fetch = forgotten  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        await house.runner.run(job)
        await house.runner.finish(job)
    assert await house.folders.kept() == {}
    assert (house.chat.delivered, house.chat.told, house.chat.reported) == ([], [], [])


# --- stop and keep


async def test_a_job_that_its_owner_stops_is_delivered_with_where_it_was(house: House, new_job: NewJobs) -> None:
    house.pool.may_end.clear()
    house.pool.preview = b"jpeg"
    job = await house.take(new_job)
    with pytest.raises(NothingToKeepError):
        house.runner.keep(job.id)
    carrying = asyncio.create_task(house.carry(job))
    await until(lambda: len(house.pool.stops) == 1)
    assert [house.runner.keep(job.id) for _ in range(2)] == [True, False]
    delivered = await carrying
    assert (delivered.status, delivered.outcome) == (Status.DELIVERED, Outcome(128, 85, 1.5, "toy", stopped_at=0.5))
    with pytest.raises(NothingToKeepError):
        house.runner.keep(job.id)
    # It says nothing about how long a whole run takes.
    assert await house.store.recent_runs("toy", 9) == []


async def test_before_the_first_picture_there_is_nothing_to_keep(house: House, new_job: NewJobs) -> None:
    house.pool.may_end.clear()
    job = await house.take(new_job)
    carrying = asyncio.create_task(house.carry(job))
    await until(lambda: len(house.pool.stops) == 1)
    with pytest.raises(NothingToKeepError):
        house.runner.keep(job.id)
    house.pool.may_end.set()
    outcome = (await carrying).outcome
    assert outcome
    assert outcome.stopped_at is None


async def test_a_wish_dies_with_its_worker_and_the_run_begins_anew(house: House, new_job: NewJobs) -> None:
    house.pool.preview = b"jpeg"
    house.pool.errors = [WorkerLostError("died")]
    job = await house.carry(await house.take(new_job))
    first, second = house.pool.stops
    assert first is not second
    assert (job.status, job.outcome) == (Status.DELIVERED, Outcome(128, 85, 1.5, "toy"))


# --- what goes wrong on the way


async def test_a_picture_that_is_wrong_is_told_to_its_user_alone(house: House, new_job: NewJobs) -> None:
    house.pool.errors = [UnreadablePictureError("broken", which=Path("content"))]
    job = await house.carry(await house.take(new_job))
    assert job.status is Status.FAILED
    assert job.failure
    assert (job.failure.code, job.failure.details) == ("unreadable", {"which": "content"})
    assert job.told_at is not None
    assert [told.id for told in house.chat.told] == [job.id]
    assert house.chat.reported == []
    await house.runner.finish(job)
    assert len(house.chat.told) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobTimeoutError("", limit_s=5), "timeout"),
        (WeightsError("missing"), "weights"),
        (StyleTransferError("ZeroDivisionError: division by zero"), "failed"),
        (RuntimeError("a fault of the bot"), "failed"),
    ],
)
async def test_what_is_not_the_users_fault_is_reported(
    house: House, new_job: NewJobs, error: Exception, code: str
) -> None:
    house.pool.errors = [error]
    house.chat.raising = True  # a report that cannot be sent changes nothing for the user
    job = await house.carry(await house.take(new_job))
    assert job.failure
    assert job.failure.code == code
    assert house.chat.reported == [error]
    assert len(house.chat.told) == 1


async def test_a_notice_holds_no_slot_and_comes_after_the_users_sentence(
    house: House, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_before: list[int] = []
    may_send = asyncio.Event()

    async def slow(job: Job, error: BaseException) -> None:
        told_before.append(len(house.chat.told))
        await may_send.wait()

    monkeypatch.setattr(house.chat, "report", slow)
    house.pool.errors = [RuntimeError("a fault of the bot")]
    job = await house.take(new_job)
    await asyncio.wait_for(house.runner.run(job), 5.0)
    assert told_before == []
    finishing = asyncio.create_task(house.runner.finish(job))
    await until(lambda: told_before == [1])
    assert (await house.store.get(job.id)).told_at is not None
    may_send.set()
    await finishing


async def test_a_user_who_cannot_be_reached_keeps_no_error_from_the_admin(house: House, new_job: NewJobs) -> None:
    house.chat.refusals = 10**6
    house.pool.errors = [RuntimeError("a fault of the bot")]
    job = await house.take(new_job)
    await house.runner.run(job)
    finishing = asyncio.create_task(house.runner.finish(job))
    await until(lambda: len(house.chat.reported) == 1)
    house.runner.stop()
    await finishing
    assert len(house.chat.reported) == 1


async def test_a_lost_network_is_waited_out(house: House, new_job: NewJobs) -> None:
    house.pictures.errors = [DownloadError("reset"), DownloadError("reset")]
    job = await house.carry(await house.take(new_job))
    assert job.status is Status.DELIVERED
    assert len(house.pictures.asked) == 4


async def test_a_picture_that_telegram_does_not_give_fails_the_job(house: House, new_job: NewJobs) -> None:
    house.pictures.errors = [DownloadError("gone")] * 8
    job = await house.carry(await house.take(new_job))
    assert job.failure
    assert job.failure.code == "download"
    assert house.pool.requests == []


async def test_a_lost_worker_is_forgiven_once(house: House, new_job: NewJobs) -> None:
    house.pool.errors = [WorkerLostError("died")]
    job = await house.carry(await house.take(new_job))
    assert (job.status, job.worker_losses, job.attempts) == (Status.DELIVERED, 1, 1)
    assert house.chat.reported == []


async def test_a_second_lost_worker_fails_the_job_even_over_a_restart(house: House, new_job: NewJobs) -> None:
    job = await house.take(new_job)
    await house.store.count_worker_loss(job.id)
    await house.store.requeue_running()
    again = await house.store.take_next()
    assert again
    house.pool.errors = [WorkerLostError("died")]
    job = await house.carry(again)
    assert job.failure
    assert (job.failure.code, job.worker_losses) == ("worker_lost", 2)
    assert len(house.chat.reported) == 1


async def test_a_job_that_kills_the_whole_bot_does_not_loop(house: House, new_job: NewJobs) -> None:
    await house.store.add(new_job(), queue_limit=1, user_queue_limit=1)
    for _ in range(ATTEMPTS_ALLOWED):
        await house.store.take_next()
        await house.store.requeue_running()
    job = await house.store.take_next()
    assert job
    job = await house.carry(job)
    assert job.failure
    assert job.failure.code == "worker_lost"
    assert house.pool.requests == []


async def test_an_algorithm_that_is_gone_fails_in_words(
    house: House, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await house.take(new_job, algorithm="toy")
    monkeypatch.delitem(ALGORITHMS, "toy")
    job = await house.carry(job)
    assert job.failure
    assert (job.failure.code, job.failure.details) == ("invalid_request", {"field": "algorithm"})
    assert len(house.chat.told) == 1


async def test_a_full_disk_fails_in_words_and_leaves_nothing(
    house: House, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def fsync(handle: int) -> None:
        raise full

    monkeypatch.setattr("processing.folders.os.fsync", fsync)
    job = await house.carry(await house.take(new_job))
    assert job.failure
    assert job.failure.code == "failed"
    assert house.chat.reported == [full]
    assert not house.folders.folder(job.id).exists()


async def test_a_job_that_is_cancelled_while_the_disk_is_full_leaves_nothing(
    house: House, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    failing = asyncio.Event()

    async def mark_failed(job_id: int, failure: Failure) -> Job:
        failing.set()
        raise StoreError("the database fails: database or disk is full")

    monkeypatch.setattr("processing.folders.os.fsync", fsync)
    monkeypatch.setattr(house.store, "mark_failed", mark_failed)
    job = await house.take(new_job)
    running = asyncio.create_task(house.runner.run(job))
    await failing.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not house.folders.folder(job.id).exists()


async def test_a_store_that_fails_for_a_while_loses_no_outcome(
    house: House, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_painted, errors = house.store.mark_painted, [OSError("disk full")] * 3

    async def sometimes(job_id: int, outcome: Outcome) -> Job:
        if errors:
            raise errors.pop()
        return await mark_painted(job_id, outcome)

    monkeypatch.setattr(house.store, "mark_painted", sometimes)
    assert (await house.carry(await house.take(new_job))).status is Status.DELIVERED


# --- the way to the user


@pytest.mark.parametrize("raising", [False, True])
async def test_delivery_is_tried_until_it_succeeds(house: House, new_job: NewJobs, raising: bool) -> None:
    house.chat.refusals, house.chat.raising = 3, raising
    job = await house.carry(await house.take(new_job))
    assert job.status is Status.DELIVERED
    assert len(house.chat.delivered) == 1
    assert house.chat.said_late == 1


async def test_a_failure_is_told_until_it_is_heard(house: House, new_job: NewJobs) -> None:
    house.chat.refusals = 3
    house.pool.errors = [UnreadablePictureError("broken")]
    job = await house.carry(await house.take(new_job))
    assert job.told_at is not None
    assert len(house.chat.told) == 1


async def test_stopping_ends_the_waiting_between_two_tries(
    house: House, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teller, "FIRST_PAUSE_S", 60.0)
    house.chat.refusals = 99
    job = await house.take(new_job)
    await house.runner.run(job)
    finishing = asyncio.create_task(house.runner.finish(job))
    await until(lambda: house.chat.refusals < 99)
    house.runner.stop()
    await asyncio.wait_for(finishing, 1.0)
    assert (await house.store.get(job.id)).status is Status.PAINTED


async def test_as_long_is_waited_as_telegram_asks(house: House, new_job: NewJobs) -> None:
    house.chat.refusals, house.chat.wait_s = 1, 0.3
    job = await house.take(new_job)
    began = time.monotonic()
    assert (await house.carry(job)).status is Status.DELIVERED
    assert time.monotonic() - began >= 0.3
    assert house.value("bot_telegram_flood_wait_seconds_total") == pytest.approx(0.3)


async def test_the_admin_hears_once_of_an_outcome_that_is_late(
    house: House, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teller, "LATE_S", 0.02)
    house.chat.refusals = 5
    job = await house.carry(await house.take(new_job))
    assert job.status is Status.DELIVERED
    [reported] = house.chat.reported
    assert "tried on: no network" in str(reported)


async def test_a_picture_that_is_refused_for_good_is_a_failure_that_is_told(house: House, new_job: NewJobs) -> None:
    house.chat.refused = ("deliver",)
    house.chat.refusals = 2
    job = await house.carry(await house.take(new_job))
    assert job.status is Status.FAILED
    assert job.told_at is not None
    assert (len(house.chat.delivered), len(house.chat.told), len(house.chat.reported)) == (0, 1, 1)
    assert not house.folders.folder(job.id).exists()
    assert house.value("bot_jobs_ended_total", algorithm="toy", outcome="failed") == 1


async def test_a_sentence_that_is_refused_too_ends_the_job_with_a_notice(house: House, new_job: NewJobs) -> None:
    house.chat.refused = ("deliver", "tell_failure")
    job = await house.carry(await house.take(new_job))
    assert job.status is Status.FAILED
    assert job.told_at is not None
    assert (len(house.chat.told), len(house.chat.reported)) == (0, 1)


async def test_a_user_who_is_gone_ends_the_job_quietly(house: House, new_job: NewJobs) -> None:
    house.chat.gone = True
    job = await house.carry(await house.take(new_job))
    assert job.told_at is not None
    assert house.chat.reported == []
    assert house.value("bot_jobs_ended_total", algorithm="toy", outcome="unreachable") == 1


async def test_a_picture_that_is_gone_from_the_disk_is_a_failure_that_is_told(house: House, new_job: NewJobs) -> None:
    job = await house.take(new_job)
    await house.runner.run(job)
    house.folders.remove(job.id)
    await house.runner.finish(job)
    job = await house.store.get(job.id)
    assert job.status is Status.FAILED
    assert job.told_at is not None
    assert (len(house.chat.delivered), len(house.chat.told), len(house.chat.reported)) == (0, 1, 1)


# --- cancelling


async def test_a_job_that_was_cancelled_while_it_painted_leaves_nothing(house: House, new_job: NewJobs) -> None:
    job = await house.take(new_job)
    await house.store.mark_cancelled(job.id)
    await house.runner.run(job)
    await house.runner.finish(job)
    assert (await house.store.get(job.id)).status is Status.CANCELLED
    assert not house.folders.folder(job.id).exists()
    assert (house.chat.delivered, house.chat.told) == ([], [])


async def test_cancelling_a_run_ends_it_and_tells_nobody(house: House, new_job: NewJobs) -> None:
    house.pool.may_end.clear()
    job = await house.take(new_job)
    running = asyncio.create_task(house.runner.run(job))
    await until(lambda: bool(house.pool.requests))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await house.store.get(job.id)).status is Status.RUNNING


async def test_cancelling_while_the_picture_is_stored_stores_it_whole(
    house: House, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, writing = folders_module.write_durably, asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(path: Path, content: bytes) -> None:
        loop.call_soon_threadsafe(writing.set)
        time.sleep(0.05)
        write(path, content)

    monkeypatch.setattr(folders_module, "write_durably", slow)
    job = await house.take(new_job)
    running = asyncio.create_task(house.runner.run(job))
    await writing.wait()
    running.cancel()
    await asyncio.sleep(0)
    # By the word of another process, and by a look at the store.
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await house.store.get(job.id)).status is Status.PAINTED
    assert house.folders.photo(job.id).read_bytes() == b"jpeg"
