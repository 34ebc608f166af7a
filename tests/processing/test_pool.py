from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from PIL import Image

from ml_models.contract import Progress, Stage, Style, StyleTransferRequest
from ml_models.errors import (
    JobTimeoutError,
    NotEnoughMemoryError,
    PictureTooSmallError,
    StyleTransferError,
    WorkerLostError,
)
from processing.pool import Painted, Pool
from reporting.metrics import Metrics
from tests.toy_algorithm import FLOOD, MARK_FILE, SLOW_STEP_S, SLOW_STEPS, TOY, Behaviour, toy_photo
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMORY_MB = 700
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return Metrics()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_pool(metrics: Metrics) -> AsyncIterator[Pool]:
    pool = Pool(2, memory_mb=MEMORY_MB, metrics=metrics)
    await pool.start()
    yield pool
    await pool.close()


@pytest_asyncio.fixture(loop_scope="module")
async def pool(shared_pool: Pool) -> AsyncIterator[Pool]:
    await until(lambda: shared_pool.free == 2)
    yield shared_pool
    await until(lambda: shared_pool.free == 2, 5.0)  # whatever a test did, both slots are back within seconds


def request(behaviour: int) -> StyleTransferRequest:
    return StyleTransferRequest(
        toy_photo(), (Style(toy_photo(colour=(0, 0, 200))),), size_px=128, seed=behaviour, max_megapixels=1
    )


async def run(
    pool: Pool,
    behaviour: int,
    *,
    timeout_s: float = 30.0,
    seen: list[Progress] | None = None,
    stop: asyncio.Event | None = None,
) -> Painted:
    return await pool.run(TOY, request(behaviour), (seen if seen is not None else []).append, timeout_s, stop)


# --- what a run gives


async def test_a_run_gives_the_picture_and_a_photo_of_it(pool: Pool) -> None:
    painted = await run(pool, Behaviour.PAINT)
    result = painted.result
    assert (result.width_px, result.height_px, result.encoder, result.losses) == (128, 85, "toy", {"total": 0.0})
    for data, kind in ((result.image, "PNG"), (painted.photo, "JPEG")):
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.format, picture.size) == (kind, (128, 85))


async def test_same_request_same_bytes(pool: Pool) -> None:
    one, two = await asyncio.gather(run(pool, Behaviour.PAINT), run(pool, Behaviour.PAINT))
    assert (one.result.image, one.photo) == (two.result.image, two.photo)


async def test_progress_comes_while_the_worker_paints_and_never_falls(pool: Pool) -> None:
    seen: list[Progress] = []
    await run(pool, Behaviour.SLOW, seen=seen)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert seen[-1] == Progress(1.0, Stage.FINISHING)
    assert len([progress for progress in seen if progress.preview]) == SLOW_STEPS // 5


async def test_progress_does_not_flood(pool: Pool) -> None:
    seen: list[Progress] = []
    began = time.monotonic()
    await run(pool, Behaviour.FLOOD, seen=seen)
    assert 2 <= len(seen) <= 3 + 10 * (time.monotonic() - began) < FLOOD
    assert seen[-1].fraction == 1.0


async def test_progress_that_cannot_be_shown_harms_no_run(pool: Pool) -> None:
    def fail(_: Progress) -> None:
        raise TimeoutError("not the run's")

    assert (await pool.run(TOY, request(Behaviour.SLOW), fail, 30.0)).result.encoder == "toy"


async def test_a_third_run_waits_for_a_slot(pool: Pool) -> None:
    began = time.monotonic()
    await asyncio.gather(*(run(pool, Behaviour.SLOW, timeout_s=SLOW_STEPS * SLOW_STEP_S * 1.8) for _ in range(3)))
    assert time.monotonic() - began >= 2 * SLOW_STEPS * SLOW_STEP_S


# --- stop and keep


