"""Two lanes: which kinds of jobs may begin, so that an instant one waits behind no painting and starves none.

Paintings have POOL_SIZE slots, and one slot more is for instant jobs alone. Instant jobs also take slots of the
paintings while no painting waits for them, so a painting waits for one instant run at most, which is a second or two.
"""

from __future__ import annotations

from collections.abc import Mapping

from ml_models.registry import ALGORITHMS, Kind

#: Slots beyond those of the paintings.
INSTANT_SLOTS = 1


def kind_of(algorithm: str) -> Kind:
    """Return the kind of the algorithm of that key; one that is there no more counts as painted."""
    known = ALGORITHMS.get(algorithm)
    return known.kind if known else Kind.PAINTED


def instant_keys() -> list[str]:
    return [algorithm.key for algorithm in ALGORITHMS.values() if algorithm.kind is Kind.INSTANT]


def may_begin(running: Mapping[Kind, int], slots: int) -> tuple[Kind, ...]:
    """Return the kinds of which a job may begin beside those that run, what goes first in front.

    Args:
        running: how many jobs of each kind run.
        slots: how many paintings may run.
    """
    painted = running.get(Kind.PAINTED, 0)
    if painted + running.get(Kind.INSTANT, 0) >= slots + INSTANT_SLOTS:
        return ()
    return (Kind.PAINTED, Kind.INSTANT) if painted < slots else (Kind.INSTANT,)
