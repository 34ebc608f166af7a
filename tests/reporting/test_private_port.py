"""The private port of a real bot: what it tells of health and readiness, and each metric driven by what it measures."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from processing.pool import Pool
from processing.store import Store, StoreError
from reporting.metrics import Metrics
from reporting.private_server import PrivateServer
from sandbox.server import Sandbox
from service import Service
from tests.bots import bot_in, fail_to_store_dialogues
from tests.chat import Stage, after, has_button, is_result, order, picture, says
from tests.toy_algorithm import TOY, Behaviour
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

DELIVERED = ("bot_jobs_ended_total", {"algorithm": "toy", "outcome": "delivered"})
Sample = tuple[str, dict[str, str]]


async def get(url: str | None, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}{path}") as response:
        return response.status, await response.text()


class Scrape:
    """One reading of /metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def __getitem__(self, sample: Sample | str) -> float:
        """Return the value of the sample; 0.0 where it is not there yet."""
        name, labels = (sample, {}) if isinstance(sample, str) else sample
        return next((each.value for each in self.samples if (each.name, each.labels) == (name, labels)), 0.0)


async def scrape(service: Service) -> Scrape:
    status, text = await get(service.private_url, "/metrics")
    assert status == 200
    return Scrape(text)


async def measured(service: Service, holds: Callable[[Scrape], bool], within_s: float = 10.0) -> Scrape:
    """Return the first reading for which that holds: a job is counted a moment after its user is told."""
    async with asyncio.timeout(within_s):
        while not holds(found := await scrape(service)):
            await asyncio.sleep(0.05)
    return found


async def test_a_bot_that_takes_updates_is_alive_and_ready(stage: Stage) -> None:
    assert await get(stage.service.private_url, "/healthz") == (200, "running\n")
    assert await get(stage.service.private_url, "/readyz") == (200, "database: ok\nworkers: ok\ntelegram: ok\n")


async def test_what_is_missing_is_said_in_words(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Store) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "backlog", fail)
    monkeypatch.setattr(Pool, "pids", lambda _: [])
    status, text = await get(stage.service.private_url, "/readyz")
    assert status == 503
    assert text == "database: it fails with StoreError\nworkers: none of 2 is alive\ntelegram: ok\n"
    assert (await get(stage.service.private_url, "/healthz"))[0] == 200


async def test_a_database_that_fails_leaves_the_other_metrics(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Store) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "backlog", fail)
    found = await scrape(stage.service)
    assert math.isnan(found["bot_jobs", {"state": "waiting"}])
    assert found["bot_workers", {"state": "wanted"}] == 2


@pytest.mark.asyncio(loop_scope="function")
async def test_before_and_after_its_time_a_bot_is_alive_and_not_ready() -> None:
    server = PrivateServer(Metrics())
    await server.start("127.0.0.1", 0)
    try:
        assert await get(server.url, "/readyz") == (503, "not ready: starting\n")
        server.stopping()
        assert await get(server.url, "/healthz") == (200, "stopping\n")
        assert await get(server.url, "/readyz") == (503, "not ready: stopping\n")
    finally:
        await server.close()


async def test_updates_and_a_job_from_its_acceptance_to_its_delivery(stage: Stage) -> None:
    user = await stage.person()
    await until(lambda: not stage.sandbox.pending_updates, 5)
    before = await scrape(stage.service)
    pushed = len(stage.sandbox.pushes.seconds)
    stage.behave(Behaviour.SLOW)
    await order(user)
    await user.wait_for(is_result)
    found = await measured(stage.service, lambda now: now[DELIVERED] == before[DELIVERED] + 1)
    of_toy = {"algorithm": TOY.key}
    assert found["bot_job_wait_seconds_count", of_toy] == before["bot_job_wait_seconds_count", of_toy] + 1
    assert found["bot_job_run_seconds_count", of_toy] == before["bot_job_run_seconds_count", of_toy] + 1
    assert found["bot_job_run_seconds_sum", of_toy] - before["bot_job_run_seconds_sum", of_toy] >= 1.2
    pushes = stage.sandbox.pushes.seconds[pushed:]
    assert len(pushes) == 2
    name = "bot_acknowledgement_seconds"
    assert found[f"{name}_count"] - before[f"{name}_count"] == len(pushes)
    assert 0 < found[f"{name}_sum"] - before[f"{name}_sum"] < sum(pushes)


