"""How soon the bot acknowledges while every worker is busy.

    python -m benchmarks.ack [--users 200] [--rate 100] [--rounds 4] [--slots 2]

The bot is a process of its own with its real database, pool and models; the sandbox is its Bot API server. Jobs of the
real painter keep every slot busy from before the first update to after the last. In each round every user sends five
updates: /start, a photo, a style (which makes a job, an instant draft), /help and /cancel (which ends it); they are at
different steps, so that all kinds come mixed.
Printed for each round: seconds from the first push of an update to its 2xx, repeated pushes, what was never
acknowledged, and CPU time and resident memory of the bot's process.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import tempfile
import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles

import psutil
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage import data

from benchmarks.bots import bot_process, drained
from sandbox.server import Sandbox, SandboxUser

Step = Callable[[SandboxUser], Awaitable[object]]


def photo(longer_px: int) -> bytes:
    image = Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]
    image.thumbnail((longer_px, longer_px))
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


def steps() -> list[Step]:
    picture = photo(128)
    return [
        lambda user: user.send_text("/start"),
        lambda user: user.send_photo(picture),
        lambda user: user.send_photo(picture),
        lambda user: user.send_text("/help"),
        lambda user: user.send_text("/cancel"),
    ]


async def occupy(sandbox: Sandbox, slots: int) -> list[SandboxUser]:
    """Fill every slot with a real job and the queue's head with more, so that no slot falls idle."""
    busy = []
    for _ in range(4 * slots):
        user = sandbox.user()
        await user.send_album([photo(800), photo(400)])
        busy.append(user)
    for user in busy:
        # What comes first is a draft, and the painting is what takes long.
        draft = await user.wait_for(lambda message: "job:paint" in str(message.get("reply_markup")), 120)
        await user.press(draft, "🖌 Paint it properly")
    for user in busy[:slots]:
        await user.wait_for(lambda message: "▱" in str(message.get("text", message.get("caption"))), 60)
    return busy


async def play_round(users: list[SandboxUser], rate: float) -> float:
    """Send every user's steps at the rate, and return the seconds that the sending took."""
    began = time.perf_counter()
    sent = 0
    tasks: list[asyncio.Task[object]] = []
    order = steps()
    for number in range(len(order)):
        for index, user in enumerate(users):
            # The users are at different steps of the same circle, so that all kinds come mixed.
            step = order[(number + index) % len(order)]
            await asyncio.sleep(max(0.0, began + sent / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(step(user)))  # type: ignore[arg-type]
            sent += 1
    await asyncio.gather(*tasks)
    return time.perf_counter() - began


async def measure(arguments: argparse.Namespace) -> None:
    table = Table(title=f"{arguments.users} users, {5 * arguments.users} updates a round, {arguments.rate:g} a second")
    for column in (
        "round",
        "sent in s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "repeats",
        "lost",
        "bot's CPU ms an update",
        "bot's memory MB",
    ):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Sandbox() as sandbox,
            bot_process(sandbox, folder, pool_size=arguments.slots, queue_limit=1000) as bot,
        ):
            process = psutil.Process(bot.pid)
            await occupy(sandbox, arguments.slots)
            users = [sandbox.user() for _ in range(arguments.users)]
            for number in range(1, arguments.rounds + 1):
                sandbox.pushes.clear()
                cpu_before = sum(process.cpu_times()[:2])
                sent_s = await play_round(users, arguments.rate)
                lost = await drained(sandbox)
                times = [1000 * seconds for seconds in sandbox.pushes.seconds]
                assert len(times) + lost >= 5 * arguments.users
                table.add_row(
                    str(number),
                    f"{sent_s:.1f}",
                    f"{median(times):.1f}",
                    f"{quantiles(times, n=100)[98]:.1f}",
                    f"{max(times):.1f}",
                    str(sandbox.pushes.redeliveries),
                    str(lost),
                    f"{1000 * (sum(process.cpu_times()[:2]) - cpu_before) / len(times):.1f}",
                    f"{process.memory_info().rss / 1e6:.0f}",
                )
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--rate", type=float, default=100.0, help="updates a second")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--slots", type=int, default=2)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
