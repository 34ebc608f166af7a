"""The whole room together, and a bot that is killed with -9 in mid-job and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from processing.tables import jobs
from tests.processing.conftest import BOTH_ENGINES, NewJobs, opened
from tests.toy_algorithm import Behaviour
from tests.waiting import until

ENGINES = BOTH_ENGINES
ROOT = Path(__file__).parents[2]

# A bot without Telegram: every message to a user is a line in chat.txt.
BOT = """
import asyncio, os, signal, sys
from pathlib import Path
from ml_models.registry import ALGORITHMS
from processing.folders import JobFolders
from processing.pool import Pool
from processing.queue import shared
from processing.queue.local import LocalQueue
from processing.runner import Runner
from processing.shared.results import StoredResults
from processing.shared.store import SharedStore, create_store
from tests.toy_algorithm import TOY, toy_photo

ALGORITHMS["toy"] = TOY
shared.STALLED_AFTER_S = 4.0
data = Path(sys.argv[1])
store = create_store(sys.argv[2])
results = StoredResults(store) if isinstance(store, SharedStore) else JobFolders(data)

def say(*words):
    with open(data / "chat.txt", "a") as chat:
        print(*words, file=chat, flush=True)

class Pictures:
    async def fetch(self, picture):
        return toy_photo()

class Chat:
    def show(self, job, progress):
        (data / f"progress-{job.id}").touch()
    async def deliver(self, job):
        say(job.user_id, "gets", job.id, (await results.get_photo(job.id))[:2].hex())
        return True
    async def tell_failure(self, job):
        say(job.user_id, "hears", job.id, job.failure.code)
        return True
    async def clear(self, job):
        pass
    async def report(self, job, error):
        pass

async def main():
    await store.open()
    pool = Pool(2, memory_mb=700)
    await pool.start()
    runner = Runner(store, pool, Pictures(), Chat(), results, timeout_s=12.0, max_megapixels=1, memory_mb=700)
    limits = {"slots": 2, "queue_limit": 9, "user_queue_limit": 9}
    if isinstance(store, SharedStore):
        queue = shared.SharedQueue(store, runner, quiet=Chat().clear, **limits)
    else:
        queue = LocalQueue(store, runner, **limits)
    await queue.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    (data / "ready").touch()
    await stop.wait()
    await queue.close()
    await pool.close()
    await store.close()

asyncio.run(main())
"""


class Bot:
    """The process, its chat and its database, seen from outside."""

    def __init__(self, data: Path, database_url: str) -> None:
        self.data = data
        self.database_url = database_url
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        (self.data / "ready").unlink(missing_ok=True)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TOY_MARK": str(self.data / "mark")}
        self.process = await asyncio.to_thread(
            subprocess.Popen, [sys.executable, "-c", BOT, str(self.data), self.database_url], env=environment
        )
        await until((self.data / "ready").exists, 60.0)

    def family(self) -> list[psutil.Process]:
        """Return the processes that it started: the one that forks workers, and a worker a slot."""
        assert self.process
        return psutil.Process(self.process.pid).children(recursive=True)

    async def kill(self, number: int = signal.SIGKILL) -> None:
        """Send the signal to the bot alone, and see that its workers go with it."""
        assert self.process
        family = self.family()
        assert len(family) == 3
        self.process.send_signal(number)
        code = await asyncio.to_thread(self.process.wait, 20)
        assert code == (-number if number == signal.SIGKILL else 0)
        self.process = None
        _, left = await asyncio.to_thread(psutil.wait_procs, family, 5)
        assert left == []

    def chat(self) -> list[str]:
        path = self.data / "chat.txt"
        return sorted(path.read_text().splitlines()) if path.exists() else []

    def shows(self, job_id: int) -> bool:
        return (self.data / f"progress-{job_id}").exists()

    async def states(self) -> list[tuple[str, int]]:
        query = select(jobs.c.status, jobs.c.attempts).order_by(jobs.c.id)
        async with opened(self.database_url) as store:
            return await store._database.read(lambda connection: [tuple(row) for row in connection.execute(query)])

    async def order(self, new_job: NewJobs, *behaviours: Behaviour) -> None:
        """Store jobs of the users 1, 2, ... before the bot is started."""
        async with opened(self.database_url) as store:
            for user_id, behaviour in enumerate(behaviours, start=1):
                await store.add(new_job(user_id, seed=behaviour), queue_limit=9, user_queue_limit=9)


@pytest.fixture
async def bot(tmp_path: Path, database_url: str) -> AsyncIterator[Bot]:
    bot = Bot(tmp_path, database_url)
    yield bot
    if bot.process:
        bot.process.kill()
        await asyncio.to_thread(bot.process.wait, 10)


async def test_a_bot_that_is_killed_in_mid_job_delivers_once_after_its_restart(bot: Bot, new_job: NewJobs) -> None:
    await bot.order(new_job, Behaviour.SLOW, Behaviour.SLOW, Behaviour.PAINT)
    await bot.start()
    await until(lambda: bot.shows(1) and bot.shows(2))
    await bot.kill()
    assert await bot.states() == [("running", 1), ("running", 1), ("queued", 0)]
    assert bot.chat() == []
    await bot.start()
    await until(lambda: len(bot.chat()) == 3)
    await bot.kill(signal.SIGTERM)
    assert bot.chat() == ["1 gets 1 ffd8", "2 gets 2 ffd8", "3 gets 3 ffd8"]
    assert await bot.states() == [("delivered", 2), ("delivered", 2), ("delivered", 1)]


async def test_a_bot_that_is_stopped_in_good_order_takes_its_jobs_up_again(bot: Bot, new_job: NewJobs) -> None:
    await bot.order(new_job, Behaviour.SLOW)
    await bot.start()
    await until(lambda: bot.shows(1))
    began = time.monotonic()
    await bot.kill(signal.SIGTERM)
    assert time.monotonic() - began < 5.0
    assert await bot.states() == [("queued", 0)]
    await bot.start()
    await until(lambda: len(bot.chat()) == 1)
    await bot.kill(signal.SIGTERM)
    assert await bot.states() == [("delivered", 1)]


async def test_dying_and_hanging_workers_harm_no_neighbour(bot: Bot, new_job: NewJobs) -> None:
    jobs = (Behaviour.KILL, Behaviour.SLOW, Behaviour.HANG, Behaviour.DIE_ONCE, Behaviour.EAT, Behaviour.RAISE)
    await bot.order(new_job, *jobs)
    await bot.start()
    await until(lambda: len(bot.chat()) == len(jobs), 90.0)
    # The user hears of a failure before the worker that is killed for it has been replaced.
    await until(lambda: len(bot.family()) == 3)
    await bot.kill(signal.SIGTERM)
    assert bot.chat() == [
        "1 hears 1 worker_lost",
        "2 gets 2 ffd8",
        "3 hears 3 timeout",
        "4 gets 4 ffd8",
        "5 hears 5 not_enough_memory",
        "6 hears 6 failed",
    ]
