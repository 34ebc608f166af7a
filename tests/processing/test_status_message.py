"""The status message against a real server: what is seen in the chat, and when."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from dataclasses import dataclass, replace

import pytest
from aiogram import Bot

from locales.catalogue import Catalogue
from ml_models.contract import Progress, Stage
from ml_models.registry import ALGORITHMS, Kind
from processing import status_message
from processing.job import Job, Outcome, Status, Ticket
from processing.status_message import StatusMessages
from processing.store import Store
from sandbox.server import Sandbox, SandboxUser
from tests.chat import buttons, picture, words
from tests.processing.conftest import NewJobs
from tests.toy_algorithm import TOY
from tests.waiting import until

PAUSE_S = 0.3


def progress(fraction: float, preview: bytes | None = None) -> Progress:
    return Progress(fraction, Stage.PAINTING, preview)


@dataclass
class Chat:
    sandbox: Sandbox
    store: Store
    user: SandboxUser
    messages: StatusMessages
    job: Job
    message_id: int

    @property
    def text(self) -> str:
        return next(words(message) for message in self.user.messages if message["message_id"] == self.message_id)

    def shows(self, percent: int) -> bool:
        return bool(re.search(rf"\b{percent}\s%", self.text))

    def edits(self) -> list[str]:
        return [call.method for call in self.sandbox.requests if call.method.startswith("editMessage")]

    async def run(self) -> None:
        """The job is taken up."""
        taken = await self.store.take_next()
        assert taken
        assert taken.id == self.job.id


@pytest.fixture
async def chat(sandbox: Sandbox, bot: Bot, store: Store, new_job: NewJobs) -> Chat:
    """A job that waits, and the message that says so."""
    user = sandbox.user(1001)
    await user.send_text("/start")
    job, _ = await store.add(new_job(1), queue_limit=9, user_queue_limit=9)
    message = await bot.send_message(user.id, "accepted")
    await store.set_status_message(job.id, message.message_id)
    messages = StatusMessages(bot, store, Catalogue(), seconds_between_edits=PAUSE_S, seconds_to_read=0.0)
    return Chat(sandbox, store, user, messages, job, message.message_id)


async def test_progress_and_places_share_one_throttle(chat: Chat) -> None:
    edited_at: list[float] = []
    edit = chat.messages._edit

    async def timed(*args: object) -> bool:
        edited_at.append(time.monotonic())
        return await edit(*args)  # type: ignore[arg-type]

    chat.messages._edit = timed  # type: ignore[method-assign, assignment]
    chat.messages.show_place(Ticket(chat.job, 3, 60.0))
    chat.messages.show_place(Ticket(chat.job, 2, 60.0))
    await until(lambda: Catalogue().say("ru", "job.place", position=2) in chat.text)
    chat.messages.show_place(Ticket(chat.job, 1, 60.0))
    await chat.run()
    for step in range(20):
        chat.messages.show(chat.job, progress(step / 20))
        await asyncio.sleep(0.05)
    await until(lambda: chat.shows(95))
    assert all(later - earlier >= PAUSE_S for earlier, later in itertools.pairwise(edited_at))
    assert 3 <= len(edited_at) <= 7
    await chat.messages.close()


async def test_a_place_that_comes_late_hides_no_progress(chat: Chat) -> None:
    await chat.run()
    chat.messages.show(chat.job, progress(0.5))
    await until(lambda: chat.shows(50))
    chat.messages.show_place(Ticket(chat.job, 1, 60.0))
    await asyncio.sleep(2 * PAUSE_S)
    assert chat.shows(50)
    chat.messages.show(chat.job, progress(0.6))
    chat.messages.show_place(Ticket(chat.job, 1, 60.0))
    await until(lambda: chat.shows(60))


async def test_a_place_still_says_that_another_picture_goes_first(chat: Chat) -> None:
    say = Catalogue().say
    chat.messages.show_place(Ticket(chat.job, 2, None, follows=True))
    await until(lambda: say("ru", "job.follows") in chat.text)
    chat.messages.show_place(Ticket(chat.job, 1, None))
    await until(lambda: say("ru", "job.place", position=1) in chat.text)
    assert say("ru", "job.follows") not in chat.text


async def test_stopping_waits_for_the_edit_under_way_and_lets_nothing_follow(chat: Chat) -> None:
    await chat.run()
    chat.sandbox.faults.delay("editMessageText", seconds=0.3)
    chat.messages.show(chat.job, progress(0.3))
    await asyncio.sleep(0.1)
    chat.messages.show(chat.job, progress(0.6))
    await chat.messages.stop_showing(chat.job.id)
    assert chat.shows(30)
    await asyncio.sleep(2 * PAUSE_S)
    assert chat.edits() == ["editMessageText"]


async def test_stopping_does_not_wait_out_the_pause(chat: Chat) -> None:
    await chat.run()
    chat.messages.seconds_between_edits = 60.0
    chat.messages.show(chat.job, progress(0.3))
    await until(lambda: chat.shows(30))
    await asyncio.wait_for(chat.messages.stop_showing(chat.job.id), 1.0)


async def test_an_edit_that_hangs_is_given_up(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_message, "LAST_EDIT_S", 0.2)
    await chat.run()
    chat.sandbox.faults.delay("editMessageText", seconds=3.0)
    chat.messages.show(chat.job, progress(0.3))
    await asyncio.sleep(0.1)
    await asyncio.wait_for(chat.messages.stop_showing(chat.job.id), 1.0)


async def test_nothing_is_shown_after_stopped(chat: Chat) -> None:
    await chat.run()
    chat.sandbox.faults.delay("editMessageText", seconds=0.3)
    chat.messages.show(chat.job, progress(0.3))
    await asyncio.sleep(0.1)
    cancelled = await chat.store.mark_cancelled(chat.job.id)
    showing = asyncio.create_task(chat.messages.show_cancelled(cancelled))
    await asyncio.sleep(0)
    chat.messages.show(chat.job, progress(0.4))
    await showing
    chat.messages.show(chat.job, progress(0.5))
    await asyncio.sleep(2 * PAUSE_S)
    assert chat.text == Catalogue().say("ru", "cancel.done")
    assert buttons(chat.user.messages[-1]) == []
    assert chat.messages._showing == {}


async def test_an_outcome_that_is_late_is_said_in_the_message(chat: Chat) -> None:
    await chat.run()
    chat.messages.show(chat.job, progress(0.9, picture()))
    await until(lambda: chat.shows(90))
    await chat.store.mark_painted(chat.job.id, Outcome(90, 60, 1.0, "toy"))
    await chat.messages.show_late(chat.job)
    assert chat.text == Catalogue().say("ru", "job.late")
    assert buttons(chat.user.messages[-1]) == []


async def test_a_picture_that_was_shown_and_not_remembered_is_found_out(chat: Chat) -> None:
    await chat.run()
    chat.messages.show(chat.job, progress(0.2, picture()))
    await until(lambda: chat.shows(20))
    # As after a kill between the two.
    await chat.messages.stop_showing(chat.job.id)
    await chat.store.set_status_message(chat.job.id, chat.message_id, has_picture=False)
    chat.messages.show(chat.job, progress(0.4))
    await until(lambda: chat.shows(40))
    assert chat.edits() == ["editMessageMedia", "editMessageText", "editMessageCaption"]
    assert (await chat.store.get(chat.job.id)).status_has_picture
    await chat.store.mark_cancelled(chat.job.id)
    await chat.messages.show_cancelled(chat.job)
    assert chat.text == Catalogue().say("ru", "cancel.done")


async def test_a_message_that_the_user_deleted_is_not_tried_again(chat: Chat, bot: Bot) -> None:
    await chat.run()
    await bot.delete_message(chat.user.id, chat.message_id)
    chat.messages.show(chat.job, progress(0.2))
    await until(lambda: chat.edits() == ["editMessageText"])
    for fraction in (0.4, 0.6):
        await asyncio.sleep(1.5 * PAUSE_S)
        chat.messages.show(chat.job, progress(fraction))
    assert chat.edits() == ["editMessageText"]
    await chat.messages.stop_showing(chat.job.id)


async def test_the_message_goes_when_the_outcome_was_told(chat: Chat) -> None:
    await chat.run()
    painted = await chat.store.mark_painted(chat.job.id, Outcome(9, 9, 1.0, "toy"))
    assert painted.status is Status.PAINTED
    await chat.messages.remove(painted)
    await chat.messages.remove(painted)
    assert chat.message_id not in [message["message_id"] for message in chat.user.messages]


async def test_the_acceptance_stays_readable_before_the_first_progress(chat: Chat) -> None:
    await chat.run()
    chat.messages.seconds_to_read = 0.4
    chat.messages.show(chat.job, progress(0.1))
    await asyncio.sleep(0.2)
    assert chat.edits() == []
    chat.messages.show(chat.job, progress(0.2))
    await until(lambda: chat.shows(20))
    assert chat.edits() == ["editMessageText"]


async def test_what_is_shown_can_be_kept_from_the_first_picture_on(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "toy", TOY)
    keep = f"job:keep:{chat.job.id}"
    chat.messages.show_place(Ticket(chat.job, 1, None))
    await until(lambda: Catalogue().say("ru", "job.place", position=1) in chat.text)
    assert keep not in buttons(chat.user.messages[-1])
    await chat.run()
    chat.messages.show(chat.job, progress(0.1))
    await until(lambda: chat.shows(10))
    assert keep not in buttons(chat.user.messages[-1])
    chat.messages.show(chat.job, progress(0.2, picture()))
    await until(lambda: chat.shows(20))
    assert buttons(chat.user.messages[-1])[0] == keep
    chat.messages.show(chat.job, progress(0.3))
    await until(lambda: chat.shows(30))
    assert buttons(chat.user.messages[-1])[0] == keep


async def test_an_instant_mode_has_nothing_to_stop(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "toy", replace(TOY, kind=Kind.INSTANT))
    await chat.run()
    chat.messages.show(chat.job, progress(0.2, picture()))
    await until(lambda: chat.shows(20))
    assert buttons(chat.user.messages[-1])[0] == f"job:cancel:{chat.job.id}"
