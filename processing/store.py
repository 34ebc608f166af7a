"""The durable store: jobs, dialogues, updates seen. Every method is one transaction, committed when it returns.

What was committed survives the death of the process; a job and its state survive the loss of power too, while the last
words of a dialogue and the marks of updates may not: a flush of the disk for each would be felt in every answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from processing.database import Database, StoreError, Transactions
from processing.estimate import Run, Turn
from processing.job import (
    Backlog,
    Failure,
    Job,
    JobEndedError,
    NewJob,
    Outcome,
    QueueFullError,
    Status,
    UnknownJobError,
    UserQueueFullError,
)
from processing.lanes import Lane
from processing.statements import (
    ACTIVE,
    find_job,
    get_job,
    in_order,
    is_active,
    is_marked,
    is_short,
    is_unfinished,
    is_untold,
    moved,
    wait_again,
)
from processing.tables import dialogues, job_of, jobs, row_of, updates

__all__ = ["Store", "StoreError"]

MARKS_KEPT = timedelta(hours=24)
PRUNED_EVERY = timedelta(minutes=10)
#: A query may hold so many numbers and no more.
IDS_A_QUERY = 1000


def _now() -> datetime:
    return datetime.now(UTC)


class Store:
    """What the bot remembers over a restart, in the database of Settings.database."""

    def __init__(self, url: str, database: Callable[[str], Transactions] = Database) -> None:
        self._database = database(url)
        self._pruned_at = datetime.min.replace(tzinfo=UTC)

    async def open(self) -> None:
        """Create or migrate the tables; raise StoreError where the database cannot be used."""
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    # --- dialogues

    async def get_dialogue(self, key: str) -> tuple[str | None, dict[str, Any]]:
        def read(connection: Connection) -> tuple[str | None, dict[str, Any]]:
            query = select(dialogues.c.state, dialogues.c.data).where(dialogues.c.key == key)
            row = connection.execute(query).one_or_none()
            return (row.state, row.data) if row else (None, {})

        return await self._database.read(read)

    async def set_dialogue(self, key: str, state: str | None, data: dict[str, Any]) -> None:
        """Replace the dialogue; one without state and data is removed."""

        def write(connection: Connection) -> None:
            connection.execute(delete(dialogues).where(dialogues.c.key == key))
            if state is not None or data:
                connection.execute(insert(dialogues).values(key=key, state=state, data=data))

        await self._database.write(write, durable=False)

    async def dialogues_with(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Return key and data of the dialogues whose data has this top-level name."""

        def read(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
            rows = connection.execute(select(dialogues.c.key, dialogues.c.data).order_by(dialogues.c.key))
            return [(key, data) for key, data in rows if name in data]

        return await self._database.read(read)

    # --- updates

    async def update_seen(self, update_id: int) -> bool:
        def read(connection: Connection) -> bool:
            return is_marked(connection, update_id)

        return await self._database.read(read)

    async def mark_update(self, update_id: int) -> None:
        """Remember that this update was dealt with, for a day: Telegram keeps undelivered updates no longer."""
        now = _now()

        def write(connection: Connection) -> None:
            if not is_marked(connection, update_id):
                connection.execute(insert(updates).values(update_id=update_id, seen_at=now))
            if now - self._pruned_at > PRUNED_EVERY:
                connection.execute(delete(updates).where(updates.c.seen_at < now - MARKS_KEPT))
                self._pruned_at = now

        await self._database.write(write, durable=False)

    # --- jobs

    async def add(self, new: NewJob, *, queue_limit: int, user_queue_limit: int) -> tuple[Job, bool]:
        """Store a job and return it with True, or the one that the same origin made before with False.

        Raises UserQueueFullError or QueueFullError, and stores nothing then.
        """

        def write(connection: Connection) -> tuple[Job, bool]:
            self._one_at_a_time(connection)
            if earlier := find_job(connection, jobs.c.origin == new.origin):
                return earlier, False
            of_user = func.count().filter(jobs.c.user_id == new.user_id)
            counts = connection.execute(select(func.count(), of_user).select_from(jobs).where(is_active()))
            in_all, of_user_count = counts.one()
            if of_user_count >= user_queue_limit:
                raise UserQueueFullError(user_queue_limit)
            if in_all >= queue_limit:
                raise QueueFullError(queue_limit)
            return self._insert(connection, new), True

        return await self._database.write(write)

    async def replace(self, job_id: int, user_id: int, new: NewJob) -> tuple[Job, bool]:
        """Cancel a job that waits or runs and store another in its room, whatever the limits; return as add does.

        Raises UnknownJobError where it is not this user's, and JobEndedError where it is too late; nothing is stored
        then.
        """

        def write(connection: Connection) -> tuple[Job, bool]:
            self._one_at_a_time(connection)
            if get_job(connection, job_id).user_id != user_id:
                raise UnknownJobError(f"there is no job {job_id} of user {user_id}")
            if earlier := find_job(connection, jobs.c.origin == new.origin):
                return earlier, False
            if not self._cancel(connection, job_id):
                raise JobEndedError(f"job {job_id} neither waits nor runs any more")
            return self._insert(connection, new), True

        return await self._database.write(write)

    async def claim(self, job_id: int) -> Job | None:
        """Return the job, whose user is to be told now; None: that is another process's to do."""
        return await self.get(job_id)

    async def get(self, job_id: int) -> Job:
        """Return the job; raise UnknownJobError."""

        def read(connection: Connection) -> Job:
            return get_job(connection, job_id)

        return await self._database.read(read)

    async def active_jobs(self, user_id: int) -> list[Job]:
        """Return the user's jobs that wait or run, oldest first."""
        return await self._list(select(jobs).where(is_active(), jobs.c.user_id == user_id).order_by(jobs.c.id))

    async def job_ids(self, user_id: int) -> list[int]:
        """Return the numbers of all jobs of the user, in whatever state."""

        def read(connection: Connection) -> list[int]:
            return list(connection.scalars(select(jobs.c.id).where(jobs.c.user_id == user_id)))

        return await self._database.read(read)

    async def forget(self, user_id: int, dialogue: str) -> None:
        """Delete the user's jobs, in whatever state, and the dialogue of that key."""

        def write(connection: Connection) -> None:
            connection.execute(delete(jobs).where(jobs.c.user_id == user_id))
            connection.execute(delete(dialogues).where(dialogues.c.key == dialogue))

        await self._database.write(write)

    async def line(self) -> list[Turn]:
        """Return the running jobs, then the waiting ones in the order in which they will be taken."""

        def read(connection: Connection) -> list[Turn]:
            columns = (jobs.c.id, jobs.c.user_id, jobs.c.algorithm, jobs.c.size_px, jobs.c.started_at)
            rows = connection.execute(in_order().with_only_columns(*columns))
            return [Turn(*row) for row in rows]

        return await self._database.read(read)

    async def unfinished(self) -> list[Job]:
        """Return the jobs whose work is done and whose users do not know yet: painted, or failed and untold."""
        return await self._list(select(jobs).where(is_untold()).order_by(jobs.c.id))

    async def endings(self, job_ids: Sequence[int]) -> dict[int, tuple[Status, datetime | None]]:
        """Return the states of these jobs, and when their users were told the outcome, None while that is to come.

        A number that no job has is left out.
        """

        def read(connection: Connection) -> dict[int, tuple[Status, datetime | None]]:
            found: dict[int, tuple[Status, datetime | None]] = {}
            for at in range(0, len(job_ids), IDS_A_QUERY):
                some = jobs.c.id.in_(job_ids[at : at + IDS_A_QUERY])
                rows = connection.execute(select(jobs.c.id, jobs.c.status, jobs.c.told_at).where(some))
                found |= {row.id: (Status(row.status), row.told_at) for row in rows}
            return found

        return await self._database.read(read)

    async def take_next(self, lane: Lane | None = None) -> Job | None:
        """Mark the job whose turn it is, of all or of those of a lane, as running and return it; None: none waits."""

        def write(connection: Connection) -> Job | None:
            self._one_at_a_time(connection)
            waiting = in_order().where(jobs.c.status == Status.QUEUED)
            if lane is not None:
                waiting = waiting.where(is_short() if lane is Lane.SHORT else ~is_short())
            row = connection.execute(waiting.limit(1)).mappings().one_or_none()
            if row is None:
                return None
            values = {"status": Status.RUNNING, "started_at": _now(), "attempts": jobs.c.attempts + 1}
            connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(values))
            job = get_job(connection, row["id"])
            self._taken(connection, job)
            return job

        return await self._database.write(write)

    async def mark_painted(self, job_id: int, outcome: Outcome) -> Job:
        """running -> painted. Here and below: a job in another state stays as it is, and the row is returned."""
        values = {
            "width_px": outcome.width_px,
            "height_px": outcome.height_px,
            "seconds": outcome.seconds,
            "encoder": outcome.encoder,
            "stopped_at": outcome.stopped_at,
            "finished_at": _now(),
        }
        return await self._move(job_id, (Status.RUNNING,), Status.PAINTED, **values)

    async def mark_delivered(self, job_id: int) -> Job:
        """painted -> delivered"""
        return await self._move(job_id, (Status.PAINTED,), Status.DELIVERED, told_at=_now())

    async def mark_cancelled(self, job_id: int) -> Job:
        """queued or running -> cancelled; its owner knows, having asked for it."""

        def write(connection: Connection) -> Job:
            self._one_at_a_time(connection)
            self._cancel(connection, job_id)
            return get_job(connection, job_id)

        return await self._database.write(write)

    async def mark_failed(self, job_id: int, failure: Failure) -> Job:
        """queued, running or painted -> failed, its user not told yet."""
        values = {"failure_code": failure.code, "failure_details": failure.details, "finished_at": _now()}
        return await self._move(job_id, (Status.QUEUED, Status.RUNNING, Status.PAINTED), Status.FAILED, **values)

    async def mark_told(self, job_id: int) -> Job:
        """The user of a failed job knows why."""
        return await self._move(job_id, (Status.FAILED,), Status.FAILED, told_at=_now())

    async def count_worker_loss(self, job_id: int) -> Job:
        """A worker died under this running job."""
        values = {"worker_losses": jobs.c.worker_losses + 1, "started_at": _now()}

        def write(connection: Connection) -> Job:
            running = (Status.RUNNING,)
            if self.may_change(connection, job_id) and moved(connection, job_id, running, Status.RUNNING, **values):
                self._worker_lost(connection, job_id)
            return get_job(connection, job_id)

        return await self._database.write(write)

    async def give_back(self, job_id: int) -> Job:
        """running -> queued, as if it had not been taken: the bot stops in good order."""
        return await self._database.write(lambda connection: wait_again(connection, job_id))

    async def requeue_running(self) -> int:
        """running -> queued for every job that a killed bot left behind, attempts kept; return how many."""

        def write(connection: Connection) -> int:
            left = update(jobs).where(jobs.c.status == Status.RUNNING)
            return connection.execute(left.values(status=Status.QUEUED, started_at=None)).rowcount

        return await self._database.write(write)

    async def set_status_message(self, job_id: int, message_id: int, *, has_picture: bool = False) -> Job:
        """Remember the message that shows the job's progress, and whether it is a photo by now; return the job.

        Raises UnknownJobError.
        """

        def write(connection: Connection) -> Job:
            values = {"status_message_id": message_id, "status_has_picture": has_picture}
            changed = connection.execute(update(jobs).where(jobs.c.id == job_id).values(values).returning(jobs))
            row = changed.mappings().one_or_none()
            if row is None:
                raise UnknownJobError(f"there is no job {job_id}")
            return job_of(row)

        return await self._database.write(write, durable=False)

    async def counts(self) -> dict[Status, int]:
        """Return how many jobs there are in each state, zeros too."""

        def read(connection: Connection) -> dict[Status, int]:
            rows = connection.execute(select(jobs.c.status, func.count()).group_by(jobs.c.status))
            return dict.fromkeys(Status, 0) | {Status(status): count for status, count in rows}

        return await self._database.read(read)

    async def backlog(self) -> Backlog:
        """Return how much work there is; jobs that have ended are not read."""

        def read(connection: Connection) -> Backlog:
            waiting = jobs.c.status == Status.QUEUED
            columns = (
                func.count().filter(waiting),
                func.count().filter(jobs.c.status == Status.RUNNING),
                func.count().filter(is_untold()),
                func.min(jobs.c.created_at).filter(waiting),
            )
            return Backlog(*connection.execute(select(*columns).where(is_unfinished())).one())

        return await self._database.read(read)

    async def recent_runs(self, algorithm: str, limit: int) -> list[Run]:
        """Return what the latest runs of this algorithm took that went to their end, newest first."""

        def read(connection: Connection) -> list[Run]:
            columns = (jobs.c.width_px, jobs.c.height_px, jobs.c.seconds, jobs.c.encoder)
            finished = (jobs.c.algorithm == algorithm) & jobs.c.seconds.is_not(None) & jobs.c.stopped_at.is_(None)
            query = select(*columns).where(finished).order_by(jobs.c.finished_at.desc()).limit(limit)
            rows = connection.execute(query)
            return [Run(row.width_px * row.height_px / 1e6, row.seconds, row.encoder) for row in rows]

        return await self._database.read(read)

    # --- what a store of many processes does beside

    def _one_at_a_time(self, connection: Connection) -> None:
        """Let no other process change the queue until the transaction ends."""

    def _insert(self, connection: Connection, new: NewJob) -> Job:
        stored = connection.execute(insert(jobs).values(row_of(new, _now())).returning(jobs))
        return job_of(stored.mappings().one())

    def _taken(self, connection: Connection, job: Job) -> None:
        """This job was just marked as running."""

    def _cancelled(self, connection: Connection, job_id: int) -> None:
        """This job was just cancelled."""

    def _worker_lost(self, connection: Connection, job_id: int) -> None:
        """A worker was just lost under this job."""

    def may_change(self, connection: Connection, job_id: int) -> bool:
        """Tell whether this process may say what became of the job."""
        return True

    async def _list(self, query: Select[Any]) -> list[Job]:
        def read(connection: Connection) -> list[Job]:
            return [job_of(row) for row in connection.execute(query).mappings()]

        return await self._database.read(read)

    def _cancel(self, connection: Connection, job_id: int) -> bool:
        """queued or running -> cancelled; False: it is too late."""
        now = _now()
        cancelled = moved(connection, job_id, ACTIVE, Status.CANCELLED, finished_at=now, told_at=now)
        if cancelled:
            self._cancelled(connection, job_id)
        return cancelled

    async def _move(self, job_id: int, allowed: tuple[Status, ...], status: Status, **values: Any) -> Job:
        def write(connection: Connection) -> Job:
            if self.may_change(connection, job_id):
                moved(connection, job_id, allowed, status, **values)
            return get_job(connection, job_id)

        return await self._database.write(write)
