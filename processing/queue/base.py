"""What the dialogue may ask of a queue, whichever engine carries it."""

from __future__ import annotations

from typing import Protocol

from processing.job import Job, NewJob, Status, Ticket


class JobQueue(Protocol):
    """A durable, bounded, fair queue of jobs."""

    async def start(self) -> None:
        """Take up what was left by the last run of the bot, then take jobs."""
        ...

    async def close(self, grace_s: float = 0.0) -> None:
        """Stop taking jobs. Running ones have grace_s seconds to end and be delivered as ever.

        Those that have not are cut off and stay stored, so that the next start takes them up again.
        """
        ...

    async def submit(self, new: NewJob) -> Ticket:
        """Store the job and return its ticket; when this returns the job survives a crash.

        Raises QueueFullError or UserQueueFullError, and stores nothing then. The same origin is stored once: its second
        submit returns the first job's ticket.
        """
        ...

    async def cancel(self, job_id: int, user_id: int) -> Job:
        """End the job as cancelled and stop its work within 2 s; one that is painted or has ended is returned as it is.

        Raises UnknownJobError where there is no such job of this user.
        """
        ...

    async def replace(self, job_id: int, user_id: int, new: NewJob) -> Ticket:
        """Cancel a job that waits or runs and store another in its place, both or neither; its work is stopped too.

        The new one takes the room of the old one, so no limit refuses it. The same origin is stored once, as with
        submit. Raises UnknownJobError where there is no such job of this user, and JobEndedError where it is too late
        to cancel it; nothing is stored then.
        """
        ...

    async def keep(self, job_id: int, user_id: int) -> bool:
        """Have a running job end with the picture so far, which comes as any other; False: that was asked before.

        Raises UnknownJobError where there is no such job of this user, JobEndedError where it neither waits nor runs
        any more, and NothingToKeepError where it waits or has shown no picture yet.
        """
        ...

    async def job(self, job_id: int, user_id: int) -> Job:
        """Return the job in whatever state; raise UnknownJobError where there is no such job of this user."""
        ...

    async def active_jobs(self, user_id: int) -> list[Job]:
        """Return the user's jobs that wait or run, oldest first."""
        ...

    async def counts(self) -> dict[Status, int]:
        """Return how many jobs there are in each state, zeros too."""
        ...

    async def set_status_message(self, job_id: int, message_id: int) -> Job:
        """Remember the message that shows the job's progress; return the job as it is by then."""
        ...