async def test_the_queue_and_a_cancel(stage: Stage) -> None:
    before = await scrape(stage.service)
    stage.behave(Behaviour.HANG)
    user = await stage.person()
    await order(user)
    await order(user)
    found = await measured(stage.service, lambda now: now["bot_jobs", {"state": "running"}] == 1)
    assert found["bot_jobs", {"state": "waiting"}] == 1
    waited = found["bot_oldest_waiting_seconds"]
    assert 0 < (await scrape(stage.service))["bot_oldest_waiting_seconds"] - waited < 10
    assert found["bot_workers", {"state": "idle"}] == 1
    await user.send_text("/cancel")
    cancelled = ("bot_jobs_ended_total", {"algorithm": "toy", "outcome": "cancelled"})
    found = await measured(stage.service, lambda now: now[cancelled] == before[cancelled] + 2)
    assert (found["bot_jobs", {"state": "running"}], found["bot_jobs", {"state": "waiting"}]) == (0, 0)
    assert found["bot_oldest_waiting_seconds"] == 0
    killed = ("bot_worker_restarts_total", {"reason": "cancel"})
    await measured(stage.service, lambda now: now[killed] > before[killed])


async def test_what_is_done_and_not_told_yet_is_counted(stage: Stage) -> None:
    undelivered = ("bot_jobs", {"state": "undelivered"})
    user = await stage.person()
    stage.sandbox.faults.silence("sendPhoto", seconds=2.0)
    await order(user)
    await measured(stage.service, lambda now: now[undelivered] == 1)
    await user.wait_for(is_result)
    await measured(stage.service, lambda now: now[undelivered] == 0)


async def test_a_failure_by_its_code_and_a_user_who_is_gone(stage: Stage) -> None:
    before = await scrape(stage.service)
    stage.behave(Behaviour.REFUSE)
    await order(await stage.person())
    failed = ("bot_jobs_ended_total", {"algorithm": "toy", "outcome": "failed"})
    found = await measured(stage.service, lambda now: now[failed] == before[failed] + 1)
    too_small = ("bot_job_failures_total", {"code": "too_small"})
    assert found[too_small] == before[too_small] + 1
    stage.behave(Behaviour.SLOW)
    user = await stage.person()
    await order(user)
    await user.block()
    unreachable = ("bot_jobs_ended_total", {"algorithm": "toy", "outcome": "unreachable"})
    await measured(stage.service, lambda now: now[unreachable] == before[unreachable] + 1)


@pytest.mark.parametrize(
    ("fault", "kind"), [("flood", "flood"), ("error", "server"), ("bad_gateway", "not_json"), ("drop", "network")]
)
async def test_trouble_with_telegram_by_its_kind_and_the_seconds_of_floods(stage: Stage, fault: str, kind: str) -> None:
    before = await scrape(stage.service)
    user = await stage.person()
    stage.sandbox.faults.add(fault, "sendMessage", 1, 1)
    sent = await user.send_text("/help")
    await user.wait_for(after(sent, says("How it works")))
    found = await scrape(stage.service)
    failures = ("bot_telegram_failures_total", {"kind": kind})
    assert found[failures] == before[failures] + 1
    waited_s = "bot_telegram_flood_wait_seconds_total"
    assert found[waited_s] - before[waited_s] == (1 if fault == "flood" else 0)


async def test_an_update_that_is_not_acknowledged(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await scrape(stage.service)
    user = await stage.person()
    fail_to_store_dialogues(monkeypatch, 2)
    sent = await user.send_photo(picture())
    await user.wait_for(after(sent, says("Now send")))
    name = "bot_updates_unacknowledged_total"
    assert (await scrape(stage.service))[name] == before[name] + 2


async def test_the_memory_of_the_bot_and_of_its_workers(stage: Stage) -> None:
    found = await scrape(stage.service)
    own = psutil.Process().memory_info().rss
    assert found["process_resident_memory_bytes"] == pytest.approx(own, rel=0.2)
    of_workers = sum(psutil.Process(pid).memory_info().rss for pid in stage.service.pool.pids())
    assert found["bot_workers_resident_memory_bytes"] == pytest.approx(of_workers, rel=0.2)


async def test_nobody_is_named(stage: Stage) -> None:
    text = (await scrape(stage.service)).text
    assert "bot_jobs_ended_total" in text
    assert stage.sandbox.token not in text
    labels = {name for sample in Scrape(text).samples for name in sample.labels}
    assert labels == {"algorithm", "outcome", "code", "reason", "kind", "state", "le"}


@pytest.mark.asyncio(loop_scope="function")
async def test_long_polling_is_measured_too_and_another_bots_figures_are_its_own(tmp_path: Path, behave: Any) -> None:
    async with Sandbox() as sandbox, bot_in(sandbox, tmp_path, webhook_url=None, metrics_port=0) as service:
        assert (await get(service.private_url, "/readyz"))[0] == 200
        user = sandbox.user()
        await user.send_text("/start")
        await user.wait_for(has_button("mode:toy"))
        await measured(service, lambda now: now["bot_acknowledgement_seconds_count"] == 1)
