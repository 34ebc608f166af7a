"""The process that workers are forked from: it has imported torch once, so that a worker is there at once.

Run by the spawner as `python -m processing.zygote CONTROL LIFELINE THREADS`. For every byte on the control socket,
which brings a worker's socket along, it forks a worker and answers with its process id. When the bot is gone it takes
its workers with it.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

from ml_models.registry import ALGORITHMS
from processing import worker

PID = struct.Struct("!i")


def main(control: socket.socket, lifeline: int, threads: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # A child's end wakes the select below through this pipe.
    woken, waker = os.pipe()
    for end in (woken, waker):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _preload()
    children: set[int] = set()
    while True:
        ready, _, _ = select.select([control.fileno(), lifeline, woken], [], [])
        if woken in ready:
            with suppress(BlockingIOError):
                os.read(woken, 4096)
            _bury(children)
        if lifeline in ready:
            _end(children)
            return
        if control.fileno() in ready:
            order, handles, _, _ = socket.recv_fds(control, 1, 1)
            if not order:
                return  # another zygote takes over; the workers of this one work on
            child = os.fork()
            if child == 0:
                for end in (woken, waker):
                    os.close(end)
                control.close()
                _work(handles[0], lifeline, threads)
            os.close(handles[0])
            children.add(child)
            with suppress(BrokenPipeError):  # the bot has hung up; the next turn sees how
                control.sendall(PID.pack(child))


def _preload() -> None:
    """Import what the workers will need. What cannot be imported is left to them, where it fails one job in words."""
    try:
        import torch  # noqa: F401
    except Exception:
        traceback.print_exc()
    for algorithm in ALGORITHMS.values():
        with suppress(Exception):
            algorithm.load()
    # Python would otherwise write to, and so copy, every page that the workers share.
    gc.collect()
    gc.freeze()


def _work(handle: int, lifeline: int, threads: int) -> NoReturn:
    """Be a worker, and never return into what is left here of the zygote."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.set_inheritable(handle, False)
        worker.serve(socket.socket(fileno=handle), lifeline, threads)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _end(children: set[int]) -> None:
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    while children:
        _bury(children, wait=True)


def _bury(children: set[int], *, wait: bool = False) -> None:
    with suppress(ChildProcessError):
        while True:
            child, _ = os.waitpid(-1, 0 if wait else os.WNOHANG)
            if child == 0:
                return
            children.discard(child)
            if wait:
                return
    children.clear()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]))
