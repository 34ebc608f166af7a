"""The order in the making, as pure data."""

import json

import pytest

from handlers.draft import Draft, Gathering, Received
from processing.job import Picture


def received(message_id: int) -> Received:
    return Received(Picture(f"file-{message_id}"), message_id)


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
    assert not style.add(received(2)).swappable


def test_it_survives_storing_and_a_mode_that_is_gone() -> None:
    draft = Draft().add(received(1), received(2))
    stored = json.loads(json.dumps({"draft": draft.to_data()}))
    assert Draft.from_data(stored) == draft
    stored["draft"]["algorithm"] = "gone"
    assert Draft.from_data(stored).algorithm == Draft().algorithm
    assert Draft.from_data({}) == Draft()


def test_an_incomplete_draft_is_no_order() -> None:
    with pytest.raises(ValueError, match="style"):
        Draft().add(received(1)).order()