async def test_a_stopped_run_gives_what_there_is_and_its_worker_paints_on(pool: Pool) -> None:
    whole = await run(pool, Behaviour.PAINT)
    pids, stop = pool.pids(), asyncio.Event()
    seen: list[Progress] = []
    painting = asyncio.create_task(run(pool, Behaviour.GROW, seen=seen, stop=stop))
    await until(lambda: len(seen) == 3)
    stop.set()
    kept = await painting
    assert kept.result.stopped
    assert kept.result.seconds < SLOW_STEPS * SLOW_STEP_S
    assert [progress for progress in seen if progress.stage is Stage.PAINTING][-1].fraction < 0.5
    with Image.open(io.BytesIO(kept.result.image)) as picture, Image.open(io.BytesIO(whole.result.image)) as painted:
        assert picture.size == painted.size
        assert picture.tobytes() != painted.tobytes()
    # Both workers, whichever had been stopped, paint the next picture to its end.
    later = await asyncio.gather(*(run(pool, Behaviour.SLOW) for _ in range(2)))
    assert [one.result.stopped for one in later] == [False, False]
    assert pool.pids() == pids


async def test_stopping_one_run_leaves_its_neighbour(pool: Pool) -> None:
    stop = asyncio.Event()
    runs = [asyncio.create_task(run(pool, Behaviour.SLOW, stop=one)) for one in (stop, asyncio.Event())]
    await until(lambda: pool.free == 0)
    stop.set()
    assert [(await one).result.stopped for one in runs] == [True, False]


async def test_a_wish_from_before_the_run_meets_it(pool: Pool) -> None:
    stop = asyncio.Event()
    stop.set()
    assert (await run(pool, Behaviour.GROW, stop=stop)).result.stopped


async def test_a_wish_that_comes_too_late_stops_no_later_run() -> None:
    pool = Pool(1, memory_mb=MEMORY_MB)
    await pool.start()
    try:
        (worker,) = pool._workers
        stop = asyncio.Event()
        await run(pool, Behaviour.PAINT, stop=stop)
        stop.set()  # nobody passes it on any more
        await worker._ask_to_stop(stop)  # as if it had been on its way when the answer came
        later = [(await run(pool, Behaviour.SLOW)).result.stopped for _ in range(2)]
        assert later == [False, False]
        assert pool.pids() == [worker.process.pid]
    finally:
        await pool.close()


async def test_a_run_that_hears_no_wish_goes_on_to_its_end(pool: Pool) -> None:
    stop = asyncio.Event()
    stop.set()
    assert not (await run(pool, Behaviour.DEAF, stop=stop)).result.stopped


async def test_a_wish_does_not_save_a_run_from_its_timeout(pool: Pool) -> None:
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(JobTimeoutError):
        await run(pool, Behaviour.SPIN, timeout_s=0.5, stop=stop)


async def test_a_worker_killed_while_it_is_asked_to_stop_is_lost_as_ever(pool: Pool) -> None:
    pids = set(pool.pids())
    stop = asyncio.Event()
    seen: list[Progress] = []
    painting = asyncio.create_task(run(pool, Behaviour.DEAF, seen=seen, stop=stop))
    await until(lambda: bool(seen))
    (busy,) = [worker for worker in pool._workers if not worker.idle]
    stop.set()
    busy.process.kill()
    with pytest.raises(WorkerLostError):
        await painting
    await until(lambda: pool.free == 2, 5.0)
    assert len(pids & set(pool.pids())) == 1
    assert not (await run(pool, Behaviour.SLOW)).result.stopped


# --- errors that leave the worker alive


