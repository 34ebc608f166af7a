"""The tables of the store, and the way between a row and a Job. Nothing here is peculiar to one database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    TypeDecorator,
)

from processing.job import Failure, Job, NewJob, Order, Outcome, Picture, Status, Wanted, WeightedStyle


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, kept as seconds since 1970: the same in every database, and comparable there."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> float | None:
        return None if value is None else value.timestamp()

    def process_result_value(self, value: float | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


# SQLite numbers rows by itself only where the type is spelt INTEGER.
Identifier = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

dialogues = Table(
    "dialogues",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("state", String(200)),
    Column("data", JSON, nullable=False),
)

updates = Table(
    "updates",
    metadata,
    Column("update_id", Identifier, primary_key=True, autoincrement=False),
    Column("seen_at", Instant, nullable=False, index=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("origin", String(200), nullable=False, unique=True),
    Column("user_id", BigInteger, nullable=False),
    Column("chat_id", BigInteger, nullable=False),
    Column("language", String(16), nullable=False),
    Column("algorithm", String(16), nullable=False),
    Column("size_px", Integer, nullable=False),
    Column("order", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("attempts", Integer, nullable=False, default=0),
    Column("worker_losses", Integer, nullable=False, default=0),
    Column("status_message_id", BigInteger),
    Column("status_has_picture", Boolean, nullable=False, default=False),
    Column("width_px", Integer),
    Column("height_px", Integer),
    Column("seconds", Double),
    Column("encoder", Text),
    Column("failure_code", String(64)),
    Column("failure_details", JSON(none_as_null=True)),
    Column("told_at", Instant),
    Column("stopped_at", Double),  # a share of the work, not a moment
    Index("jobs_by_status", "status", "user_id"),
    Index("jobs_by_algorithm", "algorithm", "finished_at"),
    # An id names a folder of pictures, so a number is never given out twice.
    sqlite_autoincrement=True,
)


def row_of(new: NewJob, now: datetime) -> dict[str, Any]:
    return {
        "origin": new.origin,
        "user_id": new.user_id,
        "chat_id": new.chat_id,
        "language": new.language,
        "algorithm": new.order.algorithm,
        "size_px": new.order.size_px,
        "order": asdict(new.order),
        "status": Status.QUEUED,
        "created_at": now,
    }


def job_of(row: RowMapping) -> Job:
    outcome = failure = None
    if row["seconds"] is not None:
        outcome = Outcome(row["width_px"], row["height_px"], row["seconds"], row["encoder"], row["stopped_at"])
    if row["failure_code"] is not None:
        failure = Failure(row["failure_code"], row["failure_details"] or {})
    return Job(
        id=row["id"],
        origin=row["origin"],
        user_id=row["user_id"],
        chat_id=row["chat_id"],
        language=row["language"],
        order=_order_of(row["order"]),
        status=Status(row["status"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        attempts=row["attempts"],
        worker_losses=row["worker_losses"],
        status_message_id=row["status_message_id"],
        status_has_picture=row["status_has_picture"],
        outcome=outcome,
        failure=failure,
        told_at=row["told_at"],
    )


def _order_of(stored: Mapping[str, Any]) -> Order:
    """Read an order; a field that this version no longer knows is left out, one that was not yet stored is default."""
    known = {field.name for field in fields(Order)}
    values = {name: value for name, value in stored.items() if name in known}
    values["content"] = Picture(**stored["content"])
    values["styles"] = tuple(
        WeightedStyle(Picture(**style["picture"]), float(style["weight"])) for style in stored["styles"]
    )
    if wanted := values.get("draft_of"):
        values["draft_of"] = Wanted(**wanted)
    return Order(**values)
