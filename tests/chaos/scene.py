"""What faults strike: the sandbox, the bot's processes over their restarts, and the folder that they share."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import psutil

from main import free_port
from processing.job import Status
from processing.lanes import SHORT_SLOTS
from sandbox.server import Sandbox
from tests.chaos.disk import Disk, small_disk
from tests.chaos.engines import Engine, Part, running
from tests.chaos.people import Person
from tests.chaos.promises import Excuses, Told
from tests.chaos.toy import FOLDER, RUNNING
from tests.machines import HOST, Balancer, Machine

JOB_TIMEOUT_S = 4
WORKER_MEMORY_MB = 700
#: For requests of a killed bot that its server has read already.
LAST_REQUESTS_S = 0.3


class Scene:
    """A bot, in one process or in several, and everything around it.

    Attributes:
        chance: what is drawn from it is the same for the same seed.
        disk: under the data folder, or None where there can be no small one.
        excuses: of the round that goes on.
        people: of that round.
        machines: the processes of the bot that are meant to run.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, engine: Engine, disk: Disk | None, balancer: Balancer) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.engine = engine
        self.disk = disk
        self.chance = Random(0)
        self.excuses = Excuses()
        self.people: list[Person] = []
        self.machines: list[tuple[Machine, Part]] = []
        self.scratch = folder / "tmp"
        self._balancer = balancer
        self._log = folder / "bot.log"
        self._started = 0

    def of(self, command: str) -> list[Machine]:
        """Return the processes of that command."""
        return [machine for machine, part in self.machines if part.command == command]

    async def start(self, part: Part) -> None:
        port = free_port(HOST)
        settings = {
            "BOT_TOKEN": self.sandbox.token,
            "TELEGRAM_API_URL": self.sandbox.url,
            "WEBHOOK_URL": f"http://{HOST}:{self._balancer.port}/webhook",
            "PORT": str(port),
            "POOL_SIZE": str(part.slots),
            "JOB_TIMEOUT_S": str(JOB_TIMEOUT_S),
            "WORKER_MEMORY_MB": str(WORKER_MEMORY_MB),
            "LOG_FORMAT": "json",
            "TMPDIR": str(self.scratch),
            FOLDER: str(self.folder),
        }
        settings |= self.engine.settings(self._started)
        self._started += 1
        machine = await Machine.launch("tests.chaos.bot", part.command, settings, self._log)
        self.machines.append((machine, part))
        await machine.ready()
        if part.command == "serve":
            machine.url = f"http://{HOST}:{port}/webhook"
            self._balancer.targets.append(machine.url)

    async def end(self, machine: Machine, number: signal.Signals) -> None:
        """End a process by a signal, note what that explains, and start another in its place."""
        part = next(part for each, part in self.machines if each is machine)
        code = await machine.end(number)
        self.machines.remove((machine, part))
        if machine.url:
            self._balancer.targets.remove(machine.url)
        # A message that it was about to edit or to remove is nobody's any more.
        self.excuses.stale_messages = True
        if number is signal.SIGKILL:
            await asyncio.sleep(LAST_REQUESTS_S)
            self._excuse_what_was_cut()
        await self.start(part)
        assert code == (0 if number is signal.SIGTERM else -number), f"the {part.command} ended with {code}"

    def _excuse_what_was_cut(self) -> None:
        """Between Telegram's taking a message and the mark of it the bot can die: the message comes once more."""
        told = Told.in_chats(self.people)
        for job in self.engine.jobs_of(person.user.id for person in self.people):
            unmarked = job.status is Status.PAINTED or (job.status is Status.FAILED and job.told_at is None)
            if unmarked and told.times(job.id) > self.excuses.told_twice[job.id]:
                self.excuses.told_twice[job.id] += 1

    def workers(self) -> list[psutil.Process]:
        """Return the processes that paint."""
        painting = [machine for machine, part in self.machines if part.slots]
        return [each for machine in painting for each in _family(machine) if _is_leaf(each)]

    def busy(self) -> set[int]:
        """Return the ids of those that paint just now, and remove the marks of those that were killed."""
        marks = {int(mark.name): mark for mark in (self.folder / RUNNING).iterdir()}
        workers = {worker.pid for worker in self.workers()}
        for pid, mark in marks.items():
            if pid not in workers:
                mark.unlink(missing_ok=True)
        return workers & set(marks)

    def under_way(self) -> list[str]:
        """Return what has not come to rest."""
        found = self._wrong_processes()
        if self.sandbox.pending_updates:
            found.append(f"{self.sandbox.pending_updates} updates are not acknowledged")
        return found + self.engine.open_ends(len(self.machines))

    def left_behind(self) -> list[str]:
        """Return what was left behind or is lost, once all has come to rest."""
        found = [f"left behind: {path.name}, a temporary file" for path in self.scratch.iterdir()]
        return found + self.engine.left_behind()

    def _wrong_processes(self) -> list[str]:
        codes = [machine.process.returncode for machine, _ in self.machines]
        if ended := [code for code in codes if code is not None]:
            return [f"a process of the bot has ended by itself, with {ended}"]
        own = {each.pid for machine, _ in self.machines for each in _family(machine)}
        own |= {machine.process.pid for machine, _ in self.machines}
        found = [each.pid for each in psutil.process_iter() if _environment(each).get(FOLDER) == str(self.folder)]
        wrong = [f"process {pid} is left behind" for pid in found if pid not in own]
        there = len(self.workers())
        due = sum(part.slots + SHORT_SLOTS for _, part in self.machines if part.slots)
        return wrong if there == due else [*wrong, f"there are {there} workers and not {due}"]

    def log_bytes(self) -> int:
        """Return how long the log is."""
        return self._log.stat().st_size if self._log.exists() else 0

    def log_since(self, start: int) -> str:
        """Return what the bot has logged since the log was so long."""
        return self._log.read_bytes()[start:].decode(errors="replace")


def _family(machine: Machine) -> list[psutil.Process]:
    return psutil.Process(machine.process.pid).children(recursive=True)


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
async def scene_on(engine_name: str, folder: Path) -> AsyncIterator[Scene]:
    """Set everything up and start the bot; take all of it away at the end."""
    for name in (RUNNING, "tmp"):
        (folder / name).mkdir()
    balancer = Balancer()
    with small_disk(folder / "data") as disk:
        async with Sandbox() as sandbox, balancer.running(), running(engine_name, folder / "data") as engine:
            scene = Scene(sandbox, folder, engine, disk, balancer)
            try:
                for part in engine.parts:
                    await scene.start(part)
                yield scene
            finally:
                for machine, _ in scene.machines:
                    if machine.process.returncode is None:
                        await machine.end(signal.SIGKILL)
