"""Every algorithm of the registry in the pool: cancelled in the middle, asked to keep to its memory."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image

from ml_models.contract import Progress, Stage
from ml_models.errors import NotEnoughMemoryError
from ml_models.registry import ALGORITHMS, Algorithm
from processing.pool import Pool
from tests.ml_models.test_contract import request_for
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(1, memory_mb=3072)
    await pool.start()
    yield pool
    await pool.close()


@pytest.fixture(params=ALGORITHMS.values(), ids=lambda algorithm: algorithm.key)
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    return request.param  # type: ignore[no-any-return]


async def test_a_run_is_cancelled_in_the_middle_and_its_slot_comes_back(pool: Pool, algorithm: Algorithm) -> None:
    begun = asyncio.Event()

    def note(progress: Progress) -> None:
        if progress.stage is Stage.PAINTING:
            begun.set()

    (worker,) = pool.pids()
    run = asyncio.create_task(pool.run(algorithm, request_for(algorithm, size_px=768), note, 60.0))
    async with asyncio.timeout(30):
        await begun.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await until(lambda: pool.free == 1)
    assert worker not in pool.pids()
    painted = await pool.run(algorithm, request_for(algorithm), lambda progress: None, 60.0)
    with Image.open(io.BytesIO(painted.photo)) as photo:
        assert (photo.format, photo.size) == ("JPEG", (64, 43))


async def test_too_large_a_run_is_refused_and_its_worker_lives_on(pool: Pool, algorithm: Algorithm) -> None:
    (worker,) = pool.pids()
    too_large = request_for(algorithm, size_px=algorithm.max_size_px, memory_mb=500)
    with pytest.raises(NotEnoughMemoryError) as caught:
        await pool.run(algorithm, too_large, lambda progress: None, 60.0)
    assert caught.value.details["limit_mb"] == 500
    assert pool.pids() == [worker]