async def test_an_error_of_the_tree_crosses_the_pipe(pool: Pool) -> None:
    pids = pool.pids()
    with pytest.raises(PictureTooSmallError, match="too small") as error:
        await run(pool, Behaviour.REFUSE)
    assert error.value.details == {"width_px": 1, "height_px": 1, "limit_px": 16}
    assert pool.pids() == pids


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (Behaviour.RAISE, "ZeroDivisionError"),
        (Behaviour.SYSTEM_EXIT, "SystemExit"),
        (Behaviour.UNPICKLABLE, "OwnError"),
    ],
)
async def test_an_unexpected_error_comes_with_its_traceback(pool: Pool, behaviour: Behaviour, text: str) -> None:
    pids = pool.pids()
    with pytest.raises(StyleTransferError, match=text) as error:
        await run(pool, behaviour)
    assert error.value.code == "failed"
    assert "toy_algorithm.py" in error.value.__notes__[0]
    assert pool.pids() == pids


@pytest.mark.parametrize("behaviour", [Behaviour.MEMORY_ERROR, Behaviour.TORCH_MEMORY])
async def test_memory_that_is_not_given_is_said_so(pool: Pool, behaviour: Behaviour) -> None:
    with pytest.raises(NotEnoughMemoryError) as error:
        await run(pool, behaviour)
    assert error.value.details == {"limit_mb": MEMORY_MB, "size_px": 128}


async def test_an_algorithm_that_is_not_there_fails_one_run(pool: Pool) -> None:
    with pytest.raises(StyleTransferError, match="ModuleNotFoundError"):
        await pool.run(replace(TOY, path="no.such.module:run"), request(0), lambda _: None, 30.0)


# --- errors that cost the worker


@pytest.mark.parametrize(
    "behaviour", [Behaviour.EXIT, Behaviour.KILL, Behaviour.NONSENSE, Behaviour.CLASSES], ids=lambda one: one.name
)
async def test_a_worker_that_dies_or_talks_nonsense_is_lost_alone(pool: Pool, behaviour: Behaviour) -> None:
    neighbour = asyncio.create_task(run(pool, Behaviour.SLOW))
    await until(lambda: pool.free == 1)
    with pytest.raises(WorkerLostError):
        await run(pool, behaviour)
    await until(lambda: pool.free == 1, 5.0)  # the slot is back while the neighbour paints
    assert not neighbour.done()
    assert (await neighbour).result.encoder == "toy"


async def test_kill_9_from_outside_in_mid_job(pool: Pool) -> None:
    before = set(pool.pids())
    jobs = [asyncio.create_task(run(pool, Behaviour.SLOW)) for _ in range(2)]
    await until(lambda: pool.free == 0)
    os.kill(min(before), signal.SIGKILL)
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Painted", "WorkerLostError"]
    await until(lambda: len(pool.pids()) == 2)
    assert max(before) in pool.pids()


async def test_kill_9_of_an_idle_worker_costs_no_run(pool: Pool) -> None:
    for pid in pool.pids():
        os.kill(pid, signal.SIGKILL)
    painted = await asyncio.gather(*(run(pool, Behaviour.PAINT) for _ in range(2)), return_exceptions=True)
    # The kill may be noticed only when the run has begun; the runner then tries once more.
    assert {type(one) for one in painted} <= {Painted, WorkerLostError}
    assert (await run(pool, Behaviour.PAINT)).photo


@pytest.mark.parametrize(
    "behaviour", [Behaviour.HANG, Behaviour.SPIN, Behaviour.STOP, Behaviour.HALF_MESSAGE], ids=lambda one: one.name
)
async def test_a_hang_ends_at_the_timeout_and_harms_no_neighbour(pool: Pool, behaviour: Behaviour) -> None:
    neighbour = asyncio.create_task(run(pool, Behaviour.SLOW))
    await until(lambda: pool.free == 1)
    began = time.monotonic()
    with pytest.raises(JobTimeoutError) as error:
        await run(pool, behaviour, timeout_s=0.7)
    assert time.monotonic() - began < 1.5
    assert error.value.details == {"limit_s": 0.7}
    assert (await neighbour).result.encoder == "toy"


