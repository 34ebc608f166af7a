"""A painted run that starts from an instant one: in this process, and in a worker."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from ml_models.contract import Progress, Stage, Style, StyleTransferRequest, StyleTransferResult, never
from ml_models.errors import PictureTooSmallError
from processing.instant_draft import DRAFT_PX
from processing.painting import PREVIEW_PX, START_SHARE, paint
from processing.pool import Pool
from tests import toy_algorithm
from tests.toy_algorithm import BEHAVIOUR_FILE, DRAFTED, QUICK, QUICK_SUFFIX, Behaviour, last_request, toy_photo

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUEST = StyleTransferRequest(
    toy_photo(), (Style(toy_photo(colour=(0, 0, 200)), 3.0),), size_px=1024, strength=0.5, stroke_scale=2.0, seed=7
)


@pytest.fixture(scope="module", autouse=True)
def behaviour(tmp_path_factory: pytest.TempPathFactory) -> object:
    file: Path = tmp_path_factory.mktemp("toy") / "behaviour"
    file.write_text(Behaviour.SLOW.name)
    file.with_name(file.name + QUICK_SUFFIX).write_text(Behaviour.SLOW.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(BEHAVIOUR_FILE, str(file))
        patch.setattr(toy_algorithm, "SLOW_STEP_S", 0.0)
        yield file


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(behaviour: object) -> AsyncIterator[Pool]:
    pool = Pool(1, memory_mb=700)
    await pool.start()
    yield pool
    await pool.close()


def check(result: StyleTransferResult, seen: list[Progress]) -> None:
    """The two are one run, and the second began with what the first gives for the same request alone."""
    alone = QUICK.load()(replace(REQUEST, size_px=DRAFT_PX), lambda progress: None, never)
    wanted = {"size_px": 1024, "strength": 0.5, "stroke_scale": 2.0, "keep_colours": False, "seed": 7, "weights": [3.0]}
    assert last_request() == wanted | {"initial": hashlib.sha256(alone.image).hexdigest()}
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    draft = [progress for progress in seen if progress.fraction <= START_SHARE]
    assert {progress.stage for progress in draft[:-1]} == {Stage.PREPARING}
    first = next(progress for progress in seen if progress.preview)
    assert (first.fraction, first.stage) == (START_SHARE, Stage.PREPARING)
    with Image.open(io.BytesIO(first.preview or b"")) as preview:
        assert max(preview.size) == PREVIEW_PX
        assert preview.getpixel((9, 9)) == pytest.approx(Image.open(io.BytesIO(alone.image)).getpixel((9, 9)), abs=6)
    assert (result.width_px, result.height_px) == (1024, 683)


async def test_the_two_are_one_run() -> None:
    seen: list[Progress] = []
    check(paint(DRAFTED, QUICK, REQUEST, seen.append, never), seen)


async def test_the_two_are_one_run_in_a_worker_and_the_same_twice(pool: Pool) -> None:
    seen: list[Progress] = []
    results = [
        (await pool.run(DRAFTED, REQUEST, progress, 20.0, None, QUICK)).result
        for progress in (seen.append, lambda progress: None)
    ]
    check(results[0], seen)
    assert results[0].image == results[1].image
    alone = (await pool.run(DRAFTED, REQUEST, lambda progress: None, 20.0)).result
    assert last_request()["initial"] is None
    assert alone.image != results[0].image


async def test_who_stops_the_run_stops_what_is_painted(pool: Pool) -> None:
    stop = asyncio.Event()

    def show(progress: Progress) -> None:
        if progress.preview:
            stop.set()

    assert (await pool.run(DRAFTED, REQUEST, show, 20.0, stop, QUICK)).result.stopped


async def test_the_seconds_are_those_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy_algorithm, "SLOW_STEP_S", 0.01)
    whole = paint(DRAFTED, QUICK, REQUEST, lambda progress: None, never).seconds
    assert whole > 2 * toy_algorithm.SLOW_STEPS * 0.01


async def test_what_is_wrong_with_a_picture_is_told_as_ever(behaviour: Path) -> None:
    quick = behaviour.with_name(behaviour.name + QUICK_SUFFIX)
    quick.write_text(Behaviour.REFUSE.name)
    try:
        with pytest.raises(PictureTooSmallError):
            paint(DRAFTED, QUICK, REQUEST, lambda progress: None, never)
    finally:
        quick.write_text(Behaviour.SLOW.name)
