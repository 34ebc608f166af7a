"""The job: one picture asked for, from the moment it is accepted to the one outcome that its user is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ml_models.contract import DEFAULT_SIZE_PX

#: Seconds before each further try to fetch a picture that Telegram did not give.
FETCH_PAUSES_S = (1.0, 3.0, 9.0)
#: So often a job whose worker was lost is painted again; the next loss fails it.
WORKER_LOSSES_ALLOWED = 1


class Status(StrEnum):
    """Where a job is.

    queued -> running -> painted -> delivered; cancelled from the first two, failed from the first three.
    A painted job's picture is stored and on its way to the user, too late to cancel; delivered, cancelled and failed
    are final. A failed job whose user has not been told yet has told_at None; it is told after a restart too.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAINTED = "painted"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def active(self) -> bool:
        """Counts against the limits: waits or runs."""
        return self in (Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that lies on Telegram's servers.

    Attributes:
        file_id: what getFile takes.
        as_file: sent as a file (document), not as a photo.
        size_bytes: as Telegram told, or None.
    """

    file_id: str
    as_file: bool = False
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class WeightedStyle:
    """A style picture and its share beside the others, greater than 0."""

    picture: Picture
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """The painting that an instant draft goes before, as far as it differs from the draft.

    Attributes:
        algorithm: key of the mode that its user is in.
        size_px: longer side of the painting.
    """

    algorithm: str
    size_px: int


@dataclass(frozen=True, slots=True)
class Order:
    """What a user asked for; the fields are those of ml_models.contract.StyleTransferRequest, and two more.

    Attributes:
        start: key of the instant algorithm whose result of the same pictures the run starts from, or None. Nothing is
            kept for it: the run makes it anew.
        draft_of: of an instant draft: the painting that it goes before; None of anything else.
    """

    algorithm: str
    content: Picture
    styles: tuple[WeightedStyle, ...]
    size_px: int = DEFAULT_SIZE_PX
    strength: float = 1.0
    stroke_scale: float = 1.0
    keep_colours: bool = False
    seed: int = 0
    start: str | None = None
    draft_of: Wanted | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be stored.

    Attributes:
        origin: names what asked for it ("update:123", "album:456"); the same origin is stored once, so that an update
            that Telegram sends again does not paint twice.
        user_id, chat_id: whose it is and where the answer goes.
        language: of the user's texts, "en" or "ru".
    """

    origin: str
    user_id: int
    chat_id: int
    language: str
    order: Order


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished run leaves in the row; the picture itself lies in the job's folder.

    Attributes:
        width_px, height_px: of the result.
        seconds: wall time of the run.
        encoder: the network that made it.
        stopped_at: the share of the work, 0.0..1.0, at which its owner had it stopped, or None for a whole run.
    """

    width_px: int
    height_px: int
    seconds: float
    encoder: str
    stopped_at: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: a code of ml_models.errors and the details that fill its sentence."""

    code: str
    details: dict[str, object]


@dataclass(frozen=True, slots=True)
class Job:
    """A stored job.

    Attributes:
        id: its number, also shown to the admin.
        created_at, started_at, finished_at: UTC.
        attempts: how often a worker took it up.
        worker_losses: how often its worker died under it.
        status_message_id: the message that shows its progress, once sent.
        status_has_picture: that message has become a photo (its caption is edited, no longer its text).
        told_at: when its user was told the outcome.
    """

    id: int
    origin: str
    user_id: int
    chat_id: int
    language: str
    order: Order
    status: Status
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 0
    worker_losses: int = 0
    status_message_id: int | None = None
    status_has_picture: bool = False
    outcome: Outcome | None = None
    failure: Failure | None = None
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a user is told about a job that waits.

    Attributes:
        job: the stored job.
        position: 1 is the next to wait for a free slot; 0 runs, begins at once or has ended.
        seconds: honest estimate of the time until its picture is there, or None where nothing is known.
        follows: it waits for an earlier picture of the same user's too.
    """

    job: Job
    position: int
    seconds: float | None
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much work there is.

    Attributes:
        waiting, running: jobs.
        undelivered: jobs that are painted or failed and whose users do not know yet.
        oldest_waiting: when the job that waits longest was accepted, or None.
    """

    waiting: int
    running: int
    undelivered: int
    oldest_waiting: datetime | None


class DeliveryError(Exception):
    """Base of what keeps an outcome from its user."""


class NotYetError(DeliveryError):
    """The outcome may be taken later, after wait_s seconds at the earliest."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class RefusedError(DeliveryError):
    """The outcome will never be taken."""


class QueueError(Exception):
    """Base of what a queue refuses."""


class QueueFullError(QueueError):
    """As many jobs wait or run as are allowed in all (limit)."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} jobs wait or run, which is the limit")
        self.limit = limit


class UserQueueFullError(QueueError):
    """As many jobs of this user wait or run as are allowed (limit)."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} jobs of this user wait or run, which is the limit")
        self.limit = limit


class JobEndedError(QueueError):
    """The job neither waits nor runs any more: it is painted or has ended."""


class NothingToKeepError(QueueError):
    """The job waits, or runs and has shown no picture yet."""


class UnknownJobError(QueueError):
    """No such job, or it is another user's: the two are not told apart."""
