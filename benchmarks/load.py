"""A thousand people within ten minutes, on one machine, with a model that takes no time.

    python -m benchmarks.load [--users 1000] [--factor 4] [--slots 2] [--quick]
    python -m benchmarks.load --engine postgres [--bots 2] [--workers 2]

The bot is one process on SQLite, or several bots and workers on a PostgreSQL of their own, each a process.
Two parts. *Ten minutes*: everybody comes at a moment of his own, chooses a mode, sends a photo and a style, waits for
the painting, and presses a few buttons; between two things he thinks, eight seconds on average. The ten minutes are
compressed by the factor, pauses and all, but not the work of the bot: its load is that many times as high. *A rush*:
everybody presses "Again" under his painting in the same moment, and every tenth three times, as often as the queue
takes it from one person.

Printed: seconds (real ones) from the first push of an update to its 2xx; repeated pushes, and what was never
acknowledged or never painted; memory of the bot's process and of its workers over the ten minutes; and how fair the
queue is. Fair means: of those who ordered the same work in the rush, one painting each, nobody waits for it, from the
press to its arrival in the chat, more than twice as long as they do on average.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import mean, median, quantiles

import psutil

from benchmarks.bots import bot_process, drained
from benchmarks.machine import processor
from benchmarks.report import claim, point, table
from sandbox.server import Sandbox, SandboxUser
from tests.chat import Message, after, buttons, has_button, is_result, says
from tests.machines import machines
from tests.postgres import server
from tests.toy_algorithm import toy_photo

TEN_MINUTES_S = 600.0
#: The last who come still have the time to be served.
LAST_ARRIVAL_S = 540.0
THINKING_S = 8.0
PATIENCE_S = 300.0
SAMPLES = 10
QUEUE_PER_USER = 4
GREEDY_EVERY = 10
GREEDY_ORDERS = 3
FAIR = 2.0
MB = 1e6
SEED = 1
MODE = "mode:toy"
AGAIN, AS_FILE = "job:again", "job:file"


@dataclass(slots=True)
class Day:
    """The ten minutes.

    Attributes:
        factor: how many of their seconds pass in one of ours.
        painted, unpainted: orders by what came of them.
        results: the latest painting of each user who has one.
    """

    factor: float
    painted: int = 0
    unpainted: int = 0
    results: dict[SandboxUser, Message] = field(default_factory=dict)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.factor)

    async def painting(self, user: SandboxUser, mark: Message) -> None:
        """Wait for the painting that comes after that message."""
        try:
            self.results[user] = await user.wait_for(after(mark, is_result), PATIENCE_S)
            self.painted += 1
        except TimeoutError:
            self.unpainted += 1


async def visit(user: SandboxUser, day: Day, chance: Random) -> None:
    """What one person does."""

    async def think() -> None:
        await day.pause(chance.expovariate(1 / THINKING_S))

    await day.pause(chance.uniform(0, LAST_ARRIVAL_S))
    sent = await user.send_text("/start")
    menu = await user.wait_for(after(sent, has_button(MODE)), PATIENCE_S)
    await think()
    await user.press(menu, MODE)
    await user.wait_for(after(menu, says("Send the photo")), PATIENCE_S)
    for _ in range(2):
        await think()
        sent = await user.send_photo(toy_photo())
    await day.painting(user, sent)
    for _ in range(2):
        await think()
        if (result := day.results.get(user)) is None:
            sent = await user.send_text("/help")
        elif chance.random() < 0.5:
            await press(user, result, AS_FILE)
        else:
            mark = user.messages[-1]
            await press(user, result, AGAIN)
            await day.painting(user, mark)
    await think()
    await user.send_text("/cancel")


async def press(user: SandboxUser, message: Message, start: str) -> None:
    await user.press(message, next(data for data in buttons(message) if data.startswith(start)))


async def rush(day: Day) -> tuple[list[float], list[float]]:
    """Have everybody press "Again" at once; return the waits of those who pressed once, and of the others' first.

    Seconds, infinite where no painting came.
    """

    async def wait(number: int, user: SandboxUser, result: Message) -> float:
        orders = GREEDY_ORDERS if number % GREEDY_EVERY == 0 else 1
        mark = user.messages[-1]
        began = time.perf_counter()
        for _ in range(orders):
            await press(user, result, AGAIN)
        try:
            await user.wait_for(after(mark, is_result), PATIENCE_S)
        except TimeoutError:
            return math.inf
        return time.perf_counter() - began

    waits = await asyncio.gather(*(wait(number, *each) for number, each in enumerate(day.results.items())))
    return [each for number, each in enumerate(waits) if number % GREEDY_EVERY], waits[::GREEDY_EVERY]


@asynccontextmanager
async def on_sqlite(
    sandbox: Sandbox, folder: str, arguments: argparse.Namespace
) -> AsyncIterator[list[psutil.Process]]:
    """Run one bot; yield its process."""
    settings = {"pool_size": arguments.slots, "queue_limit": QUEUE_PER_USER * arguments.users}
    async with bot_process(sandbox, folder, command=("-m", "tests.toy_bot"), **settings) as bot:
        yield [psutil.Process(bot.pid)]


@asynccontextmanager
async def on_postgres(
    sandbox: Sandbox, folder: str, arguments: argparse.Namespace
) -> AsyncIterator[list[psutil.Process]]:
    """Run bots, which paint nothing, and workers; yield their processes."""
    limit = str(QUEUE_PER_USER * arguments.users)
    numbers = {"bots": arguments.bots, "workers": arguments.workers, "slots": arguments.slots}
    with server() as postgres:
        url = postgres.url(postgres.new_database())
        async with machines(sandbox, url, Path(folder), **numbers, forks=False, QUEUE_LIMIT=limit) as house:
            yield [psutil.Process(machine.process.pid) for machine in house.started]


ENGINES = {"sqlite": on_sqlite, "postgres": on_postgres}


async def watch_memory(processes: list[psutil.Process], day: Day) -> list[dict[str, object]]:
    """Return a row for each tenth of the ten minutes."""
    rows: list[dict[str, object]] = []
    for sample in range(SAMPLES + 1):
        painters = [each for process in processes for each in process.children(recursive=True)]
        rows.append(
            {
                "minute": round(sample * TEN_MINUTES_S / SAMPLES / 60, 1),
                "bots and workers, MB": round(sum(each.memory_info().rss for each in processes) / MB),
                "what they paint with, MB": round(sum(each.memory_full_info().pss for each in painters) / MB),
            }
        )
        if sample < SAMPLES:
            await day.pause(TEN_MINUTES_S / SAMPLES)
    return rows


async def measure(arguments: argparse.Namespace) -> None:
    print(f"{processor()}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} before the start")
    chance = Random(SEED)
    day = Day(arguments.factor)
    with tempfile.TemporaryDirectory() as folder:
        async with Sandbox() as sandbox, ENGINES[arguments.engine](sandbox, folder, arguments) as processes:
            began = time.perf_counter()
            watching = asyncio.create_task(watch_memory(processes, day))
            users = [sandbox.user() for _ in range(arguments.users)]
            await asyncio.gather(*(visit(user, day, Random(chance.random())) for user in users))
            lost = await drained(sandbox)
            spent_s = time.perf_counter() - began
            memory = await watching
            acknowledged = summary("ten minutes", sandbox, lost)
            sandbox.pushes.clear()
            waits, greedy = await rush(day)
            in_rush = summary("the rush", sandbox, await drained(sandbox))
    real_factor = TEN_MINUTES_S / max(spent_s, TEN_MINUTES_S / arguments.factor)
    print(f"{arguments.users} people, ten minutes in {spent_s:.0f} s: compressed {real_factor:.1f} times")
    table("Acknowledgement of updates", [acknowledged, in_rush])
    table("Memory", memory)
    print(f"{day.painted} paintings in the ten minutes, {day.unpainted} never came")
    print(
        f"the rush: {len(waits)} people with one order waited {mean(waits):.1f} s on average, {median(waits):.1f} s in "
        f"the median; {len(greedy)} with {GREEDY_ORDERS} orders waited {mean(greedy):.1f} s for the first"
    )
    claim("nothing was lost, and everything was painted", not lost and not day.unpainted and math.isfinite(sum(waits)))
    point("the longest wait of those with one order, as a multiple of their mean", max(waits) / mean(waits), FAIR)


def summary(part: str, sandbox: Sandbox, lost: int) -> dict[str, object]:
    times_ms = [1000 * seconds for seconds in sandbox.pushes.seconds]
    return {
        "part": part,
        "updates": len(times_ms),
        "p50 ms": median(times_ms),
        "p99 ms": quantiles(times_ms, n=100)[98],
        "max ms": max(times_ms),
        "repeats": sandbox.pushes.redeliveries,
        "lost": lost,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--factor", type=float, default=4.0, help="how many times the ten minutes are compressed")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    parser.add_argument("--bots", type=int, default=2, help="on postgres")
    parser.add_argument("--workers", type=int, default=2, help="on postgres, with so many slots each")
    parser.add_argument("--quick", action="store_true", help="a dozen people in a few seconds, to see that it works")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.users, arguments.factor = 12, 200.0
    asyncio.run(measure(arguments))


if __name__ == "__main__":
    main()
