"""A job in words: accepted, growing, done, failed."""

from __future__ import annotations

from datetime import UTC, datetime

from locales.catalogue import Say, duration
from ml_models.contract import STROKE_SCALES, Progress
from ml_models.errors import NotEnoughMemoryError
from ml_models.registry import ALGORITHMS
from ml_models.shares import format_shares
from processing.instant_draft import wanted
from processing.job import Failure, Job, Order, Ticket

BAR_CELLS = 12
#: Before this share of the work is done, the time left would be a guess.
FIRST_ESTIMATE = 0.08


def title_of(order: Order) -> str:
    """Return the mode's title; an old job's mode may be gone from the registry."""
    algorithm = ALGORITHMS.get(order.algorithm)
    return algorithm.title if algorithm else order.algorithm


def unusual(say: Say, order: Order) -> list[str]:
    """Return what the order asks for beside its mode, its pictures and its size, each thing in a few words."""
    told = [say("about.start")] if order.start else []
    if order.strength != 1:
        told.append(say("about.strength", percent=round(100 * order.strength)))
    if order.stroke_scale != 1:
        told.append(say("about.strokes", strokes=strokes(say, order.stroke_scale)))
    if order.keep_colours:
        told.append(say("about.colours"))
    weights = [style.weight for style in order.styles]
    if len(set(weights)) > 1:
        told.append(say("about.shares", shares=format_shares(weights)))
    if order.seed:
        told.append(say("about.variant", seed=order.seed))
    return told


def strokes(say: Say, scale: float) -> str:
    """Return the name of a size of strokes, or how many times as large they are."""
    name = next((name for name, value in STROKE_SCALES.items() if value == scale), None)
    return say(f"stroke.{name}").lower() if name else f"×{scale:g}"


def accepted(say: Say, ticket: Ticket) -> str:
    """Accepted, what is not as usual, whether a draft comes first, the place in the queue, the estimate."""
    order = ticket.job.order
    mine = wanted(order) if order.draft_of else order
    about = ", ".join([f"{mine.size_px} px", *unusual(say, mine)])
    lines = [say("job.accepted", title=title_of(mine), about=about)]
    if order.draft_of:
        lines.append(say("job.draft_first"))
    if ticket.follows:
        lines.append(say("job.follows"))
    lines.append(say("job.place", position=ticket.position) if ticket.position else say("job.now"))
    if ticket.seconds is not None:
        lines.append(say("job.estimate", duration=duration(say, ticket.seconds)))
    return "\n".join(lines)


def progress(say: Say, job: Job, now: Progress) -> str:
    """Stage, bar, share done and the time left."""
    filled = int(now.fraction * BAR_CELLS)
    text = say(
        "job.progress",
        title=title_of(job.order),
        stage=say(f"stage.{now.stage}"),
        bar="▰" * filled + "▱" * (BAR_CELLS - filled),
        percent=int(now.fraction * 100),
    )
    if job.started_at and FIRST_ESTIMATE <= now.fraction < 1:
        spent_s = (datetime.now(UTC) - job.started_at).total_seconds()
        left_s = spent_s * (1 - now.fraction) / now.fraction
        text += "\n" + say("job.left", duration=duration(say, left_s))
    return text


def done(say: Say, job: Job) -> str:
    """The caption of a result: mode, size, time, encoder, where it was stopped, and what was not as usual.

    Of a draft also that it is one, and what is to come.
    """
    outcome, draft_of = job.outcome, job.order.draft_of
    if outcome is None:
        return title_of(job.order)
    caption = say(
        "job.draft" if draft_of else "job.done",
        title=title_of(job.order),
        width_px=outcome.width_px,
        height_px=outcome.height_px,
        duration=duration(say, outcome.seconds),
        encoder=outcome.encoder,
    )
    stopped = "" if outcome.stopped_at is None else say("job.stopped", percent=int(outcome.stopped_at * 100))
    lines = [caption, stopped, ", ".join(unusual(say, job.order))]
    if draft_of:
        mode = title_of(wanted(job.order))
        lines.append(say("job.draft_next", title=mode, size_px=draft_of.size_px))
    return "\n".join(filter(None, lines))


def failed(say: Say, failure: Failure) -> str:
    """What went wrong, what is allowed, what to do. A code or detail of another version gets the general sentence."""
    details = {name: round(value, 1) if isinstance(value, float) else value for name, value in failure.details.items()}
    # Not every shortage comes with a size that would do.
    fits = failure.code == NotEnoughMemoryError.code and details.get("largest_px")
    try:
        return say("errors.not_enough_memory_fits" if fits else f"errors.{failure.code}", **details)
    except KeyError:
        return say("errors.failed")
