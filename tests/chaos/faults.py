"""The faults: what is broken, how, and what that explains."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.chaos.engines import Postgres, Sqlite
from tests.chaos.scene import Scene
from tests.chaos.toy import DEMAND, HALF_PREVIEW

#: How long trouble with Telegram lasts, in seconds, and how many requests it can hit.
TROUBLE_S = (0.5, 2.5)
MOST_REQUESTS = 12
#: Longer than the bot waits for an answer here.
SILENCE_S = 11.0
STOPPED_S = (0.2, 4.0)
FULL_DISK_S = (0.5, 3.0)
UPLOAD_S = 1.0
#: For something to be there to be hit.
WAIT_S = 6.0
LOOK_S = 0.02

Strike = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: for --only and the summary.
        group: faults of one group stand for one another in the short run.
        strike: breaks something, and ends when it is whole again as far as that is not the bot's own affair.
        engine: the only one on which there is this fault, or None.
    """

    name: str
    group: str
    strike: Strike
    engine: str | None = None


# --- processes


async def kill_worker(scene: Scene) -> None:
    """Kill -9 of a worker, of one that paints where there is one."""
    busy = scene.busy()
    workers = scene.workers()
    with suppress(psutil.NoSuchProcess):
        scene.chance.choice([each for each in workers if each.pid in busy] or workers).kill()


async def kill_bot(scene: Scene) -> None:
    """Kill -9 of the bot; it is started again at once."""
    await scene.end(scene.chance.choice(scene.of("serve")), signal.SIGKILL)


async def kill_remote_worker(scene: Scene) -> None:
    """Kill -9 of a machine that paints; it is started again at once."""
    await scene.end(scene.chance.choice(scene.of("worker")), signal.SIGKILL)


async def stop_database(scene: Scene) -> None:
    """PostgreSQL is stopped, every connection cut, and started again a little later."""
    assert isinstance(scene.engine, Postgres)
    # A message was sent whose number could not be stored: another is sent in its place.
    scene.excuses.stale_messages = True
    await scene.engine.stop()
    await asyncio.sleep(scene.chance.uniform(*STOPPED_S))
    await scene.engine.start()


async def stop_in_upload(scene: Scene) -> None:
    """SIGTERM while a photo is on its way."""
    scene.sandbox.faults.delay("sendPhoto", 20, seconds=UPLOAD_S)
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT_S):
            while scene.sandbox.faults.pending()[0]["times"] == 20:
                await asyncio.sleep(LOOK_S)
    await asyncio.sleep(scene.chance.uniform(0, UPLOAD_S))
    try:
        await scene.end(scene.chance.choice(scene.of("worker") or scene.of("serve")), signal.SIGTERM)
    finally:
        scene.sandbox.faults.clear()


# --- Telegram


def trouble(kind: str, method: str = "*", *, seconds: float = 1.0) -> Strike:
    async def strike(scene: Scene) -> None:
        times = scene.chance.randint(1, MOST_REQUESTS)
        scene.excuses.stale_messages = True
        scene.sandbox.faults.add(kind, method, times, seconds)
        await asyncio.sleep(scene.chance.uniform(*TROUBLE_S))
        left = sum(fault["times"] for fault in scene.sandbox.faults.pending())
        scene.sandbox.faults.clear()
        if kind == "lost_answer":
            scene.excuses.lost_answers += times - left

    return strike


async def three_times(scene: Scene) -> None:
    scene.sandbox.faults.duplicate(scene.chance.randint(5, 30), copies=3)
    await asyncio.sleep(scene.chance.uniform(*TROUBLE_S))


async def out_of_order(scene: Scene) -> None:
    scene.excuses.reordered = True
    scene.sandbox.faults.swap(scene.chance.randint(5, 30))
    await asyncio.sleep(scene.chance.uniform(*TROUBLE_S))


# --- the machine


async def full_disk(scene: Scene) -> None:
    assert scene.disk is not None
    scene.excuses.stale_messages = True
    await asyncio.to_thread(scene.disk.fill)
    await asyncio.sleep(scene.chance.uniform(*FULL_DISK_S))
    scene.disk.free()


# --- workers from within


def demand(mischief: str) -> Strike:
    async def strike(scene: Scene) -> None:
        order = scene.folder / DEMAND
        order.with_suffix(".new").write_text(mischief)
        order.with_suffix(".new").rename(order)
        async with asyncio.timeout(WAIT_S * 5):
            while order.exists():
                await asyncio.sleep(LOOK_S)

    return strike


def kinds_on(engine: str) -> list[Kind]:
    return [kind for kind in KINDS if kind.engine in (None, engine)]


KINDS = (
    Kind("worker-killed", "processes", kill_worker),
    Kind("bot-killed", "processes", kill_bot),
    Kind("stopped-in-upload", "processes", stop_in_upload),
    Kind("remote-worker-killed", "processes", kill_remote_worker, Postgres.name),
    Kind("database-stopped", "machine", stop_database, Postgres.name),
    Kind("flood", "telegram", trouble("flood")),
    Kind("server-error", "telegram", trouble("error")),
    Kind("bad-gateway", "telegram", trouble("bad_gateway")),
    Kind("timeout", "telegram", trouble("silence", seconds=SILENCE_S)),
    Kind("broken-connection", "telegram", trouble("drop")),
    Kind("half-upload", "telegram", trouble("half", "sendPhoto")),
    Kind("half-download", "telegram", trouble("half", "file")),
    Kind("lost-answer", "telegram", trouble("lost_answer")),
    Kind("three-times", "updates", three_times),
    Kind("out-of-order", "updates", out_of_order),
    Kind("full-disk", "machine", full_disk, Sqlite.name),
    Kind("worker-eats", "workers", demand("eat")),
    Kind("worker-hangs", "workers", demand("hang")),
    Kind("worker-exits-in-preview", "workers", demand(HALF_PREVIEW)),
    Kind("worker-talks-nonsense", "workers", demand("nonsense")),
)
