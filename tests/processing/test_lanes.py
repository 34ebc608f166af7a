"""Which kinds of jobs may begin."""

from __future__ import annotations

import pytest

from ml_models.registry import ALGORITHMS, Kind
from processing.lanes import instant_keys, kind_of, may_begin
from tests.toy_algorithm import BUILT_IN, QUICK, TOY

BOTH = (Kind.PAINTED, Kind.INSTANT)


@pytest.mark.parametrize(
    ("painted", "instant", "expected"),
    [
        (0, 0, BOTH),
        (1, 1, BOTH),
        (0, 2, BOTH),
        (2, 0, (Kind.INSTANT,)),
        (2, 1, ()),
        (1, 2, ()),
        (0, 3, ()),
        (3, 0, ()),  # after a restart with fewer slots
    ],
)
def test_two_slots_for_paintings_and_one_for_what_is_instant(
    painted: int, instant: int, expected: tuple[Kind, ...]
) -> None:
    assert may_begin({Kind.PAINTED: painted, Kind.INSTANT: instant}, 2) == expected


def test_the_registry_says_what_is_instant_and_what_is_gone_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for toy in (TOY, QUICK, BUILT_IN):
        monkeypatch.setitem(ALGORITHMS, toy.key, toy)
    assert [kind_of(key) for key in (TOY.key, QUICK.key, "gone")] == [Kind.PAINTED, Kind.INSTANT, Kind.PAINTED]
    assert {QUICK.key, BUILT_IN.key} <= set(instant_keys())
    assert TOY.key not in instant_keys()
