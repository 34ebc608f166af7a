"""One run in a worker: an algorithm alone, or a painted one that starts from the result of an instant one."""

from __future__ import annotations

import io
import time
from dataclasses import replace

from ml_models.contract import (
    OnProgress,
    Progress,
    ShouldStop,
    Stage,
    StyleTransferRequest,
    StyleTransferResult,
    never,
)
from ml_models.registry import Algorithm
from processing.instant_draft import draft_size_px

#: Of the whole run's progress, what the instant algorithm is given.
START_SHARE = 0.05
PREVIEW_PX = 384


def paint(
    algorithm: Algorithm,
    start: Algorithm | None,
    request: StyleTransferRequest,
    on_progress: OnProgress,
    should_stop: ShouldStop,
) -> StyleTransferResult:
    """Run the algorithm; with a start, run that first on the same request and begin with its picture.

    Such a start takes a second or two, so it is made anew rather than kept: same request, same bytes. Its picture is
    the first that is shown, the progress of the two is one, and so are the seconds of the result.
    """
    if start is None:
        return algorithm.load()(request, on_progress, should_stop)
    began = time.perf_counter()

    def starting(progress: Progress) -> None:
        on_progress(Progress(START_SHARE * progress.fraction, Stage.PREPARING))

    def painting(progress: Progress) -> None:
        on_progress(replace(progress, fraction=START_SHARE + (1 - START_SHARE) * progress.fraction))

    size_px = draft_size_px(start, request.size_px)
    draft = start.load()(replace(request, size_px=size_px), starting, never)
    on_progress(Progress(START_SHARE, Stage.PREPARING, _preview(draft.image)))
    result = algorithm.load()(replace(request, initial=draft.image), painting, should_stop)
    return replace(result, seconds=time.perf_counter() - began)


def _preview(image: bytes) -> bytes:
    from PIL import Image

    from ml_models.images import encode_preview

    with Image.open(io.BytesIO(image)) as picture:
        return encode_preview(picture.convert("RGB"), PREVIEW_PX)
