"""Programs forked from a process that has imported the bot, which alone takes a start most of its seconds."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["main", "service"])


class Fork:
    """A module's program in a process of its own, with what tests use of asyncio.subprocess.Process."""

    def __init__(self, module: str, command: str, environment: dict[str, str], log_file: Path) -> None:
        self._process = FORKS.Process(target=_run, args=(module, command, environment, log_file), daemon=True)
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def wait(self) -> int:
        while (code := self._process.exitcode) is None:
            await asyncio.sleep(0.01)
        return code


def _run(module: str, command: str, environment: dict[str, str], log_file: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with log_file.open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    sys.argv[1:] = [command]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