async def test_a_stopped_worker_that_does_not_read_holds_up_nobody(pool: Pool) -> None:
    stopped = pool.pids()[0]
    os.kill(stopped, signal.SIGSTOP)
    large = replace(request(0), content=toy_photo() + bytes(30_000_000))  # more than a pipe takes
    runs = [pool.run(TOY, large, lambda _: None, 1.0) for _ in range(2)]
    results = await asyncio.gather(*runs, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["JobTimeoutError", "Painted"]
    await until(lambda: not psutil.pid_exists(stopped), 2.0)


async def test_a_worker_that_passes_its_memory_limit_is_killed(pool: Pool) -> None:
    neighbour = asyncio.create_task(run(pool, Behaviour.SLOW))
    with pytest.raises(NotEnoughMemoryError) as error:
        await run(pool, Behaviour.EAT)
    assert error.value.details == {"limit_mb": MEMORY_MB, "size_px": 128}
    assert (await neighbour).result.encoder == "toy"


async def test_a_worker_that_keeps_memory_is_replaced(pool: Pool) -> None:
    pids = pool.pids()
    assert (await run(pool, Behaviour.KEEP)).photo
    await until(lambda: pool.free == 2)
    assert len(set(pids) & set(pool.pids())) == 1


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Behaviour.KILL, "died"),
        (Behaviour.HANG, "timeout"),
        (Behaviour.EAT, "memory"),
        (Behaviour.KEEP, "kept"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_a_replaced_worker_is_counted_by_what_ended_it(
    pool: Pool, metrics: Metrics, behaviour: Behaviour, reason: str
) -> None:
    def restarts() -> dict[str, float]:
        [family] = [each for each in metrics.registry.collect() if each.name == "bot_worker_restarts"]
        return {each.labels["reason"]: each.value for each in family.samples if each.name.endswith("_total")}

    before, pids = restarts(), set(pool.pids())
    with suppress(StyleTransferError):
        await run(pool, behaviour, timeout_s=0.7 if behaviour is Behaviour.HANG else 30.0)
    await until(lambda: pool.free == 2 and set(pool.pids()) != pids)
    assert restarts() == before | {reason: before.get(reason, 0) + 1}


async def test_cancelling_kills_that_worker_only(pool: Pool) -> None:
    pids = pool.pids()
    neighbour = asyncio.create_task(run(pool, Behaviour.SLOW))
    await until(lambda: pool.free == 1)
    cancelled = asyncio.create_task(run(pool, Behaviour.SPIN))
    await until(lambda: pool.free == 0)
    began = time.monotonic()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await until(lambda: len([pid for pid in pids if psutil.pid_exists(pid)]) == 1)
    assert time.monotonic() - began < 2.0
    assert (await neighbour).result.encoder == "toy"


async def test_cancelling_a_run_that_waits_costs_no_worker(pool: Pool) -> None:
    pids = pool.pids()
    busy = [asyncio.create_task(run(pool, Behaviour.SLOW)) for _ in range(2)]
    await until(lambda: pool.free == 0)
    waiting = asyncio.create_task(run(pool, Behaviour.PAINT))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(*busy)
    assert waiting.cancelled()
    assert pool.pids() == pids


async def test_the_event_loop_answers_while_workers_misbehave(pool: Pool) -> None:
    slowest = 0.0

    async def heartbeat() -> None:
        nonlocal slowest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            slowest = max(slowest, time.monotonic() - began)

    beating = asyncio.create_task(heartbeat())
    bad = (Behaviour.HALF_MESSAGE, Behaviour.STOP, Behaviour.KILL, Behaviour.FLOOD)
    await asyncio.gather(*(run(pool, behaviour, timeout_s=0.5) for behaviour in bad), return_exceptions=True)
    beating.cancel()
    assert slowest < 0.5


# --- processes


async def test_workers_step_back_and_the_zygote_has_one_thread(pool: Pool) -> None:
    (zygote,) = psutil.Process().children()
    assert zygote.num_threads() == 1  # what has threads must not fork
    workers = [psutil.Process(pid) for pid in pool.pids()]
    assert {worker.ppid() for worker in workers} == {zygote.pid}
    await until(lambda: all(worker.nice() == zygote.nice() + 10 for worker in workers))


async def test_signals_at_the_terminal_are_the_bots_business(pool: Pool) -> None:
    pids = pool.pids()
    painting = asyncio.create_task(run(pool, Behaviour.SLOW))
    await until(lambda: pool.free == 1)
    (zygote,) = psutil.Process().children()
    for pid in (*pids, zygote.pid):
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        assert os.getpgid(pid) != os.getpgid(0)
    assert (await painting).result.encoder == "toy"
    assert pool.pids() == pids


async def test_a_killed_zygote_is_replaced_and_its_workers_work_on(pool: Pool) -> None:
    (zygote,) = psutil.Process().children()
    painting = asyncio.create_task(run(pool, Behaviour.SLOW))
    await until(lambda: pool.free == 1)
    zygote.kill()
    with pytest.raises(WorkerLostError):
        await run(pool, Behaviour.KILL)
    assert (await painting).result.encoder == "toy"
    await until(lambda: pool.free == 2)
    assert (await run(pool, Behaviour.PAINT)).photo


async def test_closing_leaves_no_process_and_fails_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", "123:secret")
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    pool = Pool(2, memory_mb=MEMORY_MB)
    await pool.start()
    own = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    assert len(own) == 3
    assert not any("BOT_TOKEN" in process.environ() for process in own)
    runs = [asyncio.create_task(run(pool, behaviour)) for behaviour in (Behaviour.SPIN, Behaviour.STOP, 0)]
    await until(lambda: pool.free == 0)
    await pool.close()
    assert [type(result) for result in await asyncio.gather(*runs, return_exceptions=True)] == [WorkerLostError] * 3
    assert not any(process.is_running() for process in own)
    assert {process.pid for process in psutil.Process().children(recursive=True)} == before


async def test_a_pool_that_cannot_start_says_so_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = psutil.Process().children(recursive=True)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(OSError, match="no worker could be started"):
        await Pool(1, memory_mb=MEMORY_MB).start()
    assert psutil.Process().children(recursive=True) == before


PARENT = """
import asyncio, sys
from processing.pool import Pool
from tests.processing.test_pool import request
from tests.toy_algorithm import TOY, Behaviour

async def main():
    pool = Pool(3, memory_mb=700)
    await pool.start()
    for behaviour in (Behaviour.SPIN, Behaviour.HANG):
        asyncio.create_task(pool.run(TOY, request(behaviour), lambda _: None, 60.0))
    await asyncio.sleep(0.3)
    print(*pool.pids(), flush=True)
    await asyncio.sleep(60.0)

asyncio.run(main())
"""


def start_parent() -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment)


