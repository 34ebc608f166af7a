"""The bot as a process of its own, and the processes that it starts; what it says goes to a file."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from sandbox.server import Sandbox

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 60.0
#: For its workers to notice that it is gone.
FAMILY_TIMEOUT_S = 5


class BotProcess:
    """One process of the bot."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log_path = log

    @classmethod
    async def start(cls, arguments: Sequence[str], settings: Mapping[str, str], log: Path) -> BotProcess:
        """Run `python ARGUMENTS` with these settings; the log is appended to."""
        with log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=ROOT, env=os.environ | settings, stdout=out, stderr=out
            )
        return cls(process, log)

    @property
    def log(self) -> bytes:
        return self.log_path.read_bytes()

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    async def takes_updates(self, sandbox: Sandbox, since: float) -> None:
        """Wait until it has set its webhook, later than `since`, seconds of time.monotonic()."""
        async with asyncio.timeout(START_TIMEOUT_S):
            while not any(call.method == "setWebhook" and call.at >= since for call in reversed(sandbox.requests)):
                assert self.running, self.log.decode()
                await asyncio.sleep(0.05)

    async def end(self, number: signal.Signals, within_s: float = 20.0) -> int:
        """Send the signal and return the exit code; no process of the family may be left soon after."""
        family = self.family()
        assert family, "the bot has no workers"
        self.process.send_signal(number)
        async with asyncio.timeout(within_s):
            code = await self.process.wait()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, FAMILY_TIMEOUT_S)
        assert not alive, f"left behind: {alive}"
        return code
