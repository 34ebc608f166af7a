"""A mode whose style is built in, over real HTTP: the photo is the order, and nothing speaks of styles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.bots import bot_in
from tests.chat import Stage, after, buttons, choose, is_result, picture, results, says, words
from tests.toy_algorithm import BUILT_IN, QUICK_SUFFIX, TOY, Behaviour, last_request
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def own_sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


async def test_a_photo_is_painted_as_soon_as_it_is_there(stage: Stage) -> None:
    user = await stage.person(mode=BUILT_IN)
    accepted = await user.send_photo(picture())
    accepted = await user.wait_for(after(accepted, says("Accepted", "Built-in, 512 px")))
    assert not any(data.startswith("job:swap") for data in buttons(accepted))
    result = await user.wait_for(is_result)
    job_id = int(buttons(result)[0].rsplit(":", 1)[1])
    assert buttons(result) == [f"job:{step}:{job_id}" for step in ("file", "strengths", "options")]
    assert "Built-in · 512×341" in words(result)
    assert last_request(QUICK_SUFFIX)["weights"] == []
    # And the next one too; a file as well.
    sent = await user.send_document(picture(form="PNG"), "a.png", "image/png")
    await user.wait_for(after(sent, is_result))
    # An altered client asks for what is not offered.
    for step in ("style", "swap", "paint"):
        query = await user.press_raw(result["message_id"], f"job:{step}:{job_id}")
        assert "no longer works" in (await user.wait_for_answer(query))["text"]


async def test_every_photo_of_an_album_is_one_of_its_own(stage: Stage) -> None:
    user = await stage.person(mode=BUILT_IN)
    await user.send_album([picture(80, 40), picture(40, 80)])
    await until(lambda: len(results(user)) == 2)
    told = "\n".join(map(words, results(user)))
    assert "512×256" in told
    assert "256×512" in told


async def test_an_album_that_is_too_long_for_the_queue_says_what_was_taken(stage: Stage) -> None:
    stage.behave(Behaviour.PAINT, quick=Behaviour.HANG)
    user = await stage.person(mode=BUILT_IN)
    await user.send_album([picture() for _ in range(4)])
    await user.wait_for(says("at most 2"))
    await user.wait_for(says("Photos taken: 2 of 4"))
    sent = await user.send_text("/cancel")
    await user.wait_for(after(sent, says("Stopped.")))
    stage.behave(Behaviour.PAINT)
    sent = await user.send_photo(picture())
    await user.wait_for(after(sent, is_result))


async def test_while_the_options_are_open_the_newest_photo_is_meant(stage: Stage) -> None:
    user = await stage.person(mode=BUILT_IN)
    sent = await user.send_text("/options")
    panel = await user.wait_for(after(sent, says("Options · Built-in", "send the photo")))
    assert "Strokes" not in words(panel)
    assert not any(data.startswith(("option:strokes", "panel:variant", "share")) for data in buttons(panel))
    sent = await user.send_photo(picture(80, 40))
    panel = await user.wait_for(after(sent, says("Options", "Press “Paint” to begin")))
    assert not any(data.startswith("draft:swap") for data in buttons(panel))
    sent = await user.send_photo(picture(40, 80))
    await user.wait_for(after(sent, says("I took the last one")))
    panel = await user.wait_for(after(sent, says("Options")))
    query = await user.press_raw(panel["message_id"], f"option:strokes:200:{sent['message_id']}")
    assert "no longer works" in (await user.wait_for_answer(query))["text"]
    await user.press(panel, "50%")
    await user.wait_for(says("Options", "style: 50 %"))
    await user.press(panel, "🖌 Paint")
    result = await user.wait_for(is_result)
    assert "256×512" in words(result)
    assert "strength 50 %" in words(result)


async def test_a_photo_that_was_sent_before_the_mode_is_painted_when_it_is_chosen(stage: Stage) -> None:
    user = await stage.person(mode=TOY)
    await user.send_photo(picture())
    await user.wait_for(says("Now send the picture whose style"))
    await user.press(user.messages[1], f"mode:{BUILT_IN.key}")
    assert "Built-in" in words(await user.wait_for(is_result))


async def test_help_says_which_modes_need_no_style(stage: Stage) -> None:
    user = await stage.person(mode=BUILT_IN)
    await user.send_text("/help")
    text = words(await user.wait_for(says("How it works")))
    assert "Built-in: answers at once; needs no style picture; about 1 s at 512 px, up to 2048 px" in text
    assert "Quick: answers at once; styles: 1–4; about 1 s at 512 px, up to 3840 px" in text
    assert "begins as soon as the photo is there" in text
    assert "“Paint it properly”" in text
    sent = await user.send_text("hello")
    await user.wait_for(after(sent, says("That is a text.", "photo that I should paint")))


async def test_an_album_is_taken_once_over_a_restart(stage: Stage, own_sandbox: Sandbox, tmp_path: Path) -> None:
    user = own_sandbox.user(first_name="Ann")
    async with bot_in(own_sandbox, tmp_path):
        await choose(user, BUILT_IN)
        await user.send_album([picture(), picture()])
        await until(lambda: not own_sandbox.pending_updates)
    async with bot_in(own_sandbox, tmp_path) as service:
        await until(lambda: len(results(user)) == 2)
        assert sum((await service.store.counts()).values()) == 2
