"""How long a job will take, and how long it has to wait: from what runs took here, or from the registry at first."""

from __future__ import annotations

import heapq
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Protocol

from ml_models.registry import ALGORITHMS
from processing.lanes import Lane, lane_of, may_begin

RECENT_RUNS = 25
RECENT_FOR_S = 5.0
# Photos are 4:3 or 3:2 for the most part; the picture itself is not there yet when the estimate is made.
USUAL_PROPORTION = 0.7
# A run that takes longer than thought is thought to need this share of its time still.
OVERDUE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run: the size of its result in millions of pixels, its wall time in seconds, and its network."""

    megapixels: float
    seconds: float
    encoder: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A job in the line, as far as an estimate needs it; started_at is None while it waits."""

    job_id: int
    user_id: int
    algorithm: str
    size_px: int
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """A job's place in its lane: 0 runs or begins at once, as a slot is free for it, 1 is the next to wait for one.

    seconds: until its picture is there, or None where nothing is known.
    follows: it waits for an earlier one of the same user's too.
    """

    position: int
    seconds: float | None
    follows: bool = False


class Runs(Protocol):
    """The memory of finished runs; the store is one."""

    async def recent_runs(self, algorithm: str, limit: int) -> list[Run]:
        """Return what the latest finished runs of this algorithm took, newest first."""
        ...


def run_seconds(algorithm: str, size_px: int, recent: Sequence[Run]) -> float | None:
    """Return the seconds that a run takes: the median of the recent ones per pixel, or the registry's, times its size.

    Only runs with the network of the newest one count: another one has another speed. None where nothing is known: an
    algorithm that is not installed any more and has left no runs.
    """
    if rates := [run.seconds / run.megapixels for run in recent if run.megapixels and run.encoder == recent[0].encoder]:
        return median(rates) * size_px**2 * USUAL_PROPORTION / 1e6
    known = ALGORITHMS.get(algorithm)
    return known.seconds_at_512 * (size_px / 512) ** 2 if known else None


def places(
    line: Sequence[Turn], seconds_of: Callable[[Turn], float | None], slots: int, now: datetime
) -> dict[int, Place]:
    """Play the line through the slots and return the place of every job in it.

    Args:
        line: the running jobs, then the waiting ones in their order.
        seconds_of: what the run of a job takes in all; behind a job of unknown length nothing of its lane is known.
        slots: how many long jobs run at a time; processing.lanes tells what short ones have beside them. With none at
            all nothing begins, and nobody can tell when it will.
    """
    found: dict[int, Place] = {}
    running: Counter[Lane] = Counter()
    ends: list[tuple[float, Lane]] = []
    waiting: dict[Lane, deque[Turn]] = {lane: deque() for lane in Lane}
    unknown: set[Lane] = set()
    users: set[tuple[int, Lane]] = set()
    for turn in line:
        lane = lane_of(turn.algorithm, turn.size_px)
        if turn.started_at is None:
            waiting[lane].append(turn)
            continue
        takes = seconds_of(turn)
        ran_s = (now - turn.started_at).total_seconds()
        ends_s = max((takes or 0.0) - ran_s, (takes or 0.0) * OVERDUE_SHARE)
        found[turn.job_id] = Place(0, None if takes is None else ends_s)
        if takes is None:
            unknown.add(lane)
        running[lane] += 1
        users.add((turn.user_id, lane))
        heapq.heappush(ends, (ends_s, lane))
    positions: Counter[Lane] = Counter()
    begins_s, at_once = 0.0, True
    while slots and any(waiting.values()):
        begun = next((lane for lane in may_begin(running, slots) if waiting[lane]), None)
        if begun is None:
            begins_s, ended = heapq.heappop(ends)
            running[ended] -= 1
            at_once = False
            continue
        turn = waiting[begun].popleft()
        takes = seconds_of(turn)
        if takes is None:
            unknown.add(begun)
        positions[begun] += not at_once
        ends_s = begins_s + (takes or 0.0)
        follows = not at_once and (turn.user_id, begun) in users
        found[turn.job_id] = Place(positions[begun], None if begun in unknown else ends_s, follows)
        running[begun] += 1
        users.add((turn.user_id, begun))
        heapq.heappush(ends, (ends_s, begun))
    for turns in waiting.values():
        found |= {turn.job_id: Place(position, None) for position, turn in enumerate(turns, 1)}
    return found


class Estimator:
    """Gives the places in a line, from the runs that the store remembers.

    Attributes:
        slots: how many long jobs run at a time; it may change while machines come and go.
    """

    def __init__(self, runs: Runs, slots: int) -> None:
        self._runs = runs
        self.slots = slots
        self._recent: dict[str, tuple[float, list[Run]]] = {}

    async def places(self, line: Sequence[Turn]) -> dict[int, Place]:
        recent = {key: await self._recent_runs(key) for key in {turn.algorithm for turn in line}}

        def seconds_of(turn: Turn) -> float | None:
            return run_seconds(turn.algorithm, turn.size_px, recent[turn.algorithm])

        return places(line, seconds_of, self.slots, datetime.now(UTC))

    async def _recent_runs(self, algorithm: str) -> list[Run]:
        read_at, runs = self._recent.get(algorithm, (-RECENT_FOR_S, []))
        if time.monotonic() - read_at >= RECENT_FOR_S:
            runs = await self._runs.recent_runs(algorithm, RECENT_RUNS)
            self._recent[algorithm] = (time.monotonic(), runs)
        return runs
