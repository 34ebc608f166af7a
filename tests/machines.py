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
from tests.toy_algorithm import BEHAVIOUR_FILE, Behaviour
from tests.toy_bot import STALLED_AFTER_S

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
START_TIMEOUT_S = 180.0
READY = {"serve": b"the bot takes updates", "worker": b"the worker takes jobs"}


@dataclass
class Machine:
    """One process, `serve` or `worker`, with what it has logged."""

    process: asyncio.subprocess.Process
    log_file: Path
    url: str | None = None

    @property
    def log(self) -> bytes:
        return self.log_file.read_bytes()

    def is_worker(self, worker_id: int) -> bool:
        return b'"worker_id": %d,' % worker_id in self.log

    async def end(self, number: signal.Signals) -> int:
        """Send the signal and return the exit code; no process that it started may be left soon after."""
        family = psutil.Process(self.process.pid).children(recursive=True)
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


class Machines:
    """All of them, and the means to start one more."""

    def __init__(self, sandbox: Sandbox, database_url: str, folder: Path) -> None:
        self.sandbox = sandbox
        self.database_url = database_url
        self.folder = folder
        self.balancer = Balancer()
        self.started: list[Machine] = []
        self.behave(Behaviour.PAINT)

    def behave(self, behaviour: Behaviour) -> None:
        (self.folder / "behaviour").write_text(behaviour.name)

    async def bot(self, **settings: str) -> Machine:
        port = free_port(HOST)
        url = f"http://{HOST}:{self.balancer.port}/webhook"
        machine = await self._start("serve", {"PORT": str(port), "WEBHOOK_URL": url, "POOL_SIZE": "0"} | settings)
        machine.url = f"http://{HOST}:{port}/webhook"
        self.balancer.targets.append(machine.url)
        return machine

    async def worker(self, **settings: str) -> Machine:
        return await self._start("worker", {"POOL_SIZE": "1"} | settings)

    async def end(self, machine: Machine, number: signal.Signals) -> int:
        self.started.remove(machine)
        if machine.url:
            self.balancer.targets.remove(machine.url)
        return await machine.end(number)

    async def close(self) -> None:
        for machine in list(self.started):
            await self.end(machine, signal.SIGKILL)

    async def _start(self, command: str, settings: dict[str, str]) -> Machine:
        number = sum(1 for _ in self.folder.glob("*.log"))
        given = {
            "BOT_TOKEN": self.sandbox.token,
            "TELEGRAM_API_URL": self.sandbox.url,
            "DOWNLOAD_LIMIT_MB": "20",
            "DATABASE_URL": self.database_url,
            # Each has a disk of its own.
            "DATA_DIR": str(self.folder / f"data-{number}"),
            "LOG_FORMAT": "json",
            BEHAVIOUR_FILE: str(self.folder / "behaviour"),
            STALLED_AFTER_S: "6",
        }
        log_file = self.folder / f"{number}-{command}.log"
        with log_file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.toy_bot", command,
                cwd=ROOT, env=os.environ | given | settings, stdout=log, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
        machine = Machine(process, log_file)
        self.started.append(machine)
        async with asyncio.timeout(START_TIMEOUT_S):
            while READY[command] not in machine.log:
                assert process.returncode is None, machine.log.decode()
                await asyncio.sleep(0.05)
        return machine


@asynccontextmanager
async def machines(
    sandbox: Sandbox, database_url: str, folder: Path, *, bots: int, workers: int
) -> AsyncIterator[Machines]:
    """Start so many bots and workers, and kill all that are left in the end."""
    all_of_them = Machines(sandbox, database_url, folder)
    async with all_of_them.balancer.running():
        try:
            starting = [all_of_them.bot() for _ in range(bots)] + [all_of_them.worker() for _ in range(workers)]
            await asyncio.gather(*starting)
            yield all_of_them
        finally:
            await all_of_them.close()
