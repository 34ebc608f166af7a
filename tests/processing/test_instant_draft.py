"""From an order to its draft, and from the draft to the painting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ml_models.registry import ALGORITHMS
from processing.instant_draft import DRAFT_PX, instant_draft, is_known, painting_of, wanted
from processing.job import Order, Picture, Wanted, WeightedStyle
from processing.offers import offers
from tests.toy_algorithm import BUILT_IN, DRAFTED, QUICK, TOY, TOYS

STYLES = (WeightedStyle(Picture("one"), 70), WeightedStyle(Picture("two"), 30))
ORDER = Order(DRAFTED.key, Picture("photo"), STYLES, 1024, 0.5, 2.0, True, 77)


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for toy in TOYS:
        monkeypatch.setitem(ALGORITHMS, toy.key, toy)


def draft_of(order: Order) -> Order:
    draft = instant_draft(order)
    assert draft
    return draft


def test_a_draft_is_the_same_order_of_another_algorithm_and_never_large() -> None:
    assert draft_of(ORDER) == replace(ORDER, algorithm=QUICK.key, size_px=DRAFT_PX, draft_of=Wanted(DRAFTED.key, 1024))
    assert draft_of(replace(ORDER, size_px=512)).size_px == 512


def test_the_painting_of_a_draft_is_what_was_wanted_and_starts_from_it() -> None:
    assert painting_of(draft_of(ORDER)) == replace(ORDER, start=QUICK.key)
    stronger = replace(draft_of(ORDER), strength=1.0)
    assert painting_of(stronger) == replace(ORDER, strength=1.0, start=QUICK.key)


def test_what_was_wanted_is_the_same_before_and_after() -> None:
    assert wanted(ORDER) == wanted(draft_of(ORDER)) == wanted(painting_of(draft_of(ORDER))) == ORDER


def test_a_mode_without_a_draft_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert instant_draft(replace(ORDER, algorithm=TOY.key)) is None
    assert instant_draft(replace(ORDER, algorithm=QUICK.key)) is None
    assert instant_draft(replace(ORDER, algorithm="gone")) is None
    monkeypatch.setitem(ALGORITHMS, QUICK.key, replace(QUICK, max_styles=1))
    assert instant_draft(ORDER) is None
    monkeypatch.delitem(ALGORITHMS, QUICK.key)
    assert instant_draft(replace(ORDER, styles=STYLES[:1])) is None


def gone(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.delitem(ALGORITHMS, key)


@pytest.mark.parametrize("key", [DRAFTED.key, QUICK.key])
def test_an_order_is_known_while_all_that_it_names_is_there(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    orders = (draft_of(ORDER), painting_of(draft_of(ORDER)))
    assert all(map(is_known, orders))
    gone(monkeypatch, key)
    assert not any(map(is_known, orders))


def test_what_is_offered_follows_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = offers(draft_of(replace(ORDER, styles=STYLES[:1])))
    assert (draft.paint, draft.instant, draft.swap, draft.styles) == (True, True, True, True)
    painting = offers(painting_of(draft_of(ORDER)))
    assert (painting.paint, painting.instant, painting.swap, painting.styles) == (False, False, False, True)
    built_in = offers(Order(BUILT_IN.key, Picture("photo"), ()))
    assert (built_in.paint, built_in.instant, built_in.swap, built_in.styles) == (False, True, False, False)
    drafted = draft_of(ORDER)
    gone(monkeypatch, DRAFTED.key)
    assert (offers(drafted).paint, offers(drafted).styles) == (False, False)
