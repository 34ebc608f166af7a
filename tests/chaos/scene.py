"""What faults strike: the sandbox, the bot's processes over their restarts, and the folder that they share."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import psutil

from main import free_port
from processing.job import Status
from processing.lanes import SHORT_SLOTS
from sandbox.server import Sandbox
from tests.bot_process import BotProcess
from tests.chaos.disk import Disk, small_disk
from tests.chaos.engines import Sqlite
from tests.chaos.people import Person
from tests.chaos.promises import Excuses, Told
from tests.chaos.toy import FOLDER, RUNNING

HOST = "127.0.0.1"
POOL_SIZE = 2
JOB_TIMEOUT_S = 4
WORKER_MEMORY_MB = 700
#: For a bot that was asked to stop.
STOP_TIMEOUT_S = 60.0
#: For requests of a killed bot that its server has read already.
LAST_REQUESTS_S = 0.3


class Scene:
    """One bot and everything around it.

    Attributes:
        chance: what is drawn from it is the same for the same seed.
        disk: under the data folder, or None where there can be no small one.
        excuses: of the round that goes on.
        people: of that round.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, engine: Sqlite, disk: Disk | None) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.data_dir = folder / "data"
        self.engine = engine
        self.disk = disk
        self.chance = Random(0)
        self.excuses = Excuses()
        self.people: list[Person] = []
        self.bots: list[BotProcess] = []
        self.log = folder / "bot.log"
        self.scratch = folder / "tmp"
        self._port = free_port(HOST)

    async def start_bot(self) -> None:
        settings = {
            "BOT_TOKEN": self.sandbox.token,
            "TELEGRAM_API_URL": self.sandbox.url,
            "WEBHOOK_URL": f"http://{HOST}:{self._port}/webhook",
            "PORT": str(self._port),
            "DATA_DIR": str(self.data_dir),
            "POOL_SIZE": str(POOL_SIZE),
            "JOB_TIMEOUT_S": str(JOB_TIMEOUT_S),
            "WORKER_MEMORY_MB": str(WORKER_MEMORY_MB),
            "LOG_FORMAT": "json",
            "TMPDIR": str(self.scratch),
            FOLDER: str(self.folder),
        }
        began = time.monotonic()
        bot = await BotProcess.start(("-m", "tests.chaos.bot", "serve"), settings | self.engine.settings, self.log)
        self.bots.append(bot)
        await bot.takes_updates(self.sandbox, began)

    async def end(self, bot: BotProcess, number: signal.Signals) -> None:
        """End the bot by a signal, note what that explains, and start another."""
        code = await bot.end(number, STOP_TIMEOUT_S)
        self.bots.remove(bot)
        if number is signal.SIGKILL:
            await asyncio.sleep(LAST_REQUESTS_S)
            self._excuse_what_was_cut()
        await self.start_bot()
        assert code == (0 if number is signal.SIGTERM else -number), f"the bot ended with {code}"

    def _excuse_what_was_cut(self) -> None:
        """Between Telegram's taking a message and the mark of it the bot can die: the message comes once more."""
        self.excuses.stale_messages = True
        told = Told.in_chats(self.people)
        for job in self.engine.jobs_of(person.user.id for person in self.people):
            unmarked = job.status is Status.PAINTED or (job.status is Status.FAILED and job.told_at is None)
            if unmarked and told.times(job.id) > self.excuses.told_twice[job.id]:
                self.excuses.told_twice[job.id] += 1

    def workers(self) -> list[psutil.Process]:
        return [each for bot in self.bots for each in bot.family() if _is_leaf(each)]

    def processes(self) -> list[str]:
        """Return what is wrong with the processes: one that has ended, is left behind or is missing."""
        if ended := [bot.process.returncode for bot in self.bots if not bot.running]:
            return [f"the bot has ended by itself, with {ended}"]
        own = {pid for bot in self.bots for pid in (bot.process.pid, *(each.pid for each in bot.family()))}
        found = [each.pid for each in psutil.process_iter() if _environment(each).get(FOLDER) == str(self.folder)]
        wrong = [f"process {pid} is left behind" for pid in found if pid not in own]
        there, due = len(self.workers()), len(self.bots) * (POOL_SIZE + SHORT_SLOTS)
        return wrong if there == due else [*wrong, f"there are {there} workers and not {due}"]

    def under_way(self) -> list[str]:
        """Return what has not come to rest."""
        wrong = self.processes()
        if self.sandbox.pending_updates:
            wrong.append(f"{self.sandbox.pending_updates} updates are not acknowledged")
        wrong += [f"left behind: {path.name}" for path in self.scratch.iterdir()]
        return wrong + self.engine.open_ends()

    def busy(self) -> set[int]:
        """Return the workers that paint, and remove the marks of those that were killed."""
        marks = {int(mark.name): mark for mark in (self.folder / RUNNING).iterdir()}
        workers = {worker.pid for worker in self.workers()}
        for pid, mark in marks.items():
            if pid not in workers:
                mark.unlink(missing_ok=True)
        return workers & set(marks)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def _is_leaf(process: psutil.Process) -> bool:
    try:
        return not process.children() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


@asynccontextmanager
async def scene_on(engine_of: type[Sqlite], folder: Path) -> AsyncIterator[Scene]:
    """Set everything up and start the bot; take all of it away at the end."""
    for name in (RUNNING, "tmp"):
        (folder / name).mkdir()
    with small_disk(folder / "data") as disk:
        engine = engine_of(folder / "data")
        await engine.start()
        try:
            async with Sandbox() as sandbox:
                scene = Scene(sandbox, folder, engine, disk)
                try:
                    await scene.start_bot()
                    yield scene
                finally:
                    for bot in scene.bots:
                        if bot.running:
                            await bot.end(signal.SIGKILL)
        finally:
            await engine.stop()
