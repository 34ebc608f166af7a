from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ml_models.registry import ALGORITHMS
from processing.estimate import USUAL_PROPORTION, Estimator, Place, Run, Turn, places, run_seconds
from tests.toy_algorithm import QUICK

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def waiting(job_id: int) -> Turn:
    return Turn(job_id, job_id, "nst_gatys", 512, None)


def running(job_id: int, since_s: float) -> Turn:
    return Turn(job_id, job_id, "nst_gatys", 512, NOW - timedelta(seconds=since_s))


def test_the_registry_speaks_until_runs_were_measured() -> None:
    known = ALGORITHMS["nst_gatys"].seconds_at_512
    assert run_seconds("nst_gatys", 512, []) == known
    assert run_seconds("nst_gatys", 1024, []) == 4 * known
    assert run_seconds("gone", 512, []) is None


def test_the_median_of_the_runs_is_scaled_by_size() -> None:
    runs = [Run(0.1, 1.0, "slim"), Run(0.2, 2.0, "slim"), Run(0.1, 100.0, "slim")]  # 10, 10 and 1000 s a megapixel
    assert run_seconds("nst_gatys", 1000, runs) == pytest.approx(10.0 * USUAL_PROPORTION)


def test_only_the_network_of_the_newest_run_speaks() -> None:
    runs = [Run(1.0, 60.0, "vgg19"), *[Run(1.0, 3.0, "slim")] * 24]
    assert run_seconds("nst_gatys", 1000, runs) == pytest.approx(60.0 * USUAL_PROPORTION)
    assert run_seconds("nst_gatys", 1000, runs[1:]) == pytest.approx(3.0 * USUAL_PROPORTION)


def test_one_slot_is_a_line() -> None:
    found = places([running(1, 4.0), waiting(2), waiting(3)], lambda _: 10.0, 1, NOW)
    assert found == {1: Place(0, 6.0), 2: Place(1, 16.0), 3: Place(2, 26.0)}


def test_the_first_free_slot_takes_the_next() -> None:
    line = [running(1, 0.0), running(2, 8.0), waiting(3), waiting(4), waiting(5)]
    found = places(line, lambda _: 10.0, 2, NOW)
    assert [found[job_id].seconds for job_id in range(1, 6)] == [10.0, 2.0, 12.0, 20.0, 22.0]
    assert [found[job_id].position for job_id in range(1, 6)] == [0, 0, 1, 2, 3]


def test_idle_slots_begin_at_once() -> None:
    assert places([waiting(1), waiting(2), waiting(3)], lambda _: 10.0, 2, NOW) == {
        1: Place(0, 10.0),
        2: Place(0, 10.0),
        3: Place(1, 20.0),
    }
    assert places([running(1, 4.0), waiting(2), waiting(3)], lambda _: 10.0, 2, NOW) == {
        1: Place(0, 6.0),
        2: Place(0, 10.0),
        3: Place(1, 16.0),
    }


def test_more_runs_than_slots_leave_none_free() -> None:
    """After a restart with fewer slots."""
    found = places([running(1, 0.0), running(2, 0.0), waiting(3)], lambda _: 10.0, 1, NOW)
    assert found[3].position == 1


def test_where_nobody_takes_jobs_none_begins_and_nothing_is_promised() -> None:
    found = places([running(1, 4.0), waiting(2), waiting(3)], lambda _: 10.0, 0, NOW)
    assert found == {1: Place(0, 6.0), 2: Place(1, None), 3: Place(2, None)}
    assert places([waiting(1)], lambda _: 10.0, 0, NOW) == {1: Place(1, None)}


def test_a_run_that_is_overdue_is_not_promised_for_now() -> None:
    assert places([running(1, 500.0)], lambda _: 10.0, 1, NOW) == {1: Place(0, 1.0)}


def test_behind_a_job_of_unknown_length_nothing_is_promised() -> None:
    lengths = {1: 10.0, 2: None, 3: 10.0}
    found = places([waiting(1), waiting(2), waiting(3)], lambda turn: lengths[turn.job_id], 1, NOW)
    assert [found[job_id].seconds for job_id in (1, 2, 3)] == [10.0, None, None]


async def test_the_estimator_asks_its_memory_and_not_for_every_user() -> None:
    asked: list[str] = []

    class Memory:
        async def recent_runs(self, algorithm: str, limit: int) -> list[Run]:
            asked.append(algorithm)
            return [Run(1.0, 3.0, "slim")]

    estimator = Estimator(Memory(), 1)
    for _ in range(3):
        found = await estimator.places([waiting(1)])
    assert found[1].seconds == pytest.approx(3.0 * 512**2 * USUAL_PROPORTION / 1e6)
    assert asked == ["nst_gatys"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Turn]:
    monkeypatch.setitem(ALGORITHMS, QUICK.key, QUICK)
    return lambda job_id: Turn(job_id, job_id, QUICK.key, 512, None)


def seconds_of(turn: Turn) -> float:
    return 1.0 if turn.algorithm == QUICK.key else 10.0


def test_an_instant_job_waits_for_no_painting(quick: Callable[[int], Turn]) -> None:
    line = [running(1, 4.0), waiting(2), quick(3), quick(4), waiting(5)]
    found = places(line, seconds_of, 1, NOW)
    assert [found[job_id].seconds for job_id in (3, 4)] == [1.0, 2.0]
    assert [found[job_id].position for job_id in (3, 4)] == [0, 1]
    # Nor do the paintings wait for it.
    assert found == places([*line[:2], line[4]], seconds_of, 1, NOW) | {3: found[3], 4: found[4]}


def test_instant_jobs_take_idle_slots_of_the_paintings_and_give_them_back(quick: Callable[[int], Turn]) -> None:
    found = places([quick(1), quick(2), quick(3)], seconds_of, 1, NOW)
    assert [found[job_id].seconds for job_id in (1, 2, 3)] == [1.0, 1.0, 2.0]
    line = [replace(quick(1), started_at=NOW), replace(quick(2), started_at=NOW), quick(3), waiting(4)]
    found = places(line, seconds_of, 1, NOW)
    assert (found[4].seconds, found[4].position) == (11.0, 1)
    assert found[3].seconds == 2.0


def test_what_is_unknown_of_paintings_is_no_matter_for_instant_jobs(quick: Callable[[int], Turn]) -> None:
    found = places([waiting(1), waiting(2), quick(3)], lambda turn: None if turn.job_id == 1 else 1.0, 1, NOW)
    assert [found[job_id].seconds for job_id in (1, 2, 3)] == [None, None, 1.0]


def test_a_job_behind_another_of_its_user_is_told_so() -> None:
    line = [Turn(1, 7, "nst_gatys", 512, NOW), Turn(2, 8, "nst_gatys", 512, None), Turn(3, 7, "nst_gatys", 512, None)]
    assert [place.follows for place in places(line, lambda _: 10.0, 1, NOW).values()] == [False, False, True]
    assert not places(line, lambda _: 10.0, 3, NOW)[3].follows
