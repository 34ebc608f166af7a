"""Old pictures go, and nothing that somebody still waits for; whatever the clock does and however often it restarts."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from processing import retention as retention_module
from processing import store as store_module
from processing.folders import JobFolders
from processing.job import Failure, Outcome, Status
from processing.retention import Retention
from processing.store import Store
from tests.processing.conftest import NewJobs

HOURS = 24
START = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Clock:
    """The time of day, which somebody may set, and the seconds since the start, which nobody can."""

    day: datetime = START
    seconds: float = field(default=0.0)

    def now(self) -> datetime:
        return self.day

    def monotonic(self) -> float:
        return self.seconds

    def go_on(self, hours: float) -> None:
        self.day += timedelta(hours=hours)
        self.seconds += 3600 * hours


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(store_module, "_now", clock.now)
    return clock


@pytest.fixture
def folders(tmp_path: Path) -> JobFolders:
    return JobFolders(tmp_path)


@pytest.fixture
def retention(store: Store, folders: JobFolders, clock: Clock) -> Retention:
    return Retention(store, folders, hours=HOURS, clock=clock.monotonic, now=clock.now)


async def jobs_in_every_state(store: Store, new_job: NewJobs, folders: JobFolders) -> dict[str, int]:
    """One job a state, each with a folder of pictures.

    The names of those whose picture was sent begin with "ended", of those that will have none with "unpainted".
    """
    outcome = Outcome(512, 341, 2.5, "slim")
    ids = {}
    names = (
        "queued",
        "running",
        "painted",
        "ended delivered",
        "unpainted cancelled",
        "unpainted failed",
        "unpainted untold",
    )
    for user_id, name in enumerate(reversed(names)):
        job, _ = await store.add(new_job(user_id), queue_limit=99, user_queue_limit=9)
        ids[name] = job.id
        if name != "queued":
            await store.take_next()
        if name in ("painted", "ended delivered"):
            await store.mark_painted(job.id, outcome)
        if name == "ended delivered":
            await store.mark_delivered(job.id)
        if name == "unpainted cancelled":
            await store.mark_cancelled(job.id)
        if name in ("unpainted untold", "unpainted failed"):
            await store.mark_failed(job.id, Failure("failed", {}))
        if name == "unpainted failed":
            await store.mark_told(job.id)
        folders.create(job.id)
        folders.picture(job.id).write_bytes(b"png")
    return ids


def ended(ids: dict[str, int]) -> set[int]:
    return {job_id for name, job_id in ids.items() if name.startswith("ended")}


def unpainted(ids: dict[str, int]) -> set[int]:
    return {job_id for name, job_id in ids.items() if name.startswith("unpainted")}


async def test_what_is_left_of_a_job_without_a_painting_goes_at_once(
    store: Store, new_job: NewJobs, folders: JobFolders, retention: Retention
) -> None:
    """A bot that is killed between cancelling a job and clearing up leaves its pictures."""
    ids = await jobs_in_every_state(store, new_job, folders)
    assert await retention.sweep() == 3
    assert set(await folders.kept()) == set(ids.values()) - unpainted(ids)


async def test_what_was_told_long_ago_goes_and_what_is_waited_for_stays(
    store: Store, new_job: NewJobs, folders: JobFolders, retention: Retention, clock: Clock
) -> None:
    ids = await jobs_in_every_state(store, new_job, folders)
    waited_for = set(ids.values()) - ended(ids) - unpainted(ids)
    await retention.sweep()
    clock.go_on(HOURS - 0.01)
    assert await retention.sweep() == 0
    clock.go_on(0.02)
    assert await retention.sweep() == 1
    assert set(await folders.kept()) == waited_for
    clock.go_on(1000 * HOURS)
    assert await retention.sweep() == 0
    assert all(folders.picture(job_id).is_file() for job_id in waited_for)
    assert (await store.get(ids["ended delivered"])).outcome


async def test_a_picture_is_kept_from_the_time_when_it_was_sent(
    store: Store, new_job: NewJobs, folders: JobFolders, retention: Retention, clock: Clock
) -> None:
    ids = await jobs_in_every_state(store, new_job, folders)
    clock.go_on(10 * HOURS)
    await store.mark_delivered(ids["painted"])
    await retention.sweep()
    assert ids["painted"] in (await folders.kept())
    clock.go_on(HOURS)
    await retention.sweep()
    assert ids["painted"] not in (await folders.kept())


async def test_a_restart_forgets_nothing(
    store: Store, new_job: NewJobs, folders: JobFolders, retention: Retention, clock: Clock
) -> None:
    ids = await jobs_in_every_state(store, new_job, folders)
    await retention.sweep()
    clock.go_on(HOURS)
    after_it = Retention(store, folders, hours=HOURS, clock=lambda: 0.0, now=clock.now)
    assert await after_it.sweep() == 1
    assert ended(ids).isdisjoint(await folders.kept())


async def test_a_clock_that_is_set_back_keeps_nothing_for_ever(
    store: Store, new_job: NewJobs, folders: JobFolders, retention: Retention, clock: Clock
) -> None:
    ids = await jobs_in_every_state(store, new_job, folders)
    clock.day -= timedelta(days=3650)
    await retention.sweep()
    clock.go_on(HOURS - 1)
    assert await retention.sweep() == 0
    clock.go_on(1)
    assert await retention.sweep() == 1
    assert ended(ids).isdisjoint(await folders.kept())


async def test_a_folder_of_no_job_goes_by_its_own_age_and_other_names_are_left_alone(
    folders: JobFolders, retention: Retention, clock: Clock
) -> None:
    for job_id in (1, 2):
        folders.create(job_id)
    strange = folders.jobs / "not a number"
    strange.mkdir()
    old, new = (START - timedelta(hours=HOURS)).timestamp(), START.timestamp()
    os.utime(folders.folder(1), (old, old))
    os.utime(folders.folder(2), (new, new))
    os.utime(strange, (old, old))
    assert await retention.sweep() == 1
    assert list(await folders.kept()) == [2]
    assert strange.is_dir()


async def test_more_folders_than_a_query_holds(
    store: Store, new_job: NewJobs, folders: JobFolders, retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "IDS_A_QUERY", 2)
    ids = await jobs_in_every_state(store, new_job, folders)
    endings = await store.endings([*ids.values(), 999])
    assert set(endings) == set(ids.values())
    assert {name for name, job_id in ids.items() if endings[job_id][1]} == {
        "ended delivered",
        "unpainted cancelled",
        "unpainted failed",
    }
    without = (Status.CANCELLED, Status.FAILED)
    assert {job_id for job_id, (status, _) in endings.items() if status in without} == unpainted(ids)


async def test_it_sweeps_at_the_start_and_again_and_a_failure_does_not_end_it(
    store: Store, new_job: NewJobs, folders: JobFolders, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "SWEEP_EVERY_S", 0.01)
    ids = await jobs_in_every_state(store, new_job, folders)
    clock.go_on(HOURS)
    failures = iter([OSError("the disk is away")])
    real = JobFolders.remove

    def failing(self: JobFolders, job_id: int) -> None:
        if error := next(failures, None):
            raise error
        real(self, job_id)

    monkeypatch.setattr(JobFolders, "remove", failing)
    retention = Retention(store, folders, hours=HOURS, clock=clock.monotonic, now=clock.now)
    retention.start()
    async with asyncio.timeout(10):
        while not ended(ids).isdisjoint(await folders.kept()):
            await asyncio.sleep(0.01)
    await retention.close()
