"""How many jobs a core does in an hour, through the pool as the bot runs it, and how many cores so many users need.

    python -m benchmarks.capacity [--assets ../shared/assets] [--sizes 512 1024] [--seconds 60] [--slots N]

Every algorithm of the registry paints a photo of 3:2 with one style, or with the one that is built in; what starts from
a draft makes that first, as the bot has it do. All slots paint side by side, one job after the other for at least
--seconds, after a first job that is not counted. --slots is POOL_SIZE and has its default.

jobs per core and hour: the rates of all slots together, over the cores that this process may use;
CPU s a job: processor time of the workers, which a busy machine changes less than it does the former.
Cores: --users people, of whom a share (--active) orders on a day, --jobs of them each, in the busiest hour --peak times
as many as on average.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from benchmarks import machine, report
from benchmarks.memory import enlarged
from benchmarks.pictures import add_assets, are_here, pairs
from config import Settings
from ml_models.contract import Style, StyleTransferRequest
from ml_models.errors import StyleTransferError
from ml_models.registry import ALGORITHMS, Algorithm
from processing.instant_draft import drafting
from processing.pool import Painted, Pool

PROPORTION = 1.5
TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Slot:
    """What one slot did: its jobs' pictures, and the seconds that they took together."""

    painted: Sequence[Painted]
    seconds: float


def cores_needed(per_core_hour: float, *, users: float, active: float, jobs: float, peak: float) -> float:
    """Return the cores that do in the busiest hour what is ordered in it.

    Args:
        per_core_hour: jobs that a core does in an hour.
        active: share of the users that orders on a day.
        jobs: that each of them orders on that day.
        peak: the busiest hour over the mean one.
    """
    return users * active * jobs * peak / 24 / per_core_hour


async def keep_busy(pool: Pool, algorithm: Algorithm, request: StyleTransferRequest, seconds: float) -> Slot:
    """Paint one job after the other for at least so long."""
    began = time.perf_counter()
    painted: list[Painted] = []
    while not painted or time.perf_counter() - began < seconds:
        start = drafting(algorithm.key)
        painted.append(await pool.run(algorithm, request, lambda _: None, TIMEOUT_S, start=start))
    return Slot(painted, time.perf_counter() - began)


def processor_s(pool: Pool) -> float:
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pool.pids())


async def measure(
    pool: Pool, algorithm: Algorithm, request: StyleTransferRequest, arguments: argparse.Namespace
) -> dict[str, object]:
    """Return a row of the table."""
    async with asyncio.TaskGroup() as group:
        for _ in range(pool.slots):
            group.create_task(keep_busy(pool, algorithm, request, 0.0))
    workers, before_s = pool.pids(), processor_s(pool)
    slots = await asyncio.gather(*(keep_busy(pool, algorithm, request, arguments.seconds) for _ in range(pool.slots)))
    took_s = processor_s(pool) - before_s
    painted = [each for slot in slots for each in slot.painted]
    rate = sum(len(slot.painted) / slot.seconds for slot in slots)
    per_core_hour = 3600 * rate / len(os.sched_getaffinity(0))
    cores = cores_needed(
        per_core_hour, users=arguments.users, active=arguments.active, jobs=arguments.jobs, peak=arguments.peak
    )
    return {
        "algorithm": algorithm.key,
        "size px": str(request.size_px),
        "encoder": painted[0].result.encoder,
        "jobs": len(painted),
        "s a job": median(each.result.seconds for each in painted),
        "CPU s a job": took_s / len(painted) if pool.pids() == workers else "a worker was replaced",
        "jobs per core and hour": per_core_hour,
        f"cores for {arguments.users:,}": cores,
    }


async def main_async(arguments: argparse.Namespace) -> None:
    (pair,) = pairs(arguments.assets, 1)
    if not are_here(pair.photo, pair.style):
        return
    print(machine.describe())
    settings = Settings()
    rows: list[dict[str, object]] = []
    pool = Pool(arguments.slots, memory_mb=settings.worker_memory_mb)
    await pool.start()
    try:
        for size_px in arguments.sizes:
            with tempfile.TemporaryDirectory() as folder:
                files = enlarged(pair, size_px, PROPORTION, Path(folder))
                photo, style = files.photo.read_bytes(), files.style.read_bytes()
            for algorithm in ALGORITHMS.values():
                if size_px > algorithm.max_size_px or (arguments.only and algorithm.key not in arguments.only):
                    continue
                styles = (Style(style),) if algorithm.max_styles else ()
                request = StyleTransferRequest(photo, styles, size_px, memory_mb=settings.worker_memory_mb)
                try:
                    rows.append(await measure(pool, algorithm, request, arguments))
                except* StyleTransferError as errors:
                    print(f"{algorithm.key} at {size_px} px: {errors.exceptions[0]}")
    finally:
        await pool.close()
    if rows:
        title = f"{arguments.slots} slots; a day: {arguments.active:.0%} of the users, {arguments.jobs:g} jobs each"
        report.table(f"{title}, the busiest hour {arguments.peak:g} times the mean", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_assets(parser)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--only", nargs="+", choices=list(ALGORITHMS), help="these algorithms; all if not given")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each algorithm and size, at least")
    parser.add_argument("--slots", type=int, default=Settings().pool_size)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--active", type=float, default=0.05, help="share of the users that orders on a day")
    parser.add_argument("--jobs", type=float, default=2.0, help="jobs of each of them on that day")
    parser.add_argument("--peak", type=float, default=3.0, help="the busiest hour over the mean one")
    asyncio.run(main_async(parser.parse_args()))


if __name__ == "__main__":
    main()
