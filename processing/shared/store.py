"""The store of many machines: that of one, on PostgreSQL, with a carrier for each job that is not over."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    any_,
    delete,
    func,
    insert,
    literal,
    make_url,
    select,
    update,
)

from processing.job import WORKER_LOSSES_ALLOWED, Failure, Job, NewJob, Status
from processing.lanes import lane_of
from processing.shared import carriers, tables
from processing.shared.carriers import TELL
from processing.shared.database import QUEUE_LOCK, SharedDatabase
from processing.shared.tables import carried
from processing.statements import get_job, is_unfinished, wait_again
from processing.store import Store
from processing.tables import dialogues, jobs

#: The channel on which processes tell one another of jobs.
CHANNEL = "painter"
#: No worker's id: who has left may change nothing any more.
NOBODY = 0


class Word(StrEnum):
    """What is said on the channel, with the job that it is about."""

    CUT = "cut"
    KEEP = "keep"
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Held:
    """A job that this process has to do with.

    Attributes:
        told: its user knows the outcome.
        keep_asked: its owner wants the picture so far.
    """

    status: Status
    told: bool
    keep_asked: bool


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a process learns when it says that it lives.

    Attributes:
        held: the jobs that are its own, by their ids.
        slots: long jobs that are painted at a time, by all processes.
        leads: it is the oldest that lives, and does what one alone is to do.
    """

    held: dict[int, Held]
    slots: int
    leads: bool


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of the jobs of processes that are gone: they wait again, have failed, or are only to be told."""

    again: list[int]
    failed: list[int]
    to_tell: list[int]


class SharedStore(Store):
    """What the bots and workers of many machines remember together.

    A process that runs jobs is one of procrastinate's workers: it registers, beats, and leaves. What it says of a job
    that is no longer its own changes nothing, so a process that was thought dead does no harm when it comes back.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, SharedDatabase)
        self.database = self._database
        self.conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self.worker_id: int | None = None

    # --- this process among the others

    async def register(self, slots: int) -> None:
        """Begin to take jobs, so many long ones at a time."""

        def write(connection: Connection) -> int:
            worker_id = carriers.register(connection)
            connection.execute(insert(tables.slots).values(worker_id=worker_id, slots=slots))
            return worker_id

        self.worker_id = await self._database.write(write)

    async def beat(self, stalled_after_s: float) -> Pulse | None:
        """Say that this process lives; None: it was silent for too long, and its jobs are others' by now."""
        worker_id = self.worker_id

        def write(connection: Connection) -> Pulse | None:
            if worker_id is None or not connection.scalar(select(tables.beats.c.id).where(_is_beat(worker_id))):
                return None
            carriers.beat(connection, worker_id)
            alive = tables.beats.c.last_heartbeat > func.now() - timedelta(seconds=stalled_after_s)
            of_all = select(func.coalesce(func.sum(tables.slots.c.slots), 0), func.min(tables.slots.c.worker_id))
            slots, oldest = connection.execute(of_all.join_from(tables.slots, tables.beats).where(alive)).one()
            columns = (jobs.c.id, jobs.c.status, jobs.c.told_at, carried.c.keep_asked)
            mine = select(*columns).join_from(carried, jobs).join(tables.carriers, _carries()).where(_is_of(worker_id))
            held = {row[0]: Held(Status(row[1]), row[2] is not None, row[3]) for row in connection.execute(mine)}
            return Pulse(held, slots, oldest == worker_id)

        return await self._database.write(write)

    async def leave(self) -> None:
        """Hand what this process has to do with to the others, and be no worker any more."""
        if self.worker_id is None:
            return
        worker_id, self.worker_id = self.worker_id, NOBODY

        def write(connection: Connection) -> None:
            self._one_at_a_time(connection)
            for carrier_id, job in _carried_by(connection, worker_id):
                if job and job.status is Status.RUNNING:
                    job = wait_again(connection, job.id)
                _pass_on(connection, carrier_id, job)
            carriers.unregister(connection, worker_id)
            _say(connection, Word.LOOK)

        await self._database.write(write)

    async def sweep(self, stalled_after_s: float) -> Swept:
        """Take the jobs of processes that were silent for so many seconds, and have others go on with them.

        A job that was being painted has lost a worker; the second loss fails it.
        """

        def write(connection: Connection) -> Swept:
            swept = Swept([], [], [])
            self._one_at_a_time(connection)
            for carrier_id in carriers.stalled(connection, stalled_after_s):
                self._recover(connection, carrier_id, swept)
            carriers.prune(connection, stalled_after_s)
            self._mend(connection, swept)
            if swept.again or swept.failed or swept.to_tell:
                _say(connection, Word.LOOK)
            return swept

        return await self._database.write(write)

    # --- jobs

    async def take_untold(self) -> Job | None:
        """Return a job whose user is to be told of what another process has left, now this one's; None: there is none.

        A carrier whose job is over or gone is put away on the way.
        """

        def write(connection: Connection) -> Job | None:
            self._one_at_a_time(connection)
            while (carrier_id := carriers.fetch(connection, TELL, self.worker_id)) is not None:
                job = _job_of(connection, carrier_id)
                if job and not _is_over(job):
                    return job
                _put_away(connection, carrier_id)
            return None

        return await self._database.write(write)

    async def claim(self, job_id: int) -> Job | None:
        def write(connection: Connection) -> Job | None:
            if not self.may_change(connection, job_id):
                return None
            if self.worker_id is not None:
                # So that nobody takes it over while it is being sent.
                carriers.beat(connection, self.worker_id)
            return get_job(connection, job_id)

        return await self._database.write(write)

    async def release(self, job_id: int) -> None:
        """Work on the job has stopped: if it is over, nothing carries it any more. One of another process is left."""

        def write(connection: Connection) -> None:
            carrier_id = _carrier_of(connection, job_id)
            mine = carrier_id is not None and self.may_change(connection, job_id)
            if carrier_id is not None and mine and _is_over(get_job(connection, job_id)):
                _put_away(connection, carrier_id)

        await self._database.write(write)

    async def is_carried(self, job_id: int) -> bool:
        """Tell whether a process has still to do with the job."""
        return await self._database.read(lambda connection: _carrier_of(connection, job_id) is not None)

    async def give_back(self, job_id: int) -> Job:
        def write(connection: Connection) -> Job:
            self._one_at_a_time(connection)
            carrier_id, job = _carrier_of(connection, job_id), get_job(connection, job_id)
            if job.status is Status.RUNNING and carrier_id is not None and self.may_change(connection, job_id):
                carriers.retry(connection, carrier_id)
                _say(connection, Word.LOOK)
                return wait_again(connection, job_id)
            return job

        return await self._database.write(write)

    async def ask_to_keep(self, job_id: int) -> bool:
        """Have the process that runs the job end it with the picture so far; False: that was asked before."""

        def write(connection: Connection) -> bool:
            asked = update(carried).where(carried.c.job_id == job_id, ~carried.c.keep_asked).values(keep_asked=True)
            news = bool(connection.execute(asked).rowcount)
            if news:
                _say(connection, Word.KEEP, job_id)
            return news

        return await self._database.write(write)

    async def dialogues_with(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        query = select(dialogues.c.key, dialogues.c.data).where(dialogues.c.data[name].is_not(None))
        return await self._database.read(lambda connection: [(key, data) for key, data in connection.execute(query)])

    # --- inside the transactions

    def _one_at_a_time(self, connection: Connection) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(QUEUE_LOCK)))

    def _insert(self, connection: Connection, new: NewJob) -> Job:
        job = super()._insert(connection, new)
        carrier_id = carriers.defer(connection, _lane(job))
        connection.execute(insert(carried).values(job_id=job.id, carrier_id=carrier_id))
        return job

    def _taken(self, connection: Connection, job: Job) -> None:
        """Have a carrier of its lane carry the job; the one that the job had then carries that one's."""
        own = _carrier_of(connection, job.id)
        carrier_id = carriers.fetch(connection, _lane(job), self.worker_id)
        if carrier_id is None:
            # Somebody has emptied procrastinate's queue, or the lane of the algorithm is another one by now.
            carriers.defer(connection, _lane(job))
            carrier_id = carriers.fetch(connection, _lane(job), self.worker_id)
            assert carrier_id is not None  # noqa: S101 - it was put there, and nobody else may look
        if own is None:
            connection.execute(insert(carried).values(job_id=job.id, carrier_id=carrier_id))
        elif carrier_id != own:
            swap = update(carried).where(carried.c.carrier_id == carrier_id)
            connection.execute(swap.values(carrier_id=own))
        mine = update(carried).where(carried.c.job_id == job.id)
        connection.execute(mine.values(carrier_id=carrier_id, keep_asked=False))

    def _cancelled(self, connection: Connection, job_id: int) -> None:
        # A process that is gone may have stored them and said so no more.
        drop_pictures(connection, job_id)
        carrier_id = _carrier_of(connection, job_id)
        if carrier_id is not None and carriers.cancel(connection, carrier_id):
            connection.execute(delete(carried).where(carried.c.job_id == job_id))
        else:
            _say(connection, Word.CUT, job_id)

    def _worker_lost(self, connection: Connection, job_id: int) -> None:
        # The wish to keep dies with the worker.
        connection.execute(update(carried).where(carried.c.job_id == job_id).values(keep_asked=False))

    def may_change(self, connection: Connection, job_id: int) -> bool:
        if self.worker_id is None:
            return True
        mine = select(carried.c.job_id).join(tables.carriers, _carries()).where(carried.c.job_id == job_id)
        # Locked, so that nobody takes the job over before this transaction ends.
        held = mine.where(_is_of(self.worker_id)).with_for_update(read=True, of=tables.carriers)
        return connection.scalar(held) is not None

    def _recover(self, connection: Connection, carrier_id: int, swept: Swept) -> None:
        job = _job_of(connection, carrier_id)
        if job is not None and job.status is Status.RUNNING:
            losses = job.worker_losses + 1
            values: dict[str, Any] = {"status": Status.QUEUED, "worker_losses": losses, "started_at": None}
            if losses > WORKER_LOSSES_ALLOWED:
                lost = Failure("worker_lost", {})
                values |= {"status": Status.FAILED, "failure_code": lost.code, "failure_details": lost.details}
                values |= {"finished_at": datetime.now(UTC)}
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(values))
            job = get_job(connection, job.id)
            (swept.failed if job.status is Status.FAILED else swept.again).append(job.id)
        elif job is not None and not _is_over(job):
            swept.to_tell.append(job.id)
        if job is not None and job.status in (Status.FAILED, Status.CANCELLED):
            drop_pictures(connection, job.id)
        _pass_on(connection, carrier_id, job)

    def _mend(self, connection: Connection, swept: Swept) -> None:
        """Give a carrier to each job that has lost its own, and put those away that carry nothing any more."""
        bare = select(jobs.c.id).outerjoin(carried).outerjoin(tables.carriers, _carries())
        for job_id in connection.scalars(bare.where(tables.carriers.c.id.is_(None), is_unfinished())).all():
            job = get_job(connection, job_id)
            if job.status is Status.RUNNING:
                job = wait_again(connection, job_id)
                swept.again.append(job_id)
            elif job.status is not Status.QUEUED:
                swept.to_tell.append(job_id)
            connection.execute(delete(carried).where(carried.c.job_id == job_id))
            carrier_id = carriers.defer(connection, _lane(job) if job.status is Status.QUEUED else TELL)
            connection.execute(insert(carried).values(job_id=job_id, carrier_id=carrier_id))
        idle = select(tables.carriers.c.id, tables.carriers.c.status).outerjoin(carried, _carries())
        for carrier_id, status in connection.execute(idle.where(carried.c.job_id.is_(None))).all():
            if status in ("todo", "doing"):
                carriers.finish(connection, carrier_id)


