"""`python -m benchmarks.fuzz`: damaged pictures into the reader and strange updates into the webhook of a whole bot.

Input number n of a seed is always the same, and is made anew by `--show KIND --first n`. The inputs run in processes of
a thousand or more, bounded in memory; one that crashes, hangs or takes too much is named by its number. What counts:
the reader reads or refuses with an error of its own, the webhook answers 200, 400 or 413, and nothing is left undone.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Annotated, Any

import structlog
import typer

from tests.fuzzing.pictures import damaged_picture
from tests.fuzzing.target import ANSWERS, open_door, read
from tests.fuzzing.updates import random_update

#: Seconds for one input, on a machine that may have other work, and megabytes of memory for a process.
INPUT_LIMIT_S = 50
MEMORY_LIMIT_MB = {"pictures": 400, "updates": 600}
CHUNK = {"pictures": 10_000, "updates": 5_000}
AT_A_TIME = 8
#: A handler's own surprise: the user is told so and the bot goes on, but it is a fault all the same.
SURPRISES = ("a handler failed", "an inbox could not be emptied", "a user could not be told", "a task fails")


def main(
    pictures: Annotated[int, typer.Option(help="files for the reader")] = 80_000,
    updates: Annotated[int, typer.Option(help="updates for the webhook")] = 25_000,
    seed: Annotated[int, typer.Option(help="of all inputs")] = 1,
    child: Annotated[str, typer.Option(help="used by this program itself", hidden=True)] = "",
    show: Annotated[str, typer.Option(help="pictures or updates: write one input to standard output")] = "",
    first: Annotated[int, typer.Option(help="number of the input to show")] = 0,
    count: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    if show:
        sys.stdout.buffer.write(_input(show, seed, first))
    elif child:
        faulthandler.enable()
        print(json.dumps(_pictures(seed, first, count) if child == "pictures" else _updates(seed, first, count)))
    else:
        failed = [_fuzz(kind, number, seed) for kind, number in (("pictures", pictures), ("updates", updates))]
        raise typer.Exit(any(failed))


def _input(kind: str, seed: int, number: int) -> bytes:
    random = Random(f"{kind} {seed} {number}")
    return damaged_picture(random) if kind == "pictures" else random_update(random, number + 1)


def _fuzz(kind: str, number: int, seed: int) -> bool:
    """Run all inputs of a kind and print the sum; return whether anything failed."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    peak_mb = slowest_s = 0.0
    began = time.monotonic()
    for first in range(0, number, CHUNK[kind]):
        count = min(CHUNK[kind], number - first)
        arguments = ["--child", kind, "--first", str(first), "--count", str(count), "--seed", str(seed)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.fuzz", *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            faults.append(f"{first}..{first + count - 1}: status {done.returncode}\n{done.stderr[-2000:]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        outcomes.update(found["outcomes"])
        faults += found["faults"]
        peak_mb, slowest_s = max(peak_mb, found["peak_mb"]), max(slowest_s, found["slowest_s"])
    print(f"{kind}: {outcomes.total():,} inputs of seed {seed} in {time.monotonic() - began:.0f} s")
    print(f"  outcomes: {', '.join(f'{name} {times:,}' for name, times in outcomes.most_common())}")
    print(f"  slowest {slowest_s:.2f} s, peak of a process {peak_mb:.0f} MB of {MEMORY_LIMIT_MB[kind]}")
    print(f"  faults: {len(faults)}", *faults[:20], sep="\n    ")
    return bool(faults)


def _pictures(seed: int, first: int, count: int) -> dict[str, Any]:
    limit = (MEMORY_LIMIT_MB["pictures"] + 300) * 1_000_000  # address space, which is more than what is in use
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    slowest_s = 0.0
    for number in range(first, first + count):
        data = _input("pictures", seed, number)
        # Ends a process that hangs even in a decoder's own code.
        faulthandler.dump_traceback_later(INPUT_LIMIT_S, exit=True)
        began = time.perf_counter()
        try:
            outcomes[read(data)] += 1
        except Exception as error:
            outcomes["fault"] += 1
            faults.append(f"picture {number}: {type(error).__name__}: {error}")
        slowest_s = max(slowest_s, time.perf_counter() - began)
        faulthandler.cancel_dump_traceback_later()
    return {
        "outcomes": outcomes,
        "faults": faults,
        "slowest_s": slowest_s,
        "peak_mb": _checked_peak(faults, "pictures"),
    }


def _updates(seed: int, first: int, count: int) -> dict[str, Any]:
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    slowest = [0.0]
    logged = _watch_logs()

    async def send(door: Any, numbers: list[int]) -> None:
        while numbers:
            number = numbers.pop()
            began = time.perf_counter()
            try:
                status = await door.knock(_input("updates", seed, number), INPUT_LIMIT_S)
            except TimeoutError:
                status = 0
            slowest[0] = max(slowest[0], time.perf_counter() - began)
            outcomes[str(status)] += 1
            if status not in ANSWERS:
                faults.append(f"update {number}: answered {status or 'nothing'}")

    async def run(folder: Path) -> None:
        async with open_door(folder) as door:
            numbers = list(range(first, first + count))[::-1]
            await asyncio.gather(*(send(door, numbers) for _ in range(AT_A_TIME)))
            faulthandler.dump_traceback_later(INPUT_LIMIT_S, exit=True)
            # Afterwards it still answers.
            assert await door.knock(_input("updates", seed, first)) in ANSWERS
            faulthandler.cancel_dump_traceback_later()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
    faults += logged
    peak_mb = _checked_peak(faults, "updates")
    return {"outcomes": outcomes, "faults": faults, "slowest_s": slowest[0], "peak_mb": peak_mb}


def _watch_logs() -> list[str]:
    """Return a list that fills with what the bot logs of its own faults; everything else is dropped."""
    faults: list[str] = []

    def watch(_logger: Any, _name: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if line["event"] in SURPRISES:
            error = line.get("exc_info")
            error = sys.exc_info()[1] if error is True else error
            faults.append(f"update {line.get('update_id', 0) - 1}: {line['event']}: {type(error).__name__}: {error}")
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, watch])
    return faults


def _checked_peak(faults: list[str], kind: str) -> float:
    """Return the most memory that this process has held, in megabytes; a fault where that is over the limit."""
    status = Path("/proc/self/status").read_text()
    peak_mb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024 / 1e6
    if peak_mb > MEMORY_LIMIT_MB[kind]:
        faults.append(f"{peak_mb:.0f} MB were held, {MEMORY_LIMIT_MB[kind]} are allowed")
    return peak_mb


if __name__ == "__main__":
    typer.run(main)