async def test_no_worker_outlives_a_parent_that_is_killed_with_9() -> None:
    with start_parent() as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in (await asyncio.to_thread(parent.stdout.readline)).split()]
        family = psutil.Process(parent.pid).children(recursive=True)
        assert len(pids) == 3
        assert {process.pid for process in family} > set(pids)
        assert len(family) == 4
        parent.kill()
    _, left = await asyncio.to_thread(psutil.wait_procs, family, 5)
    assert left == []


async def test_a_worker_dies_with_its_parent_even_when_the_zygote_is_gone() -> None:
    with start_parent() as parent:
        assert parent.stdout is not None
        await asyncio.to_thread(parent.stdout.readline)
        (zygote,) = psutil.Process(parent.pid).children()
        workers = zygote.children()
        zygote.kill()
        parent.kill()
    _, left = await asyncio.to_thread(psutil.wait_procs, workers, 5)
    assert left == []


async def test_the_mark_of_die_once_is_outside_the_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(MARK_FILE, str(tmp_path / "mark"))
    pool = Pool(1, memory_mb=MEMORY_MB)
    await pool.start()
    with pytest.raises(WorkerLostError):
        await run(pool, Behaviour.DIE_ONCE)
    assert (await run(pool, Behaviour.DIE_ONCE)).photo
    await pool.close()
