"""The suite's own eyes: what does not hold is seen, and what is excused is not."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from processing.job import Job, Order, Picture, Status, WeightedStyle
from tests.chaos.engines import wrong_files
from tests.chaos.faults import KINDS
from tests.chaos.people import COLOURS, Person, Wish
from tests.chaos.promises import Excuses, account
from tests.chaos.rounds import Tally, dealt
from tests.chat import Message
from tests.toy_algorithm import toy_photo

USER = 7
PICTURE = ("job:file:1", COLOURS[0])
FAILURE = ("job:again:1", None)


class User:
    """What a chat shows, by the data of each message's button and the colour of its picture."""

    id = USER

    def __init__(self, *messages: tuple[str, tuple[int, int, int] | None]) -> None:
        self._colours = [colour for _, colour in messages]
        self.messages: list[Message] = [
            {
                "message_id": number,
                "from_bot": True,
                "reply_markup": {"inline_keyboard": [[{"callback_data": data}]]},
                **({"photo": [{"file_id": str(number)}]} if colour else {}),
            }
            for number, (data, colour) in enumerate(messages)
        ]

    def file(self, file_id: str) -> bytes:
        return toy_photo(colour=self._colours[int(file_id)] or (0, 0, 0))


def person(*messages: tuple[str, tuple[int, int, int] | None], wishes: tuple[Wish, ...] = ()) -> Person:
    someone = Person(cast(Any, User(*messages)), 0, Random(0))
    someone.wishes = list(wishes)
    return someone


def job(status: Status, *, job_id: int = 1, user_id: int = USER, origin: str = "message:7:1") -> Job:
    order = Order("toy", Picture("photo"), (WeightedStyle(Picture("style")),))
    return Job(job_id, origin, user_id, user_id, "en", order, status, datetime.now(UTC))


def broken(someone: Person, *jobs: Job, **excuses: Any) -> list[str]:
    return account([someone], jobs, Excuses(**excuses)).broken


@pytest.mark.parametrize(
    ("status", "messages", "sentence"),
    [
        (Status.DELIVERED, [PICTURE], ""),
        (Status.DELIVERED, [], "0 pictures"),
        (Status.DELIVERED, [PICTURE, PICTURE], "told too often"),
        (Status.DELIVERED, [PICTURE, FAILURE], "1 failures"),
        (Status.FAILED, [FAILURE], ""),
        (Status.FAILED, [], "0 failures"),
        (Status.FAILED, [PICTURE], "1 pictures"),
        (Status.CANCELLED, [], ""),
        (Status.CANCELLED, [PICTURE], "1 pictures"),
        (Status.CANCELLED, [("job:cancel:1", None)], "still offers to cancel"),
        (Status.RUNNING, [], "is running"),
        (Status.PAINTED, [PICTURE], "is painted"),
        (Status.DELIVERED, [PICTURE, ("job:file:2", COLOURS[0])], "job 2 was told of and is not stored"),
        (Status.DELIVERED, [("job:file:1", COLOURS[5])], "whose colour is"),
    ],
)
def test_one_outcome_and_no_other_is_told(status: Status, messages: list[Any], sentence: str) -> None:
    found = broken(person(*messages), job(status))
    assert (sentence in " ".join(found)) if sentence else not found


def test_a_repeat_is_excused_once_by_a_crash_or_a_lost_answer() -> None:
    twice, delivered = person(PICTURE, PICTURE), job(Status.DELIVERED)
    assert not broken(twice, delivered, told_twice=Counter([1]))
    assert not broken(twice, delivered, lost_answers=1)
    assert broken(twice, delivered, told_twice=Counter([2]))
    assert broken(person(PICTURE, PICTURE, PICTURE), delivered, told_twice=Counter([1]))


def test_what_comes_after_its_round_is_seen() -> None:
    assert not Tally(told=[(person(PICTURE), Counter([1]))]).told_since()
    assert "[1]" in Tally(told=[(person(PICTURE, PICTURE), Counter([1]))]).told_since()[0]


def test_what_was_sent_is_ordered_once_unless_it_was_withdrawn_or_refused() -> None:
    pair = Wish(frozenset({"photo", "style"}))
    delivered = job(Status.DELIVERED)
    assert not broken(person(PICTURE, wishes=(pair,)), delivered)
    lost = Wish(frozenset({"another", "style"}))
    assert "not ordered" in broken(person(PICTURE, wishes=(lost,)), delivered)[0]
    assert not broken(person(PICTURE, wishes=(lost,)), delivered, reordered=True)
    assert not broken(person(PICTURE, wishes=(Wish(lost.file_ids, withdrawn=True),)), delivered)
    again = job(Status.CANCELLED, job_id=2)
    assert "ordered [2] times" in broken(person(PICTURE, wishes=(pair,)), delivered, again)[0]
    assert "pressed 0 times" in broken(person(), job(Status.CANCELLED, origin="update:5"))[0]


def test_a_picture_of_somebody_else_is_seen() -> None:
    assert "was sent the picture of job 1" in broken(person(PICTURE), job(Status.DELIVERED, user_id=8))[0]


def test_files_are_those_of_delivered_jobs_and_no_others(tmp_path: Path) -> None:
    for name in ("db", "jobs/1/picture.png", "jobs/1/photo.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    database = {tmp_path / "db"}
    assert not wrong_files(tmp_path, database, [1])
    assert len(wrong_files(tmp_path, database, [])) == 2
    assert len(wrong_files(tmp_path, set(), [1])) == 1
    assert len(wrong_files(tmp_path, database, [1, 2])) == 2
    (tmp_path / "jobs/1/photo.jpg.part").touch()
    (tmp_path / "jobs/3").mkdir()
    assert len(wrong_files(tmp_path, database, [1])) == 2


def test_a_seed_deals_every_kind_before_any_comes_again() -> None:
    first, second = (list(islice(dealt(KINDS, seed), 2 * len(KINDS))) for seed in (1, 2))
    assert first == list(islice(dealt(KINDS, 1), 2 * len(KINDS)))
    assert first != second
    assert {kind.name for _, kind in first[: len(KINDS)]} == {kind.name for kind in KINDS}
    assert [number for number, _ in first] == list(range(1, 2 * len(KINDS) + 1))
