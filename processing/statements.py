"""Statements inside the transactions of a store: which jobs there are, in what order, and how they change."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, false, func, or_, select, update

from processing.job import Job, Status, UnknownJobError
from processing.lanes import short_up_to_px
from processing.tables import job_of, jobs, updates

ACTIVE = tuple(status for status in Status if status.active)


def moved(connection: Connection, job_id: int, allowed: tuple[Status, ...], status: Status, **values: Any) -> bool:
    """Compare and set: a job whose state is not among the allowed ones is left alone; False then."""
    change = update(jobs).where(jobs.c.id == job_id, jobs.c.status.in_(allowed))
    return bool(connection.execute(change.values(status=status, **values)).rowcount)


def wait_again(connection: Connection, job_id: int) -> Job:
    """running -> queued, as if it had not been taken."""
    values = {"attempts": jobs.c.attempts - 1, "started_at": None}
    moved(connection, job_id, (Status.RUNNING,), Status.QUEUED, **values)
    return get_job(connection, job_id)


def is_active() -> ColumnElement[bool]:
    """Return the condition that a job waits or runs."""
    return jobs.c.status.in_(ACTIVE)


def is_untold() -> ColumnElement[bool]:
    """Return the condition that a job is done, and its user does not know yet."""
    return or_(jobs.c.status == Status.PAINTED, (jobs.c.status == Status.FAILED) & jobs.c.told_at.is_(None))


def is_unfinished() -> ColumnElement[bool]:
    """Return the condition that a job's user is still to be told of its outcome."""
    return is_active() | is_untold()


def is_short() -> ColumnElement[bool]:
    """Return the condition that a job is of the short lane."""
    limits = short_up_to_px().items()
    return or_(false(), *((jobs.c.algorithm == key) & (jobs.c.size_px <= limit) for key, limit in limits))


def in_order() -> Select[Any]:
    """Running jobs, then the fair order: everybody's first job, running ones counted, before anybody's second.

    Short jobs and long ones are counted apart: they have slots of their own.
    """
    runs_first = case((jobs.c.status == Status.RUNNING, 0), else_=1)
    lane = (jobs.c.user_id, case((is_short(), 1), else_=0))
    turn = func.row_number().over(partition_by=lane, order_by=(runs_first, jobs.c.id)).label("turn")
    turns = select(jobs.c.id, turn).where(is_active()).subquery()
    return select(jobs).join(turns, turns.c.id == jobs.c.id).order_by(runs_first, turns.c.turn, jobs.c.id)


def find_job(connection: Connection, which: ColumnElement[bool]) -> Job | None:
    row = connection.execute(select(jobs).where(which)).mappings().one_or_none()
    return job_of(row) if row else None


def get_job(connection: Connection, job_id: int) -> Job:
    """Return the job; raise UnknownJobError."""
    job = find_job(connection, jobs.c.id == job_id)
    if job is None:
        raise UnknownJobError(f"there is no job {job_id}")
    return job


def is_marked(connection: Connection, update_id: int) -> bool:
    """Tell whether this update was dealt with."""
    return connection.scalar(select(updates.c.update_id).where(updates.c.update_id == update_id)) is not None
