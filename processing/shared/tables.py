"""The tables that many machines need beside those of the store; procrastinate makes its own."""

from __future__ import annotations

from procrastinate.jobs import Status
from sqlalchemy import BigInteger, Boolean, Column, DateTime, ForeignKey, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ENUM

from processing.tables import Instant, jobs

#: Made by procrastinate; here to be joined with.
_procrastinate = MetaData()
carriers = Table(
    "procrastinate_jobs",
    _procrastinate,
    Column("id", BigInteger, primary_key=True),
    Column("queue_name", Text),
    Column("status", ENUM(*(status.value for status in Status), name="procrastinate_job_status", create_type=False)),
    Column("worker_id", BigInteger),
)
beats = Table(
    "procrastinate_workers",
    _procrastinate,
    Column("id", BigInteger, primary_key=True),
    Column("last_heartbeat", DateTime(timezone=True)),
)

metadata = MetaData()

shared_schema = Table(
    "shared_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("procrastinate", Text, nullable=False),
)

#: Which of procrastinate's jobs carries a job, from when it is accepted until its user was told.
carried = Table(
    "carried",
    metadata,
    Column("job_id", BigInteger, ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("carrier_id", BigInteger, nullable=False, index=True),
    # Its owner wants the picture so far.
    Column("keep_asked", Boolean, nullable=False, default=False),
)

#: The results: no machine can reach the disk of another.
pictures = Table(
    "pictures",
    metadata,
    Column("job_id", BigInteger, ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("picture", LargeBinary, nullable=False),
    Column("photo", LargeBinary, nullable=False),
    Column("stored_at", Instant, nullable=False),
)

#: How many long jobs each process paints at a time.
slots = Table(
    "worker_slots",
    metadata,
    Column("worker_id", BigInteger, ForeignKey(beats.c.id, ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("slots", Integer, nullable=False),
)
