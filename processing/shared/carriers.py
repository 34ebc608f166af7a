"""procrastinate's jobs, which carry ours: its own statements, run inside the store's transactions.

A carrier is a turn in one of procrastinate's queues, of which there is one a lane and one for what is only to be told.
Every job that waits has a carrier that is to do, every job that runs or is being told one that is being done, so what
procrastinate knows of its workers' heartbeats holds for our jobs too. Which waiting job a carrier takes up is the
store's to say: procrastinate alone would go by age, and one user's ten jobs would go before everybody else's first.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from procrastinate.jobs import Status
from procrastinate.sql import queries
from procrastinate.types import JobToDefer
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, RowMapping

#: The queue of what is painted or has failed and is only to be told.
TELL = "tell"
TASK = "paint"


def defer(connection: Connection, queue: str) -> int:
    """Put a carrier into the queue, of which procrastinate notifies its listeners; return its id."""
    new = JobToDefer(queue, TASK, 0, None, None, Jsonb({}), None)  # type: ignore[arg-type]
    return int(_rows(connection, "defer_jobs", jobs=[tuple(new)])[0]["id"])


def fetch(connection: Connection, queue: str, worker_id: int | None) -> int | None:
    """Return the id of a carrier of the queue that is to do, from now on done by this worker; None: there is none."""
    [row] = _rows(connection, "fetch_job", queues=[queue], worker_id=worker_id)
    return None if row["id"] is None else int(row["id"])


def cancel(connection: Connection, carrier_id: int) -> bool:
    """Remove a carrier that is to do; False: it is being done."""
    [row] = _rows(connection, "cancel_job", job_id=carrier_id, abort=False, delete_job=True)
    return row["id"] is not None


def finish(connection: Connection, carrier_id: int) -> None:
    """Remove a carrier that is being done: what it carried was told, or was cancelled."""
    _rows(connection, "finish_job", job_id=carrier_id, status=Status.SUCCEEDED.value, delete_job=True)


def retry(connection: Connection, carrier_id: int, queue: str | None = None) -> None:
    """Have a carrier that is being done done again, in another queue if one is given. Nobody is notified."""
    _rows(
        connection,
        "retry_job",
        job_id=carrier_id,
        retry_at=datetime.now(UTC),
        new_priority=None,
        new_queue_name=queue,
        new_lock=None,
    )


def stalled(connection: Connection, after_s: float) -> list[int]:
    """Return the ids of the carriers done by nobody: their worker has gone, or was silent for so many seconds."""
    rows = _rows(
        connection, "select_stalled_jobs_by_heartbeat", queue=None, task_name=None, seconds_since_heartbeat=after_s
    )
    return [row["id"] for row in rows]


def register(connection: Connection) -> int:
    """Return the id of a new worker."""
    return int(_rows(connection, "register_worker")[0]["worker_id"])


def unregister(connection: Connection, worker_id: int) -> None:
    _rows(connection, "unregister_worker", worker_id=worker_id)


def beat(connection: Connection, worker_id: int) -> None:
    """Say that this worker lives."""
    _rows(connection, "update_heartbeat", worker_id=worker_id)


def prune(connection: Connection, after_s: float) -> None:
    """Forget the workers that were silent for so many seconds."""
    _rows(connection, "prune_stalled_workers", seconds_since_heartbeat=after_s)


def _rows(connection: Connection, query: str, **values: Any) -> list[RowMapping]:
    return list(connection.exec_driver_sql(queries[query], values or None).mappings())
