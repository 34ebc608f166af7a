"""Runs that would take too much memory are refused before they start."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import takewhile

from ml_models.contract import MIN_SIZE_PX, StyleTransferRequest
from ml_models.errors import NotEnoughMemoryError

#: Steps in which the size that would fit is looked for.
STEP_PX = 64


def check_memory(request: StyleTransferRequest, size: tuple[int, int], needed_mb: Callable[[int, int], int]) -> None:
    """Raise NotEnoughMemoryError where a run on the CPU would take more than request.memory_mb.

    Its details carry largest_px, the longer side that would fit, where one does.

    Args:
        size: (width_px, height_px) of the result.
        needed_mb: (width_px, height_px) -> the peak memory of the process in megabytes (2**20 bytes).
    """

    def needed(longer_px: int) -> int:
        scale = longer_px / max(size)
        return needed_mb(*(math.ceil(side * scale) for side in size))

    limit_mb = request.memory_mb
    if limit_mb is None or needed(max(size)) <= limit_mb:
        return
    # Pictures in tiles may need less than one that just is a tile, so what is named is below every size that does not
    # fit.
    fits = list(takewhile(lambda px: needed(px) <= limit_mb, range(MIN_SIZE_PX, max(size), STEP_PX)))
    largest = {"largest_px": fits[-1]} if fits else {}
    advice = f"ask for at most {fits[-1]} px" if fits else "give it more memory"
    raise NotEnoughMemoryError(
        f"{request.size_px} px would take {needed(max(size))} MB, {limit_mb} MB are allowed: {advice}",
        needed_mb=needed(max(size)),
        limit_mb=limit_mb,
        size_px=request.size_px,
        **largest,
    )
