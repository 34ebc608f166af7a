"""The line of jobs as the last look at the store showed it, so that a burst of orders does not read it once each."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from processing.estimate import Turn
from processing.lanes import Lane, lane_of


class Lines(Protocol):
    """Where the line is kept; the store is one."""

    async def line(self) -> list[Turn]:
        """Return the running jobs, then the waiting ones in the order in which they will be taken."""
        ...


class Line:
    """The line, read anew after every change but a job that joins it. One process changes it, which tells all here."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._known: list[Turn] | None = None
        self._changes = 0

    async def read(self) -> list[Turn]:
        if self._known is not None:
            return self._known
        changes = self._changes
        line = await self._lines.line()
        if changes == self._changes:
            self._known = line
        return line

    def changed(self) -> None:
        """A job left the line, or began to run."""
        self._known = None
        self._changes += 1

    def joined(self, turn: Turn) -> None:
        """A job was stored and waits; it goes before everybody's later ones."""
        self._changes += 1
        if self._known is not None and turn not in self._known:
            self._known.insert(place_of(turn, self._known), turn)


def place_of(turn: Turn, line: list[Turn]) -> int:
    """Return the index at which a new job enters the line: behind all whose number is no higher.

    The number of a job is its place among those of its user in its lane.
    """

    def lane(of: Turn) -> tuple[int, Lane]:
        return of.user_id, lane_of(of.algorithm, of.size_px)

    number = 1 + sum(lane(other) == lane(turn) for other in line)
    numbers: Counter[tuple[int, Lane]] = Counter()
    for index, other in enumerate(line):
        numbers[lane(other)] += 1
        if other.started_at is None and numbers[lane(other)] > number:
            return index
    return len(line)
