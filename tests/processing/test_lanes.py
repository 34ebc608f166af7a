"""Which jobs may begin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ml_models.registry import ALGORITHMS, Kind
from processing.instant_draft import draft_size_px
from processing.lanes import SHORT_S, Lane, kind_of, lane_of, may_begin
from processing.store import Store
from tests.processing.conftest import NewJobs
from tests.toy_algorithm import DRAFTED, QUICK, TOY

BOTH = (Lane.LONG, Lane.SHORT)


@pytest.mark.parametrize(
    ("long", "short", "expected"),
    [
        (0, 0, BOTH),
        (1, 1, BOTH),
        (0, 2, BOTH),
        (2, 0, (Lane.SHORT,)),
        (2, 1, ()),
        (1, 2, ()),
        (0, 3, ()),
        (3, 0, ()),  # after a restart with fewer slots
    ],
)
def test_two_slots_for_long_jobs_and_one_more_for_short_ones(long: int, short: int, expected: tuple[Lane, ...]) -> None:
    assert may_begin({Lane.LONG: long, Lane.SHORT: short}, 2) == expected


def test_the_registry_says_what_is_instant_and_what_is_gone_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for toy in (TOY, QUICK):
        monkeypatch.setitem(ALGORITHMS, toy.key, toy)
    assert [kind_of(key) for key in (TOY.key, QUICK.key, "gone")] == [Kind.PAINTED, Kind.INSTANT, Kind.PAINTED]
    assert [lane_of(key, 64) for key in (TOY.key, QUICK.key, "gone")] == [Lane.LONG, Lane.SHORT, Lane.LONG]


def test_what_an_instant_algorithm_needs_long_for_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "slow", replace(QUICK, key="slow", seconds_at_512=SHORT_S / 4))
    assert [lane_of("slow", size_px) for size_px in (512, 1024, 1025)] == [Lane.SHORT, Lane.SHORT, Lane.LONG]


def test_every_draft_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, QUICK.key, QUICK)
    for mode in (*ALGORITHMS.values(), DRAFTED):
        if mode.draft:
            drafts = ALGORITHMS[mode.draft]
            assert lane_of(drafts.key, draft_size_px(drafts, mode.max_size_px)) is Lane.SHORT


async def test_the_store_knows_the_lanes(store: Store, new_job: NewJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "slow", replace(QUICK, key="slow", seconds_at_512=SHORT_S / 4))
    new = new_job(algorithm="slow")
    ids = []
    for size_px in (1025, 1024):
        order = replace(new.order, size_px=size_px)
        job, _ = await store.add(replace(new, origin=str(size_px), order=order), queue_limit=9, user_queue_limit=9)
        ids.append(job.id)
    taken = [await store.take_next(lane) for lane in (Lane.SHORT, Lane.SHORT, Lane.LONG)]
    assert [job and job.id for job in taken] == [ids[1], None, ids[0]]
