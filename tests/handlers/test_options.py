"""The options in the dialogue over real HTTP: buttons, captions, several styles, and what survives what."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from keyboards.options import CHOSEN
from processing.job import Job, Status
from sandbox.server import Sandbox, SandboxUser
from tests.bots import bot_in
from tests.chat import Message, Stage, after, buttons, choose, has_button, is_result, picture, says, words
from tests.processing.conftest import in_state
from tests.toy_algorithm import Behaviour, last_request
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def own_sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


is_panel = says("Options", "longer side")


async def opened(user: SandboxUser) -> Message:
    """Send a photo and open the options of its draft."""
    sent = await user.send_photo(picture())
    asked = await user.wait_for(after(sent, says("Now send the picture whose style")))
    await user.press(asked, "⚙ Options")
    return await user.wait_for(after(sent, is_panel))


async def send_styles(user: SandboxUser, count: int, caption: str | None = None) -> Message:
    """Send styles one by one, the caption under the last, and return the newest options message."""
    for number in range(1, count + 1):
        sent = await user.send_photo(picture(40 + number, 40), caption if number == count else None)
        panel = await user.wait_for(after(sent, is_panel))
    return panel


async def edited(user: SandboxUser, message: Message, *texts: str) -> Message:
    return await user.wait_for(lambda other: other["message_id"] == message["message_id"] and says(*texts)(other))


async def paint(user: SandboxUser, panel: Message) -> Message:
    await user.press(panel, "🖌 Paint")
    return await user.wait_for(after(panel, says("Accepted")))


async def job_of(stage: Stage, message: Message) -> Job:
    return await stage.service.store.get(int(buttons(message)[0].rsplit(":", 1)[1]))


def panels(user: SandboxUser) -> list[Message]:
    return [message for message in user.messages if is_panel(message)]


async def panels_are(user: SandboxUser, *expected: Message) -> None:
    """An options message goes a moment after what takes its place."""
    ids = [message["message_id"] for message in expected]
    await until(lambda: [message["message_id"] for message in panels(user)] == ids, 5)


async def test_what_the_buttons_choose_is_ordered_said_and_painted(stage: Stage) -> None:
    user = await stage.person()
    await opened(user)
    panel = await send_styles(user, 1)
    for button, text in (
        ("768", "Size: 768 px"),
        ("50%", "style: 50 %"),
        ("Bold", "Strokes: bold"),
        ("Keep the photo’s colours", "the photo’s own"),
        ("🎲 New variant", "Variant: "),
    ):
        await user.press(panel, button)
        await edited(user, panel, text)
    accepted = await paint(user, panel)
    order = (await job_of(stage, accepted)).order
    assert (order.size_px, order.strength, order.stroke_scale, order.keep_colours) == (768, 0.5, 2.0, True)
    assert order.seed > 0
    said = f"strength 50 %, strokes: bold, the photo’s colours, variant {order.seed}"
    assert f"Toy, 768 px, {said}." in words(accepted)
    result = await user.wait_for(is_result)
    assert words(result).endswith("\n" + said)
    # All of it has reached the algorithm.
    reached = {"size_px": 768, "strength": 0.5, "stroke_scale": 2.0, "keep_colours": True, "seed": order.seed}
    assert last_request() == reached | {"weights": [1.0], "initial": None}
    await user.press(result, "📄 As a file")
    file = await user.wait_for(lambda message: message["from_bot"] and "document" in message)
    assert f"variant {order.seed}" in words(file)
    with Image.open(io.BytesIO(user.file(file["document"]["file_id"]))) as png:
        assert png.size == (768, 512)
    # The next picture goes the usual way, with the same options but for the variant.
    await panels_are(user)
    sent = await user.send_photo(picture())
    await user.wait_for(after(sent, says("Now send")))
    await user.send_photo(picture())
    accepted = await user.wait_for(after(sent, says("Accepted")))
    assert "Toy, 768 px, strength 50 %, strokes: bold, the photo’s colours." in words(accepted)


async def test_who_ignores_the_options_has_the_usual_ones(stage: Stage) -> None:
    user = await stage.person()
    sent = await user.send_photo(picture(), "Our house")
    await user.wait_for(after(sent, says("Now send")))
    await user.send_photo(picture(40, 40), "1889")
    accepted = await user.wait_for(after(sent, says("Accepted")))
    assert "Toy, 512 px.\n" in words(accepted)
    order = (await job_of(stage, accepted)).order
    assert (order.size_px, order.strength, order.stroke_scale, order.keep_colours, order.seed) == (512, 1, 1, False, 0)
    assert "\n" not in words(await user.wait_for(is_result))


async def test_four_styles_one_by_one_with_shares_by_button(stage: Stage) -> None:
    user = await stage.person()
    first = await opened(user)
    assert "up to 4 of them" in words(first)
    panel = await send_styles(user, 4)
    # The options are the last message and the only ones.
    await panels_are(user, panel)
    assert "Styles: 4, in shares of 25/25/25/25" in words(panel)
    await user.press(panel, "1: 25%")
    await edited(user, panel, "30/23/23/23")
    fifth = await user.send_photo(picture())
    await user.wait_for(after(fifth, says("at most 4 style pictures")))
    panel = await user.wait_for(after(fifth, is_panel))
    order = (await job_of(stage, await paint(user, panel))).order
    assert [style.weight for style in order.styles] == pytest.approx([30, 70 / 3, 70 / 3, 70 / 3])
    assert len({style.picture.file_id for style in order.styles}) == 4
    assert "styles 30/23/23/23" in words(await user.wait_for(is_result))


async def test_a_caption_or_a_text_gives_the_shares(stage: Stage) -> None:
    user = await stage.person()
    await opened(user)
    panel = await send_styles(user, 2, "70/30")
    assert "shares of 70/30" in words(panel)
    assert f"{CHOSEN}70/30" in [button["text"] for row in panel["reply_markup"]["inline_keyboard"] for button in row]
    sent = await user.send_text("80 20")
    panel = await user.wait_for(after(sent, is_panel))
    assert "shares of 80/20" in words(panel)
    sent = await user.send_text("50/30/20")
    await user.wait_for(after(sent, says("gives 3 shares; the styles here: 2")))
    sent = await user.send_text("go")
    await user.wait_for(after(sent, says("Press “Paint” under the options")))
    order = (await job_of(stage, await paint(user, panel))).order
    assert [style.weight for style in order.styles] == [80, 20]
    await user.wait_for(is_result)


async def test_a_file_that_is_still_being_read_belongs_to_the_order(stage: Stage) -> None:
    user = await stage.person()
    await opened(user)
    panel = await send_styles(user, 1)
    stage.sandbox.faults.delay("getFile", 1, seconds=1)
    sent = await user.send_document(picture(form="PNG"), "style.png", "image/png", "60:40")
    query = await user.press(panel, "🖌 Paint")
    assert "One moment" in (await user.wait_for_answer(query))["text"]
    panel = await user.wait_for(after(sent, says("shares of 60/40")))
    await paint(user, panel)
    await user.wait_for(is_result)
    assert last_request()["weights"] == [60, 40]


async def test_an_album_with_a_fitting_caption_is_painted_at_once(stage: Stage) -> None:
    user = await stage.person()
    await user.send_album([picture(), picture(40, 40), picture(50, 40)], "70/30")
    accepted = await user.wait_for(says("Accepted"))
    assert "Toy, 512 px, styles 70/30." in words(accepted)
    assert [style.weight for style in (await job_of(stage, accepted)).order.styles] == [70, 30]
    await user.wait_for(is_result)
    assert last_request()["weights"] == [70, 30]


@pytest.mark.parametrize(
    ("caption", "sentence"),
    [
        ("50/30/20", "gives 3 shares; the styles here: 2"),
        ("100/0", "every share must be more than 0"),
        ("1/2/3/4/5", "gives 5 shares, but this mode takes at most 4"),
        ("120 %", "at most 100 %"),
    ],
)
async def test_shares_that_do_not_fit_are_said_and_nothing_is_lost(stage: Stage, caption: str, sentence: str) -> None:
    user = await stage.person()
    await user.send_album([picture(), picture(40, 40), picture(50, 40)], caption)
    panel = await user.wait_for(says(sentence, caption, "shares of 50/50"))
    assert not any(map(says("Accepted"), user.messages))
    await user.press(panel, "30/70")
    shown = await edited(user, panel, "shares of 30/70")
    assert sentence not in words(shown)
    order = (await job_of(stage, await paint(user, panel))).order
    assert [style.weight for style in order.styles] == [30, 70]
    await user.wait_for(is_result)


@pytest.mark.parametrize(("caption", "sentence"), [("70/30", "the styles here: 1"), ("70 %", "leaves room")])
async def test_a_share_under_the_first_style_waits_for_the_others(stage: Stage, caption: str, sentence: str) -> None:
    user = await stage.person()
    sent = await user.send_photo(picture())
    await user.wait_for(after(sent, says("Now send")))
    sent = await user.send_photo(picture(40, 40), caption)
    await user.wait_for(after(sent, says(sentence)))
    panel = await send_styles(user, 1)
    assert "shares of 70/30" in words(panel)
    assert [style.weight for style in (await job_of(stage, await paint(user, panel))).order.styles] == [70, 30]
    await user.wait_for(is_result)


async def test_pressing_twice_changes_once_and_paints_once(stage: Stage) -> None:
    user = await stage.person()
    await opened(user)
    panel = await send_styles(user, 2)
    stage.behave(Behaviour.HANG)
    queries = [await user.press(panel, "1024") for _ in range(2)] + [await user.press(panel, "70/30")]
    queries += [await user.press(panel, "🖌 Paint") for _ in range(2)]
    answers = [await user.wait_for_answer(query) for query in queries]
    assert not any(answer.get("show_alert") for answer in answers)
    assert answers[-1]["text"] == "Accepted already"
    accepted = await user.wait_for(after(panel, says("Accepted")))
    [job] = await stage.service.store.active_jobs(user.id)
    assert job.order.size_px == 1024
    await panels_are(user)
    assert not any(map(says("Something went wrong"), user.messages))
    await user.press(accepted, "✖ Cancel")
    await edited(user, accepted, "The painting is stopped")


async def test_the_options_of_a_painting_are_changed_and_it_is_painted_again(stage: Stage) -> None:
    user = await stage.person()
    await user.send_album([picture(), picture(40, 40), picture(50, 40)], "70/30")
    result = await user.wait_for(is_result)
    first = await job_of(stage, result)
    previous = result
    for size in (768, 1024):
        await user.press(result, "⚙ Change options")
        panel = await user.wait_for(after(previous, is_panel))
        assert "shares of 70/30" in words(panel)
        await user.press(panel, str(size))
        await edited(user, panel, f"Size: {size} px")
        previous = await paint(user, panel)
        order = (await job_of(stage, previous)).order
        assert order.size_px == size
        assert (order.content, order.styles, order.seed) == (first.order.content, first.order.styles, first.order.seed)
        previous = await user.wait_for(after(previous, is_result))
    # Again keeps what was chosen and says which variant it is.
    await user.press(previous, "🔁 Again")
    again = (await job_of(stage, await user.wait_for(after(previous, says("Accepted", "1024 px", "variant"))))).order
    assert (again.size_px, again.styles) == (1024, first.order.styles)
    assert again.seed
    await user.wait_for(after(previous, is_result))


async def test_looking_at_a_paintings_options_and_cancelling_changes_nothing(stage: Stage) -> None:
    user = await stage.person()
    panel = await opened(user)
    await user.press(panel, "768")
    await edited(user, panel, "768 px on")
    await paint(user, await send_styles(user, 1))
    result = await user.wait_for(is_result)
    sent = await user.send_text("/options")
    panel = await user.wait_for(after(sent, is_panel))
    await user.press(panel, "↺ Defaults")
    await edited(user, panel, "Size: 512 px")
    await user.press(panel, "Close")
    await edited(user, panel, "Send the photo that I should paint")
    await user.press(result, "⚙ Change options")
    panel = await user.wait_for(after(panel, is_panel))
    assert "Size: 768 px" in words(panel)
    await user.press(panel, "✖ Cancel")
    await edited(user, panel, "Cancelled.")
    sent = await user.send_text("/options")
    assert "Size: 512 px" in words(await user.wait_for(after(sent, is_panel)))


async def test_a_painting_that_failed_has_options_too(stage: Stage) -> None:
    stage.behave(Behaviour.REFUSE)
    user = await stage.person()
    await user.send_album([picture(), picture(40, 40)])
    failed = await user.wait_for(says("only 1×1 pixels"))
    stage.behave(Behaviour.PAINT)
    await user.press(failed, "⚙ Change options")
    await paint(user, await user.wait_for(after(failed, is_panel)))
    await user.wait_for(is_result)


async def test_closing_goes_on_as_usual_with_what_was_chosen(stage: Stage) -> None:
    user = await stage.person()
    panel = await opened(user)
    await user.press(panel, "Fine")
    await edited(user, panel, "Strokes: fine")
    await user.press(panel, "Close")
    asked = await edited(user, panel, "Now send the picture whose style")
    assert buttons(asked)[-1].startswith("draft:cancel")
    await user.send_photo(picture(40, 40))
    assert "strokes: fine" in words(await user.wait_for(says("Accepted")))
    await user.wait_for(is_result)


async def test_photo_and_style_are_swapped_within_the_options(stage: Stage) -> None:
    user = await stage.person()
    await opened(user)
    sent = await user.send_photo(picture(40, 80))
    panel = await user.wait_for(after(sent, is_panel))
    query = await user.press(panel, "⇄ Swap photo and style")
    assert "changed places" in (await user.wait_for_answer(query))["text"]
    await paint(user, panel)
    assert "256×512" in words(await user.wait_for(is_result))


async def test_start_resets_the_options_and_cancel_keeps_them(stage: Stage) -> None:
    user = await stage.person()
    panel = await opened(user)
    await user.press(panel, "768")
    await edited(user, panel, "768 px on")
    sent = await user.send_text("/cancel")
    await user.wait_for(after(sent, says("Cancelled.")))
    await panels_are(user)
    sent = await user.send_text("/options")
    assert "768 px" in words(await user.wait_for(after(sent, is_panel)))
    sent = await user.send_text("/start")
    await user.wait_for(after(sent, has_button("menu:help")))
    await panels_are(user)
    sent = await user.send_text("/options")
    assert "512 px" in words(await user.wait_for(after(sent, is_panel)))


async def test_a_full_queue_leaves_the_options_open(stage: Stage) -> None:
    stage.behave(Behaviour.HANG)
    user = await stage.person()
    accepted = []
    for _ in range(2):
        sent = await user.send_album([picture(), picture(40, 40)])
        accepted.append(await user.wait_for(after(sent[-1], says("Accepted"))))
    await opened(user)
    panel = await send_styles(user, 2, "70/30")
    await user.press(panel, "🖌 Paint")
    await user.wait_for(after(panel, says("at most 2")))
    for message in accepted:
        await user.press(message, "✖ Cancel")
        await edited(user, message, "The painting is stopped")
    stage.behave(Behaviour.PAINT)
    assert "styles 70/30" in words(await paint(user, panel))
    await user.wait_for(is_result)


@pytest.mark.parametrize(
    "data",
    ["option:size:768:{}", "share:0:70:{}", "panel:paint:{}", "panel:reset:{}", "panel:close:{}", "panel:equal:{}"],
)
async def test_a_button_of_other_pictures_says_so(stage: Stage, data: str) -> None:
    user = await stage.person()
    panel = await opened(user)
    for message_id in (1, 999_999):
        query = await user.press_raw(panel["message_id"], data.format(message_id))
        assert "old message" in (await user.wait_for_answer(query))["text"]
    assert words(panels(user)[0]) == words(panel)


@pytest.mark.parametrize(
    "data", ["option:size:999:{}", "option:strength:0:{}", "option:strokes:300:{}", "option:colours:2:{}",
             "share:0:100:{}", "share:2:50:{}", "share:-1:50:{}"],
)  # fmt: skip
async def test_a_value_that_no_button_offers_is_refused(stage: Stage, data: str) -> None:
    user = await stage.person()
    await opened(user)
    panel = await send_styles(user, 2)
    message_id = buttons(panel)[0].rsplit(":", 1)[1]
    query = await user.press_raw(panel["message_id"], data.format(message_id))
    assert (await user.wait_for_answer(query))["show_alert"]


async def test_nobody_opens_the_options_of_anothers_painting(stage: Stage) -> None:
    ann, eve = await stage.person(), await stage.person()
    await ann.send_album([picture(), picture(40, 40)], None)
    result = await ann.wait_for(is_result)
    query = await eve.press_raw(eve.messages[1]["message_id"], buttons(result)[2])
    assert buttons(result)[2].startswith("job:options:")
    assert "not known to me" in (await eve.wait_for_answer(query))["text"]
    assert panels(eve) == []


async def test_a_restart_keeps_the_pictures_the_options_and_the_buttons(
    stage: Stage, own_sandbox: Sandbox, tmp_path: Path
) -> None:
    user = own_sandbox.user(first_name="Ann")
    async with bot_in(own_sandbox, tmp_path):
        await choose(user)
        panel = await opened(user)
        await user.press(panel, "768")
        await edited(user, panel, "768 px on")
        panel = await send_styles(user, 2, "70/30")
    async with bot_in(own_sandbox, tmp_path) as service:
        panel_after = await send_styles(user, 1)
        await panels_are(user, panel_after)
        await user.press(panel_after, "2: 33%")
        await edited(user, panel_after, "30/40/30")
        accepted = await paint(user, panel_after)
        job = await service.store.get(int(buttons(accepted)[0].rsplit(":", 1)[1]))
        assert job.order.size_px == 768
        assert [style.weight for style in job.order.styles] == pytest.approx([30, 40, 30])
        await user.wait_for(is_result)
        await in_state(service.store, job.id, Status.DELIVERED, 5)
