"""The remembered line is the one that the store would give."""

from __future__ import annotations

import random

import pytest

from ml_models.registry import ALGORITHMS
from processing.estimate import Turn
from processing.queue.line import Line
from processing.store import Store
from tests.processing.conftest import NewJobs
from tests.toy_algorithm import QUICK


async def test_the_remembered_line_is_the_stores_after_every_join_and_change(
    store: Store, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALGORITHMS, QUICK.key, QUICK)
    line = Line(store)
    draw = random.Random(7)
    for step in range(120):
        assert await line.read() == await store.line()
        if step % 9 == 8:
            if step % 2:
                await store.take_next()
            else:
                await store.mark_cancelled(draw.choice(await store.line()).job_id)
            line.changed()
            continue
        new = new_job(draw.randrange(12), algorithm=draw.choice(["toy", QUICK.key]))
        job, _ = await store.add(new, queue_limit=999, user_queue_limit=99)
        line.joined(Turn(job.id, job.user_id, job.order.algorithm, job.order.size_px, None))
    assert await line.read() == await store.line()


async def test_a_burst_of_joins_reads_the_store_once() -> None:
    class Counted:
        reads = 0

        async def line(self) -> list[Turn]:
            self.reads += 1
            return []

    store = Counted()
    line = Line(store)
    for number in range(50):
        await line.read()
        line.joined(Turn(number, number, "nst_gatys", 512, None))
    assert store.reads == 1
    line.changed()
    await line.read()
    assert store.reads == 2
