"""Bots behind one webhook address and workers, each a process of its own, on one PostgreSQL: as on many machines."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
from aiohttp import web

from main import free_port
from sandbox.server import Sandbox
from tests.forks import Fork
from tests.toy_algorithm import BEHAVIOUR_FILE, Behaviour
from tests.toy_bot import STALLED_AFTER_S

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
START_TIMEOUT_S = 180.0
READY = {"serve": b"the bot takes updates", "worker": b"the worker takes jobs"}


@dataclass
class Machine:
    """One process, `serve` or `worker`, with what it has logged.

    Attributes:
        begins_at: where its own words begin in the log file, which others may write to as well.
        url: of its webhook, where it has one.
    """

    process: asyncio.subprocess.Process | Fork
    command: str
    log_file: Path
    begins_at: int
    url: str | None = None

    @classmethod
    async def launch(
        cls, module: str, command: str, settings: dict[str, str], log_file: Path, *, fork: bool = False
    ) -> Machine:
        """Start the module with these settings in its environment; it is not ready yet.

        A fork is there sooner, as a process of the tests has imported the bot for it.
        """
        environment = os.environ | settings
        with log_file.open("ab") as log:
            begins_at = log.tell()
            if fork:
                return cls(Fork(module, command, environment, log_file), command, log_file, begins_at)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, command,
                cwd=ROOT, env=environment, stdout=log, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
        return cls(process, command, log_file, begins_at)

    async def ready(self) -> None:
        """Wait until it takes updates, or jobs."""
        async with asyncio.timeout(START_TIMEOUT_S):
            while READY[self.command] not in self.log:
                assert self.process.returncode is None, self.log.decode()
                await asyncio.sleep(0.05)

    @property
    def log(self) -> bytes:
        return self.log_file.read_bytes()[self.begins_at :]

    def is_worker(self, worker_id: int) -> bool:
        return b'"worker_id": %d,' % worker_id in self.log

    def family(self) -> list[psutil.Process]:
        """Return the processes that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    async def end(self, number: signal.Signals) -> int:
        """Send the signal and return the exit code; no process that it started may be left soon after."""
        family = self.family()
        self.process.send_signal(number)
        async with asyncio.timeout(30):
            code = await self.process.wait()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, 5)
        assert not alive, f"left behind: {alive}"
        return code


class Balancer:
    """What stands before the bots: gives each update to the next of them that answers."""

    def __init__(self) -> None:
        self.port = free_port(HOST)
        self.targets: list[str] = []
        self.answers: list[int] = []
        self._turns = itertools.count()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/webhook", self._pass_on)
        runner = web.AppRunner(app, access_log=None)
        async with aiohttp.ClientSession() as self._session:
            await runner.setup()
            await web.TCPSite(runner, HOST, self.port).start()
            try:
                yield
            finally:
                await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        body, turn = await request.read(), next(self._turns)
        for offset in range(len(self.targets)):
            target = self.targets[(turn + offset) % len(self.targets)]
            try:
                async with self._session.post(target, data=body, headers=request.headers) as response:
                    self.answers.append(response.status)
                    return web.Response(status=response.status, body=await response.read())
            except aiohttp.ClientError:
                continue
        return web.Response(status=502)


class Home:
    """A sandbox, the processes that talk to it, and the folder of their logs and of how the toy behaves."""

    def __init__(self, sandbox: Sandbox, folder: Path, *, forks: bool = True) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.forks = forks
        self.started: list[Machine] = []
        self.behave(Behaviour.PAINT)

    def behave(self, behaviour: Behaviour) -> None:
        (self.folder / "behaviour").write_text(behaviour.name)

    async def start(self, command: str, settings: dict[str, str]) -> Machine:
        given = {
            "BOT_TOKEN": self.sandbox.token,
            "TELEGRAM_API_URL": self.sandbox.url,
            "LOG_FORMAT": "json",
            "SHUTDOWN_GRACE_S": "0",
            BEHAVIOUR_FILE: str(self.folder / "behaviour"),
        }
        log_file = self.folder / f"{self._count()}-{command}.log"
        machine = await Machine.launch("tests.toy_bot", command, given | settings, log_file, fork=self.forks)
        self.started.append(machine)
        await machine.ready()
        return machine

    async def end(self, machine: Machine, number: signal.Signals) -> int:
        self.started.remove(machine)
        return await machine.end(number)

    async def close(self) -> None:
        """Kill all that still run."""
        for machine in list(self.started):
            if machine.process.returncode is None:
                await self.end(machine, signal.SIGKILL)

    def _count(self) -> int:
        return sum(1 for _ in self.folder.glob("*.log"))


class Machines(Home):
    """All of them, and the means to start one more."""

    def __init__(self, sandbox: Sandbox, database_url: str, folder: Path, *, forks: bool = True) -> None:
        super().__init__(sandbox, folder, forks=forks)
        self.database_url = database_url
        self.balancer = Balancer()

    async def bot(self, **settings: str) -> Machine:
        port = free_port(HOST)
        url = f"http://{HOST}:{self.balancer.port}/webhook"
        machine = await self.start("serve", {"PORT": str(port), "WEBHOOK_URL": url, "POOL_SIZE": "0"} | settings)
        machine.url = f"http://{HOST}:{port}/webhook"
        self.balancer.targets.append(machine.url)
        return machine

    async def worker(self, **settings: str) -> Machine:
        return await self.start("worker", {"POOL_SIZE": "1"} | settings)

    async def start(self, command: str, settings: dict[str, str]) -> Machine:
        given = {
            "DOWNLOAD_LIMIT_MB": "20",
            "DATABASE_URL": self.database_url,
            # Each has a disk of its own.
            "DATA_DIR": str(self.folder / f"data-{self._count()}"),
            STALLED_AFTER_S: "6",
        }
        return await super().start(command, given | settings)

    async def end(self, machine: Machine, number: signal.Signals) -> int:
        if machine.url:
            self.balancer.targets.remove(machine.url)
        return await super().end(machine, number)


@asynccontextmanager
async def machines(
    sandbox: Sandbox,
    database_url: str,
    folder: Path,
    *,
    bots: int,
    workers: int,
    slots: int = 1,
    forks: bool = True,
    **settings: str,
) -> AsyncIterator[Machines]:
    """Start so many bots, with these settings, and workers of so many slots; kill all that are left in the end."""
    all_of_them = Machines(sandbox, database_url, folder, forks=forks)
    async with all_of_them.balancer.running():
        try:
            starting = [all_of_them.bot(**settings) for _ in range(bots)]
            starting += [all_of_them.worker(POOL_SIZE=str(slots)) for _ in range(workers)]
            await asyncio.gather(*starting)
            yield all_of_them
        finally:
            await all_of_them.close()
