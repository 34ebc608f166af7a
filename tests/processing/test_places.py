"""Waiting jobs' messages follow the line, in a real chat."""

from __future__ import annotations

from aiogram import Bot

from locales.catalogue import Catalogue
from processing.estimate import Estimator
from processing.places import PlacesInLine
from processing.status_message import StatusMessages
from processing.store import Store
from sandbox.server import Sandbox
from tests.chat import words
from tests.processing.conftest import NewJobs
from tests.waiting import until


async def test_a_message_is_edited_when_its_job_moves_up_and_not_before(
    sandbox: Sandbox, bot: Bot, store: Store, new_job: NewJobs
) -> None:
    jobs = [(await store.add(new_job(user_id), queue_limit=9, user_queue_limit=9))[0] for user_id in (1, 2, 3)]
    for job in jobs:
        await sandbox.user(job.chat_id).send_text("/start")
        message = await bot.send_message(job.chat_id, "accepted")
        await store.set_status_message(job.id, message.message_id)
    await store.take_next()
    messages = StatusMessages(bot, store, Catalogue(), seconds_between_edits=0.05, seconds_to_read=0.0)
    looks = 0
    line = store.line

    async def counted_line():  # type: ignore[no-untyped-def]
        nonlocal looks
        looks += 1
        return await line()

    store.line = counted_line  # type: ignore[method-assign]
    places = PlacesInLine(store, messages, Estimator(store, 1), look_every_s=0.05)
    places.start()
    await until(lambda: looks >= 3)
    shown = [[words(message) for message in sandbox.user(job.chat_id).messages] for job in jobs]
    assert shown == [["/start", "accepted"]] * 3
    await store.mark_cancelled(jobs[1].id)
    say = Catalogue().say
    await until(lambda: say("ru", "job.place", position=1) in words(sandbox.user(jobs[2].chat_id).messages[-1]))
    await places.close()
    await messages.close()
    assert [words(sandbox.user(job.chat_id).messages[-1]) for job in jobs[:2]] == ["accepted"] * 2
