"""How a length is cut into near-equal parts, for tiles."""

from __future__ import annotations

from itertools import pairwise


def spans(length: int, part_px: int, unit_px: int) -> list[tuple[int, int]]:
    """Return (start, end) of near-equal parts of at most about part_px, starts in multiples of unit_px."""
    count = -(-length // part_px)
    cuts = [round(length * index / count / unit_px) * unit_px for index in range(count)]
    return [(start, end) for start, end in pairwise([*cuts, length]) if end > start]
