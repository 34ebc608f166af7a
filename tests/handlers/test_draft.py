"""The order in the making, as pure data."""

import json
from dataclasses import replace

import pytest

from handlers.captions import Problem
from handlers.draft import Draft, Gathering, Received
from handlers.options import DEFAULTS, VARIANTS, Options, another_variant
from processing.job import Order, Picture, WeightedStyle

CHOSEN = Options(size_px=768, strength=0.5, stroke_scale=2.0, keep_colours=True, seed=77)


def received(message_id: int, caption: str = "") -> Received:
    return Received(Picture(f"file-{message_id}"), message_id, caption)


def weights(draft: Draft) -> list[float]:
    return [style.weight for style in draft.order().styles]


def ids(draft: Draft) -> tuple[int | None, list[int]]:
    return draft.content.message_id if draft.content else None, [style.message_id for style in draft.styles]


def test_the_first_picture_is_the_photo_and_the_next_the_style() -> None:
    draft = Draft()
    assert draft.awaited is Gathering.content
    draft = draft.add(received(5))
    assert draft.awaited is Gathering.style
    draft = draft.add(received(6))
    assert draft.awaited is None
    assert draft.order().content.file_id == "file-5"
    assert [style.picture.file_id for style in draft.order().styles] == ["file-6"]


def test_an_album_is_taken_in_the_order_of_its_messages() -> None:
    assert ids(Draft().add(received(8), received(7), received(9))) == (7, [8, 9])


def test_a_photo_that_arrives_after_the_one_sent_behind_it_is_still_the_photo() -> None:
    assert ids(Draft().add(received(8)).add(received(7))) == (7, [8])


def test_the_same_message_is_added_once_and_what_is_too_many_is_left_out() -> None:
    draft = Draft().add(received(1)).add(received(1))
    assert ids(draft) == (1, [])
    assert len(draft.add(*(received(number) for number in range(2, 20))).styles) == draft.mode.max_styles


def test_swapping_exchanges_what_is_there() -> None:
    one = Draft().add(received(1))
    assert one.swappable
    style = one.swapped()
    assert ids(style) == (None, [1])
    assert style.awaited is Gathering.content
    assert ids(style.swapped()) == (1, [])
    assert ids(style.add(received(2))) == (2, [1])
    both = style.add(received(2))
    assert ids(both.swapped()) == (1, [2])
    assert both.swappable
    assert not both.add(received(3)).swappable


def test_it_survives_storing_and_a_mode_that_is_gone() -> None:
    draft = Draft().add(received(1), received(2, "70 %")).with_options(CHOSEN)
    draft = replace(draft, held=True, panel_id=9, weights=(0.7,))
    stored = json.loads(json.dumps({"draft": draft.to_data()}))
    assert Draft.from_data(stored) == draft
    stored["draft"]["algorithm"] = "gone"
    assert Draft.from_data(stored).algorithm == Draft().algorithm
    assert Draft.from_data({}) == Draft()


def test_an_incomplete_draft_is_no_order() -> None:
    with pytest.raises(ValueError, match="style"):
        Draft().add(received(1)).order()


def test_what_an_older_version_stored_is_read() -> None:
    picture = {"picture": {"file_id": "a", "as_file": False, "size_bytes": None}, "message_id": 4}
    draft = Draft.from_data({"draft": {"algorithm": "nst_gatys", "content": picture, "styles": []}})
    assert ids(draft) == (4, [])
    assert draft.options == DEFAULTS
    assert Options.from_data({"size_px": 768, "of_tomorrow": 1}) == Options(size_px=768)


def test_the_options_are_the_orders_and_an_order_gives_its_draft_back() -> None:
    draft = Draft().add(received(1), received(2), received(3)).with_options(CHOSEN).with_share(0, 70)
    order = draft.order()
    styles = (WeightedStyle(Picture("file-2"), 70), WeightedStyle(Picture("file-3"), 30))
    assert order == Order("nst_gatys", Picture("file-1"), styles, 768, 0.5, 2.0, True, 77)
    again = Draft.of_order(order, 50, DEFAULTS)
    assert again.order() == order
    assert again.last_message_id == 50
    assert again.emptied().options == DEFAULTS


def test_options_stay_for_the_next_picture_and_a_variant_does_not() -> None:
    draft = Draft().add(received(1), received(2)).with_options(CHOSEN)
    assert draft.emptied() == Draft(options=replace(CHOSEN, seed=0), usual=replace(CHOSEN, seed=0))


def test_another_variant_is_another_one_each_time_and_the_same_for_the_same_press() -> None:
    assert another_variant(0, 5) == another_variant(0, 5) != another_variant(0, 6)
    assert all(another_variant(seed, seed - 1) != seed for seed in (1, 2, VARIANTS))
    assert 0 < another_variant(VARIANTS, VARIANTS - 1) <= VARIANTS


def test_the_state_says_that_a_complete_draft_waits_for_its_button_only_while_it_is_held() -> None:
    draft = Draft().add(received(1))
    assert replace(draft, held=True).state is Gathering.style
    draft = draft.add(received(2))
    assert draft.state is None
    assert replace(draft, held=True).state is Gathering.paint


def test_a_share_by_button_leaves_the_others_their_proportions() -> None:
    draft = Draft().add(*(received(number) for number in range(1, 5)))
    assert weights(draft) == [1, 1, 1]
    assert weights(draft.with_share(0, 40)) == [40, 30, 30]
    assert weights(draft.with_share(0, 40).with_share(2, 65)) == [20, 15, 65]
    assert weights(draft.with_share(0, 40).with_share(0, 40)) == [40, 30, 30]
    assert weights(draft.with_share(0, 40).with_equal_shares()) == [1, 1, 1]
    # Chosen for three, it does not hold for four.
    assert weights(draft.with_share(0, 40).add(received(9))) == [1, 1, 1, 1]


def test_captions_give_the_shares_until_buttons_do() -> None:
    draft = Draft().add(received(1), received(2), received(3, "70/30"))
    assert weights(draft) == [70, 30]
    assert weights(draft.with_share(0, 50)) == [50, 50]
    waiting = Draft().add(received(1, "70/30"))
    assert waiting.shares.problem is None
    one = waiting.add(received(2))
    details = {"text": "70/30", "given": 2, "styles": 1, "limit": 4, "example": "1"}
    assert one.shares.problem == Problem("shares.styles_missing", details)
    assert weights(one) == [1]
    assert weights(one.add(received(3))) == [70, 30]
