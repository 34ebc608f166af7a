"""Queue, runner and pool together, in one process."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from ml_models.contract import Progress
from ml_models.registry import ALGORITHMS
from processing.folders import JobFolders
from processing.job import Job, Picture, Status
from processing.pool import Pool
from processing.queue.local import LocalQueue
from processing.runner import Runner
from processing.store import Store
from tests.processing.conftest import NewJobs, in_state
from tests.toy_algorithm import TOY, Behaviour, toy_photo
from tests.waiting import until


class Pictures:
    async def fetch(self, picture: Picture) -> bytes:
        return toy_photo()


class Chat:
    def __init__(self) -> None:
        self.delivered: list[int] = []
        self.shown: set[int] = set()

    def show(self, job: Job, progress: Progress) -> None:
        self.shown.add(job.id)

    async def deliver(self, job: Job) -> bool:
        self.delivered.append(job.id)
        return True

    async def tell_failure(self, job: Job) -> bool:
        raise AssertionError("nothing fails here")

    async def clear(self, job: Job) -> None:
        pass

    async def report(self, job: Job, error: BaseException) -> None:
        raise AssertionError("nothing fails here")


async def test_cancel_kills_the_work_within_two_seconds_and_nothing_else(
    store: Store, tmp_path: Path, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALGORITHMS, "toy", TOY)
    pool, chat = Pool(2, memory_mb=700), Chat()
    await pool.start()
    runner = Runner(
        store, pool, Pictures(), chat, JobFolders(tmp_path), timeout_s=60.0, max_megapixels=1.0, memory_mb=700
    )
    queue = LocalQueue(store, runner, slots=2, queue_limit=9, user_queue_limit=9)
    await queue.start()
    try:
        before = set(pool.pids())
        endless = (await queue.submit(new_job(1, seed=Behaviour.SPIN))).job.id
        neighbour = (await queue.submit(new_job(2, seed=Behaviour.SLOW))).job.id
        await until(lambda: pool.free == 0 and neighbour in chat.shown)
        began = time.monotonic()
        assert (await queue.cancel(endless, 1)).status is Status.CANCELLED
        await until(lambda: len([pid for pid in before if psutil.pid_exists(pid)]) == 1)
        assert time.monotonic() - began < 2.0
        await in_state(store, neighbour, Status.DELIVERED)
        third = (await queue.submit(new_job(1))).job.id
        await in_state(store, third, Status.DELIVERED)
        assert chat.delivered == [neighbour, third]
        assert (await queue.job(endless, 1)).status is Status.CANCELLED
    finally:
        await queue.close()
        await pool.close()
