"""The bot's side of the zygote: start it, have workers forked, and see it out."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from dataclasses import dataclass

import psutil

from processing.children import child_environment
from processing.zygote import PID

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Child:
    """A worker process and the bot's end of its pipe."""

    process: psutil.Process
    connection: socket.socket


class Spawner:
    """Forks workers from a zygote, which it starts when there is none or when it was killed."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._turn = asyncio.Lock()
        self._zygote: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._lifeline: tuple[int, int] | None = None  # workers live on its end, over a change of zygote

    async def spawn(self) -> Child:
        """Fork one worker; raise OSError where that fails."""
        async with self._turn:
            if self._zygote is None or self._zygote.returncode is not None:
                await self._drop_zygote()
                await self._start()
            assert self._control is not None  # noqa: S101 - _start has made it
            ours, theirs = socket.socketpair()
            try:
                with theirs:
                    socket.send_fds(self._control, [b"f"], [theirs.fileno()])
                ours.setblocking(False)
                return Child(psutil.Process(await self._answer(self._control)), ours)
            except BaseException as error:
                ours.close()
                await self._drop_zygote()
                if isinstance(error, psutil.Error | OSError):
                    raise OSError(f"no worker could be started: {error or type(error).__name__}") from error
                raise

    async def close(self) -> None:
        """End the zygote, and with it every worker that is left."""
        async with self._turn:
            if self._lifeline:
                for end in self._lifeline:
                    os.close(end)
                self._lifeline = None
            await self._drop_zygote()

    async def _answer(self, control: socket.socket) -> int:
        async with asyncio.timeout(START_TIMEOUT_S):
            answer = await asyncio.get_running_loop().sock_recv(control, PID.size)
        if len(answer) != PID.size:
            raise OSError("the process that workers are forked from has died")
        return int(PID.unpack(answer)[0])

    async def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        self._lifeline = self._lifeline or os.pipe()
        handles = (theirs.fileno(), self._lifeline[0])
        try:
            self._zygote = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "processing.zygote", *map(str, (*handles, self._threads))),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=handles,
                env=self._environment(),
                start_new_session=True,  # out of reach of Ctrl-C at the bot's terminal
            )
        finally:
            theirs.close()

    async def _drop_zygote(self) -> None:
        """See the zygote out; its workers work on."""
        if self._control:
            self._control.close()
            self._control = None
        if self._zygote:
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._zygote.wait()
            except TimeoutError:
                self._zygote.kill()
                await self._zygote.wait()
            self._zygote = None

    def _environment(self) -> dict[str, str]:
        threads = str(self._threads)
        return child_environment() | {
            "PYTHONHASHSEED": "0",  # same request, same bytes, after a restart too
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            # A thread that waits for its sibling by spinning holds the core that the sibling needs: beside other work
            # on two cores, 9 convolutions a second instead of 139.
            "OMP_WAIT_POLICY": "PASSIVE",
            "OPENBLAS_NUM_THREADS": "1",  # it starts its threads at import, and a process with threads must not fork
        }