def create_store(url: str) -> Store:
    """Return the store for the SQLAlchemy address of a database: SQLite's is one machine's own."""
    return SharedStore(url) if make_url(url).get_backend_name() == "postgresql" else Store(url)


def _pass_on(connection: Connection, carrier_id: int, job: Job | None) -> None:
    """Have others go on with what this carrier carries, which is being done, or put it away where nothing is left."""
    if job is None or _is_over(job):
        _put_away(connection, carrier_id)
    else:
        carriers.retry(connection, carrier_id, None if job.status is Status.QUEUED else TELL)


def drop_pictures(connection: Connection, *job_ids: int) -> None:
    """Delete the pictures of these jobs; with the rows of the jobs they go by themselves."""
    ids = literal(list(job_ids), ARRAY(BigInteger))
    connection.execute(delete(tables.pictures).where(tables.pictures.c.job_id == any_(ids)))


def _put_away(connection: Connection, carrier_id: int) -> None:
    carriers.finish(connection, carrier_id)
    connection.execute(delete(carried).where(carried.c.carrier_id == carrier_id))


def _is_over(job: Job) -> bool:
    return job.status in (Status.DELIVERED, Status.CANCELLED) or (job.status is Status.FAILED and bool(job.told_at))


def _lane(job: Job) -> str:
    return lane_of(job.order.algorithm, job.order.size_px).value


def _carries() -> ColumnElement[bool]:
    return tables.carriers.c.id == carried.c.carrier_id


def _is_of(worker_id: int) -> ColumnElement[bool]:
    return (tables.carriers.c.status == "doing") & (tables.carriers.c.worker_id == worker_id)


def _is_beat(worker_id: int) -> ColumnElement[bool]:
    return tables.beats.c.id == worker_id


def _carrier_of(connection: Connection, job_id: int) -> int | None:
    return connection.scalar(select(carried.c.carrier_id).where(carried.c.job_id == job_id))


def _job_of(connection: Connection, carrier_id: int) -> Job | None:
    job_id = connection.scalar(select(carried.c.job_id).where(carried.c.carrier_id == carrier_id))
    return None if job_id is None else get_job(connection, job_id)


def _carried_by(connection: Connection, worker_id: int) -> list[tuple[int, Job | None]]:
    query = select(tables.carriers.c.id).where(_is_of(worker_id))
    return [(carrier_id, _job_of(connection, carrier_id)) for carrier_id in connection.scalars(query).all()]


def _say(connection: Connection, word: Word, job_id: int | None = None) -> None:
    connection.execute(select(func.pg_notify(CHANNEL, json.dumps({"word": word, "job_id": job_id}))))
