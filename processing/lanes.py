"""Two lanes: which jobs may begin, so that a short one waits behind no painting and starves none.

Long jobs have POOL_SIZE slots, and one slot more is for short ones alone. Short jobs also take slots of the long ones
while no long one waits for them, so a painting waits for one short run at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

from ml_models.registry import ALGORITHMS, Algorithm, Kind

#: Slots beyond those of the long jobs.
SHORT_SLOTS = 1
#: What an instant algorithm is thought to take at most in a short run; a large picture may take it minutes.
SHORT_S = 5.0


class Lane(StrEnum):
    LONG = "long"
    SHORT = "short"


def kind_of(algorithm: str) -> Kind:
    """Return the kind of the algorithm of that key; one that is there no more counts as painted."""
    known = ALGORITHMS.get(algorithm)
    return known.kind if known else Kind.PAINTED


def lane_of(algorithm: str, size_px: int) -> Lane:
    """Return the lane of a job of the algorithm of that key."""
    return Lane.SHORT if size_px <= short_up_to_px().get(algorithm, 0) else Lane.LONG


def short_up_to_px() -> dict[str, int]:
    """Return the largest longer side of a short run for every instant algorithm, by the registry's own estimate.

    Not by what was measured here: a job must not change lanes while it waits.
    """

    def largest_px(algorithm: Algorithm) -> int:
        return int(512 * math.sqrt(SHORT_S / algorithm.seconds_at_512))

    return {each.key: largest_px(each) for each in ALGORITHMS.values() if each.kind is Kind.INSTANT}


def may_begin(running: Mapping[Lane, int], slots: int) -> tuple[Lane, ...]:
    """Return the lanes of which a job may begin beside those that run, what goes first in front.

    Args:
        running: how many jobs of each lane run.
        slots: how many long ones may run.
    """
    long = running.get(Lane.LONG, 0)
    if long + running.get(Lane.SHORT, 0) >= slots + SHORT_SLOTS:
        return ()
    return (Lane.LONG, Lane.SHORT) if long < slots else (Lane.SHORT,)
