"""What is measured of one bot, for Prometheus. No user, no job and no token is a label."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

import psutil
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from processing.job import Backlog, Job

ACKNOWLEDGEMENT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
JOB_S = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
DATABASE_TIMEOUT_S = 2.0

log = structlog.get_logger(__name__)


class Jobs(Protocol):
    """Where jobs are kept; the store is one."""

    async def backlog(self) -> Backlog: ...


class Workers(Protocol):
    """What is looked at of the pool."""

    @property
    def slots(self) -> int: ...

    @property
    def free(self) -> int: ...

    def pids(self) -> list[int]: ...


class Metrics:
    """The instruments, in a registry of their own: two bots in one process do not mix."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.acknowledgement = Histogram(
            "bot_acknowledgement_seconds",
            "From an update's arrival to its answer, of those that were acknowledged",
            buckets=ACKNOWLEDGEMENT_S,
            registry=registry,
        )
        self.unacknowledged = Counter(
            "bot_updates_unacknowledged",
            "Updates that could not be dealt with, so that they come again",
            registry=registry,
        )
        self.waited = Histogram(
            "bot_job_wait_seconds",
            "From a job's acceptance to its first start",
            ["algorithm"],
            buckets=JOB_S,
            registry=registry,
        )
        self.ran = Histogram(
            "bot_job_run_seconds",
            "Seconds of a run in its worker, of those that made a picture",
            ["algorithm"],
            buckets=JOB_S,
            registry=registry,
        )
        self.ended = Counter(
            "bot_jobs_ended",
            "Jobs by outcome: delivered, unreachable (painted for a user who is gone), failed, cancelled",
            ["algorithm", "outcome"],
            registry=registry,
        )
        self.failed = Counter("bot_job_failures", "Failed jobs by the code of their error", ["code"], registry=registry)
        self.restarts = Counter(
            "bot_worker_restarts",
            "Workers replaced, by what ended them: died, timeout, memory, cancel, kept (too much memory after a run)",
            ["reason"],
            registry=registry,
        )
        self.telegram_failures = Counter(
            "bot_telegram_failures",
            "Requests that Telegram or the network failed: flood (429), server (5xx), network, not_json",
            ["kind"],
            registry=registry,
        )
        self.flood_wait_seconds = Counter(
            "bot_telegram_flood_wait_seconds", "Seconds waited because Telegram asked to", registry=registry
        )
        self._jobs = Gauge(
            "bot_jobs", "Jobs now: waiting, running, undelivered (done, user not told)", ["state"], registry=registry
        )
        self._oldest = Gauge("bot_oldest_waiting_seconds", "Age of the job that waits longest", registry=registry)
        self._slots = Gauge("bot_workers", "Workers now: wanted, alive, idle", ["state"], registry=registry)
        self._memory = Gauge(
            "bot_workers_resident_memory_bytes",
            "Resident memory of all workers, shared pages counted in each",
            registry=registry,
        )

    @contextmanager
    def acknowledging(self) -> Iterator[None]:
        """Measure the dealing with one update; one that raises is not acknowledged."""
        began = time.perf_counter()
        try:
            yield
        except Exception:
            self.unacknowledged.inc()
            raise
        self.acknowledgement.observe(time.perf_counter() - began)

    def begun(self, job: Job) -> None:
        """A job was taken up; its wait is measured the first time."""
        if job.attempts <= 1 and job.started_at:
            waited_s = (job.started_at - job.created_at).total_seconds()
            self.waited.labels(job.order.algorithm).observe(max(0.0, waited_s))

    def end(self, job: Job, outcome: str) -> None:
        self.ended.labels(job.order.algorithm, outcome).inc()
        if outcome == "failed" and job.failure:
            self.failed.labels(job.failure.code).inc()

    async def look(self, jobs: Jobs, workers: Workers) -> None:
        """Bring the gauges up to date; those of a database that does not answer are not a number then."""
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                backlog = await jobs.backlog()
        except Exception as error:
            log.warning("the jobs could not be counted", reason=type(error).__name__)
            counts = dict.fromkeys(("waiting", "running", "undelivered"), math.nan)
            oldest_s = math.nan
        else:
            counts = {
                "waiting": backlog.waiting,
                "running": backlog.running,
                "undelivered": backlog.undelivered,
            }
            since = backlog.oldest_waiting
            oldest_s = (datetime.now(UTC) - since).total_seconds() if since else 0.0
        for state, count in counts.items():
            self._jobs.labels(state).set(count)
        self._oldest.set(oldest_s)
        pids = workers.pids()
        for state, count in (("wanted", workers.slots), ("alive", len(pids)), ("idle", workers.free)):
            self._slots.labels(state).set(count)
        self._memory.set(sum(map(_resident_bytes, pids)))


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
