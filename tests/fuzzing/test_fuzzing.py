"""A small part of `python -m benchmarks.fuzz`, the same at every run; hypothesis finds the smallest that fails."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_models.errors import ERRORS
from tests.fuzzing.pictures import damaged_picture, sound_pictures
from tests.fuzzing.target import ANSWERS, Door, open_door, read
from tests.fuzzing.updates import random_update

small = settings(
    derandomize=True, database=None, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck)
)
randoms = st.randoms(use_true_random=False)


@pytest.mark.parametrize("index", range(len(sound_pictures())))
def test_undamaged_the_pictures_are_read(index: int) -> None:
    assert read(sound_pictures()[index]) == "read"


@small
@given(randoms)
def test_the_reader_reads_or_refuses(random: Random) -> None:
    assert read(damaged_picture(random)) in {"read", *ERRORS}


@small
@given(st.binary(max_size=400))
def test_the_reader_refuses_what_is_no_picture(data: bytes) -> None:
    assert read(data) in ERRORS


@small
@given(st.integers(0, len(sound_pictures()) - 1), st.data())
def test_the_reader_survives_every_cut(index: int, data: st.DataObject) -> None:
    whole = sound_pictures()[index]
    at = data.draw(st.integers(0, len(whole)))
    assert read(whole[:at]) in {"read", *ERRORS}
    assert read(whole[at:]) in {"read", *ERRORS}


class Doorman:
    """Keeps a door open in a thread of its own, since hypothesis calls and waits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._opened: Future[Door] = Future()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._keep_open(),))
        self._thread.start()
        #: No update may be taken for one that was there before.
        self.numbers = itertools.count(1)
        self._door = self._opened.result(60)

    def knock(self, body: bytes) -> int:
        return asyncio.run_coroutine_threadsafe(self._door.knock(body), self._loop).result(60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(60)
        self._loop.close()

    async def _keep_open(self) -> None:
        try:
            async with open_door(self._folder) as door:
                self._opened.set_result(door)
                await self._closing.wait()
        except BaseException as error:
            if not self._opened.done():
                self._opened.set_exception(error)
            raise


@pytest.fixture(scope="module")
def doorman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorman]:
    doorman = Doorman(tmp_path_factory.mktemp("data"))
    yield doorman
    doorman.close()


@small
@given(randoms)
def test_an_update_is_answered(doorman: Doorman, random: Random) -> None:
    assert doorman.knock(random_update(random, next(doorman.numbers))) in ANSWERS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(
    ["message", "callback_query", "edited_message", "inline_query", "poll", "purchased_paid_media"]
)


@small
@given(st.dictionaries(FIELDS, JSON, max_size=3))
def test_json_of_any_kind_is_answered(doorman: Doorman, fields: dict[str, object]) -> None:
    assert doorman.knock(json.dumps({"update_id": next(doorman.numbers)} | fields).encode()) in ANSWERS


@small
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_update_is_refused(doorman: Doorman, body: bytes) -> None:
    assert doorman.knock(body) == 400
