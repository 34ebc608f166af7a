"""Stop and keep, over real HTTP: the button, the early picture, and every press that comes at the wrong time."""

from __future__ import annotations

import re

import pytest

from processing.job import Status
from tests.chat import Stage, after, buttons, has_button, is_result, order, says, words
from tests.handlers.test_dialogue import job_id_of
from tests.toy_algorithm import SLOW_STEP_S, SLOW_STEPS, Behaviour
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_is_there_is_kept_and_comes_as_a_result(stage: Stage) -> None:
    stage.behave(Behaviour.GROW)
    user = await stage.person()
    accepted = await order(user)
    assert not any(data.startswith("job:keep") for data in buttons(accepted))
    growing = await user.wait_for(has_button("job:keep"))
    assert growing["message_id"] == accepted["message_id"]
    query = await user.press(growing, "✔ Stop and keep this")
    answer = await user.wait_for_answer(query)
    assert (answer["text"], answer["show_alert"]) == ("Finishing: the picture comes in a moment", False)
    result = await user.wait_for(is_result)
    stopped = re.search(r"stopped at (\d+) %, as you asked", words(result))
    assert stopped
    assert 0 < int(stopped[1]) < 100
    job = await stage.service.store.get(job_id_of(result))
    assert job.outcome
    assert job.outcome.stopped_at == pytest.approx(int(stopped[1]) / 100, abs=0.011)
    assert job.outcome.seconds < 4 * SLOW_STEPS * SLOW_STEP_S
    await until(lambda: all(message["message_id"] != accepted["message_id"] for message in user.messages))
    # Its worker paints the next picture to the end, and a press from before it stops nothing.
    stage.behave(Behaviour.SLOW)
    await order(user)
    late = await user.wait_for_answer(await user.press_raw(result["message_id"], f"job:keep:{job.id}"))
    assert late["text"] == "It has already ended"
    whole = await user.wait_for(after(result, is_result))
    assert "stopped" not in words(whole)


async def test_a_second_press_is_told_that_it_is_under_way(stage: Stage) -> None:
    stage.behave(Behaviour.DEAF)
    user = await stage.person()
    accepted = await order(user)
    job_id = job_id_of(accepted)
    texts = []
    while "It is being finished already" not in texts:
        query = await user.press_raw(accepted["message_id"], f"job:keep:{job_id}")
        texts.append((await user.wait_for_answer(query))["text"])
    assert set(texts) <= {
        "There is no picture to keep yet",
        "Finishing: the picture comes in a moment",
        "It is being finished already",
    }
    assert texts.count("Finishing: the picture comes in a moment") == 1
    # The worker hears nothing: the picture comes whole, and says nothing else.
    assert "stopped" not in words(await user.wait_for(is_result))


async def test_a_waiting_job_has_nothing_to_keep_and_waits_on(stage: Stage) -> None:
    stage.behave(Behaviour.GROW)
    first, second = await stage.person(), await stage.person()
    running = await order(first)
    await first.wait_for(lambda message: message["message_id"] == running["message_id"])
    waiting = await order(second)
    query = await second.press_raw(waiting["message_id"], f"job:keep:{job_id_of(waiting)}")
    assert (await second.wait_for_answer(query))["text"] == "There is no picture to keep yet"
    assert (await stage.service.store.get(job_id_of(waiting))).status is Status.QUEUED
    for user, accepted in ((first, running), (second, waiting)):
        await user.press(accepted, "✖ Cancel")
        await user.wait_for(says("The painting is stopped"))


async def test_nobody_keeps_what_is_not_theirs(stage: Stage) -> None:
    stage.behave(Behaviour.GROW)
    ann, eve = await stage.person(), await stage.person()
    await order(ann)
    growing = await ann.wait_for(has_button("job:keep"))
    menu = eve.messages[1]["message_id"]
    answer = await eve.wait_for_answer(await eve.press_raw(menu, buttons(growing)[0]))
    assert "not known to me" in answer["text"]
    assert answer["show_alert"]
    assert "stopped" not in words(await ann.wait_for(is_result))


async def test_cancelling_is_still_possible_beside_keeping(stage: Stage) -> None:
    stage.behave(Behaviour.DEAF)
    user = await stage.person()
    accepted = await order(user)
    await user.press_raw(accepted["message_id"], f"job:keep:{job_id_of(accepted)}")
    await user.press(accepted, "✖ Cancel")
    await user.wait_for(says("The painting is stopped"))
    assert (await stage.service.store.get(job_id_of(accepted))).status is Status.CANCELLED
