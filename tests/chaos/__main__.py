"""The fault suite: `python -m tests.chaos [--faults 40] [--seed 1] [--engine sqlite] [--only KIND]`.

The bot runs as a process of its own against the sandbox; people order, cancel, keep and swap, and at random moments
something breaks: a process, the network to Telegram, the order of updates, the disk, a worker from within. After each
fault all must come to rest: every accepted job with one outcome that its user was told, no picture twice but where the
bot was killed between Telegram's taking it and the mark of it, nothing left behind.

What happens is drawn from the seed. Exit code 1, with the story, where anything does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.engines import ENGINES
from tests.chaos.faults import KINDS, kinds_on
from tests.chaos.rounds import BrokenError, Tally, dealt, play
from tests.chaos.scene import scene_on


def show(tally: Tally, seed: int, engine: str) -> None:
    print(f"\n{tally.faults.total()} faults, seed {seed}, {engine}")
    table = Table()
    for column in ("fault", "times"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for name, times in sorted(tally.faults.items()):
        table.add_row(name, str(times))
    Console(width=100).print(table)
    outcomes = ", ".join(f"{number} {status}" for status, number in sorted(tally.outcomes.items()))
    print(f"{tally.outcomes.total()} jobs: {outcomes}")
    print(f"{tally.repeats} messages came once more, {tally.stale} with a progress stayed, both as allowed")
    print(f"{tally.seconds:.0f} s")


async def run(arguments: argparse.Namespace) -> int:
    seed = arguments.seed
    kinds = [kind for kind in kinds_on(arguments.engine) if arguments.only in (None, kind.name)]
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with scene_on(arguments.engine, Path(folder)) as scene:
            if scene.disk is None:
                print("no small disk can be mounted here: full-disk is left out")
                kinds = [kind for kind in kinds if kind.name != "full-disk"]
            first = arguments.first - 1
            for number, kind in islice(dealt(kinds, seed), first, first + arguments.faults):
                print(f"{number}: {kind.name}", end="", flush=True)
                before_s = tally.seconds
                try:
                    await play(scene, kind, number, seed, tally)
                except BrokenError as error:
                    print(f"\nBROKEN by {error}")
                    show(tally, seed, arguments.engine)
                    return 1
                print(f", {tally.seconds - before_s:.1f} s")
                if tally.seconds > 60 * arguments.minutes:
                    break
            late = tally.told_since()
    for sentence in late:
        print(f"BROKEN: {sentence}")
    show(tally, seed, arguments.engine)
    return 1 if late else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=sorted(ENGINES), default="sqlite")
    parser.add_argument("--only", choices=[kind.name for kind in KINDS], help="faults of this kind alone")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no fault after so long")
    parser.add_argument("--first", type=int, default=1, help="begin at this fault, as when a story is to be told again")
    sys.exit(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
