"""One fault after the other: people at work, something breaks, all comes to rest, what was promised is looked at."""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from processing.job import Status
from tests.chaos.faults import Kind
from tests.chaos.people import Person
from tests.chaos.promises import Excuses, Told, account
from tests.chaos.scene import Scene

PEOPLE = 6
#: At most from the first order to the fault, and from the fault to the last thing that anybody begins.
BEFORE_S = 2.0
AFTER_S = 0.8
#: For all to come to rest: tries to tell a user are up to a minute apart by then.
REST_TIMEOUT_S = 120.0
#: Every process says every two seconds that it lives, which is a lock and a transaction for a moment.
LEFT_TIMEOUT_S = 3.0
LOOK_S = 0.15
#: What comes a little later than the rest, such as the end of a message with a progress.
QUIET_S = 0.4
LOG_LINES = 20


class BrokenError(Exception):
    """Something that was promised does not hold; the text is the story of it."""


@dataclass(slots=True)
class Tally:
    """What happened so far.

    Attributes:
        told: for all people of earlier rounds, how often they were told of each job.
    """

    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[Status] = field(default_factory=Counter)
    repeats: int = 0
    stale: int = 0
    seconds: float = 0.0
    told: list[tuple[Person, Counter[int]]] = field(default_factory=list)

    def told_since(self) -> list[str]:
        """Return who was told something after the round in which he had it all."""
        return [
            f"user {person.user.id} was told of jobs {sorted(now - before)} long after they had ended"
            for person, before in self.told
            if (now := Told.in_chats([person]).in_all()) != before
        ]


def dealt(kinds: Sequence[Kind], seed: int) -> Iterator[tuple[int, Kind]]:
    """Yield numbered faults without end: every kind once, in an order drawn from the seed, then every kind again."""
    chance = Random(seed)
    numbers = count(1)
    while True:
        for kind in chance.sample(kinds, len(kinds)):
            yield next(numbers), kind


async def play(scene: Scene, kind: Kind, number: int, seed: int, tally: Tally, *, people: int = PEOPLE) -> None:
    """Play one round and add it to the tally; raise BrokenError."""
    began = time.monotonic()
    log_before = scene.log_bytes()
    scene.chance = Random(f"{seed} {number}")
    scene.excuses = Excuses()
    scene.people = [Person(scene.sandbox.user(), index, Random(f"{seed} {number} {index}")) for index in range(people)]
    over = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            for person in scene.people:
                group.create_task(person.live(over))
            await asyncio.sleep(scene.chance.uniform(0, BEFORE_S))
            await kind.strike(scene)
            await asyncio.sleep(scene.chance.uniform(0, AFTER_S))
            over.set()
        broken = await none_of(scene.under_way, REST_TIMEOUT_S, quiet_s=QUIET_S)
        jobs = scene.engine.jobs_of(person.user.id for person in scene.people)
        found = account(scene.people, jobs, scene.excuses)
        broken += found.broken
        broken += await none_of(scene.left_behind, LEFT_TIMEOUT_S)
        if not jobs:
            broken.append("nobody had a job")
        if scene.sandbox.token in scene.log_since(log_before):
            broken.append("the token stands in the log")
    except Exception as error:
        broken = traceback.format_exception(error)
    if broken:
        about = f"fault {number}, {kind.name}, seed {seed}:"
        raise BrokenError("\n".join([about, *broken, "", *log_about(broken, scene.log_since(log_before))]))
    tally.faults[kind.name] += 1
    tally.outcomes += found.outcomes
    tally.repeats += found.repeats
    tally.stale += found.stale
    tally.seconds += time.monotonic() - began
    tally.told += [(person, Told.in_chats([person]).in_all()) for person in scene.people]


def log_about(broken: Sequence[str], log: str) -> list[str]:
    """Return what the log says of the jobs and users that are named as broken, and its last lines."""
    lines = log.splitlines()
    named = {f'"{what}_id": {number},' for text in broken for what, number in re.findall(r"(job|user) (\d+)", text)}
    return [*(line for line in lines if any(name in line for name in named)), "", *lines[-LOG_LINES:]]


async def none_of(look: Callable[[], list[str]], patience_s: float, *, quiet_s: float = 0.0) -> list[str]:
    """Look until nothing is found for quiet_s, and return what is still found when the patience ends."""
    until = time.monotonic() + patience_s
    quiet_since: float | None = None
    while True:
        found = look()
        now = time.monotonic()
        if not found:
            quiet_since = quiet_since or now
            if now - quiet_since >= quiet_s:
                return []
        elif now > until:
            return found
        else:
            quiet_since = None
        await asyncio.sleep(LOOK_S)
