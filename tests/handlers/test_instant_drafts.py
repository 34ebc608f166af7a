"""Draft, then masterpiece, over real HTTP: the draft, its buttons, the painting that starts from it."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from keyboards.options import CHOSEN
from processing.folders import JobFolders
from processing.job import Job, Status, Wanted
from sandbox.server import Sandbox, SandboxUser
from tests.bots import bot_in
from tests.chat import Message, Stage, after, buttons, choose, has_button, is_result, picture, says, words
from tests.processing.conftest import in_state
from tests.toy_algorithm import DRAFTED, QUICK, QUICK_SUFFIX, Behaviour, last_request
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAINT, STRENGTH = "🖌 Paint it properly", "◐ Other strength"


@pytest_asyncio.fixture(loop_scope="module")
async def own_sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


def job_id_of(message: Message) -> int:
    return int(buttons(message)[0].rsplit(":", 1)[1])


async def job_of(stage: Stage, message: Message) -> Job:
    return await stage.service.store.get(job_id_of(message))


def is_draft(message: Message) -> bool:
    return is_result(message) and has_button("job:paint")(message)


def is_painting(message: Message) -> bool:
    return is_result(message) and not has_button("job:paint")(message)


async def drafted(user: SandboxUser, *styles: bytes) -> Message:
    """Send a photo and styles in one album, and return the draft of them."""
    sent = await user.send_album([picture(), *(styles or [picture(40, 40)])])
    return await user.wait_for(after(sent[-1], is_draft))


async def toast(user: SandboxUser, message: Message, button: str) -> str:
    return str((await user.wait_for_answer(await user.press(message, button))).get("text") or "")


async def test_two_photos_give_a_draft_at_once_and_the_painting_starts_from_it(stage: Stage) -> None:
    user = await stage.person(mode=DRAFTED)
    first = await user.send_photo(picture())
    await user.wait_for(after(first, says("Now send the picture whose style")))
    await user.send_photo(picture(40, 40))
    accepted = await user.wait_for(says("Accepted", "Drafted, 512 px.", "First an instant draft."))
    draft = await user.wait_for(is_draft)
    job = await job_of(stage, draft)
    assert buttons(draft) == [
        f"job:{step}:{job.id}" for step in ("paint", "file", "strengths", "options", "style", "swap")
    ]
    assert "An instant draft · Quick · 512×341" in words(draft)
    assert "Drafted, 512 px" in words(draft)
    assert (job.order.algorithm, job.order.draft_of) == (QUICK.key, Wanted(DRAFTED.key, 512))
    picture_of_draft = JobFolders(stage.service.settings.data_dir).picture(job.id).read_bytes()
    assert await toast(user, draft, PAINT) == ""
    accepted = await user.wait_for(after(draft, says("Accepted", "Drafted, 512 px, starting from the draft.")))
    painting = await user.wait_for(after(accepted, is_painting))
    assert "Drafted · 512×341" in words(painting)
    assert "starting from the draft" in words(painting)
    # The draft was made anew by the run itself, to the byte.
    assert last_request()["initial"] == hashlib.sha256(picture_of_draft).hexdigest()
    order = (await job_of(stage, painting)).order
    assert (order.algorithm, order.start, order.draft_of) == (DRAFTED.key, QUICK.key, None)
    assert (order.content, order.styles) == (job.order.content, job.order.styles)


async def test_the_options_hold_for_draft_and_painting_alike(stage: Stage) -> None:
    user = await stage.person(mode=DRAFTED)
    sent = await user.send_text("/options")
    panel = await user.wait_for(after(sent, says("Options", "An instant draft first")))
    for button, text in (
        ("1024", "Size: 1024 px"),
        ("50%", "style: 50 %"),
        ("Bold", "Strokes: bold"),
        ("Keep the photo’s colours", "the photo’s own"),
    ):
        await user.press(panel, button)
        panel = await user.wait_for(lambda message, text=text: says(text)(message))
    sent = await user.send_album([picture(), picture(40, 40), picture(50, 40)], "70/30")
    panel = await user.wait_for(after(sent[-1], says("Options", "70/30")))
    await user.press(panel, "🎲 New variant")
    await user.wait_for(says("Options", "Variant: "))
    await user.press(panel, "🖌 Paint")
    draft = await user.wait_for(is_draft)
    job = await job_of(stage, draft)
    assert job.order.size_px == 768
    assert "1024 px" in words(draft)
    assert not any(data.startswith("job:swap") for data in buttons(draft))
    asked = {"strength": 0.5, "stroke_scale": 2.0, "keep_colours": True, "seed": job.order.seed, "weights": [70, 30]}
    assert last_request(QUICK_SUFFIX) == asked | {"size_px": 768, "initial": None}
    await user.press(draft, PAINT)
    await user.wait_for(after(draft, is_painting))
    painted = last_request()
    assert painted.pop("initial")
    assert painted == asked | {"size_px": 1024}
    assert job.order.seed > 0


async def test_another_strength_is_another_draft_and_its_painting_has_it(stage: Stage) -> None:
    user = await stage.person(mode=DRAFTED)
    draft = await drafted(user)
    job = await job_of(stage, draft)
    await user.press(draft, STRENGTH)
    opened = await user.wait_for(lambda message: message["message_id"] == draft["message_id"] and message["edits"] == 1)
    assert buttons(opened)[:5] == [f"job:paint:{job.id}", *(f"strength:{each}:{job.id}" for each in (25, 50, 75, 100))]
    assert f"{CHOSEN}100%" in [each["text"] for row in opened["reply_markup"]["inline_keyboard"] for each in row]
    assert await toast(user, opened, f"{CHOSEN}100%") == "This one has 100 % already"
    assert await toast(user, opened, "50%") == ""
    weaker = await user.wait_for(after(draft, is_draft))
    assert "strength 50 %" in words(weaker)
    assert (await job_of(stage, weaker)).order.draft_of == job.order.draft_of
    # Pressed once more, it is not made once more; nor is it after the row was opened twice.
    await user.press_raw(opened["message_id"], f"job:strengths:{job.id}")
    assert "already" in await toast(user, opened, "50%")
    await user.press(weaker, PAINT)
    painting = await user.wait_for(after(weaker, is_painting))
    assert "strength 50 %" in words(painting)
    assert last_request()["strength"] == 0.5
    assert sum(map(is_draft, user.messages)) == 2


async def test_a_painting_is_ordered_once_however_often_its_button_is_pressed(stage: Stage) -> None:
    stage.behave(Behaviour.HANG)
    user = await stage.person(mode=DRAFTED)
    draft = await drafted(user)
    queries = [await user.press(draft, PAINT) for _ in range(3)]
    texts = [(await user.wait_for_answer(query)).get("text") for query in queries]
    assert [text or "" for text in texts] == ["", "It is in work already", "It is in work already"]
    [job] = await stage.service.store.active_jobs(user.id)
    accepted = await user.wait_for(after(draft, says("Accepted")))
    await user.press(accepted, "✖ Cancel")
    await user.wait_for(says("The painting is stopped"))
    # One that was stopped is painted when it is asked for again.
    stage.behave(Behaviour.PAINT)
    assert await toast(user, draft, PAINT) == ""
    painting = await user.wait_for(after(accepted, is_painting))
    assert job_id_of(painting) != job.id
    assert "already" in await toast(user, draft, PAINT)
    assert sum(map(is_painting, user.messages)) == 1


async def test_a_painting_that_failed_is_painted_at_the_next_press(stage: Stage) -> None:
    stage.behave(Behaviour.REFUSE)
    user = await stage.person(mode=DRAFTED)
    draft = await drafted(user)
    await user.press(draft, PAINT)
    failed = await user.wait_for(says("only 1×1 pixels"))
    stage.behave(Behaviour.PAINT)
    await user.press(draft, PAINT)
    await user.wait_for(after(failed, is_painting))


async def test_a_draft_that_failed_is_made_again_as_it_was(stage: Stage) -> None:
    stage.behave(Behaviour.PAINT, quick=Behaviour.REFUSE)
    user = await stage.person(mode=DRAFTED)
    await user.send_album([picture(), picture(40, 40)])
    failed = await user.wait_for(says("only 1×1 pixels"))
    order = (await job_of(stage, failed)).order
    stage.behave(Behaviour.PAINT)
    await user.press(failed, "🔁 Again")
    assert (await job_of(stage, await user.wait_for(is_draft))).order == order


async def test_again_under_a_painting_repeats_it_from_the_draft(stage: Stage) -> None:
    user = await stage.person(mode=DRAFTED)
    draft = await drafted(user)
    await user.press(draft, PAINT)
    painting = await user.wait_for(after(draft, is_painting))
    await user.press(painting, "🔁 Again")
    again = await user.wait_for(after(painting, is_painting))
    first, second = (await job_of(stage, painting)).order, (await job_of(stage, again)).order
    assert second.seed != first.seed
    assert (second.start, second.styles, second.content) == (QUICK.key, first.styles, first.content)
    assert sum(map(is_draft, user.messages)) == 1


async def test_the_draft_is_the_first_picture_of_the_painting_and_can_be_kept(stage: Stage) -> None:
    stage.behave(Behaviour.GROW)
    user = await stage.person(mode=DRAFTED)
    draft = await drafted(user)
    await user.press(draft, PAINT)
    growing = await user.wait_for(after(draft, has_button("job:keep")))
    await user.press(growing, "✔ Stop and keep this")
    assert "stopped at" in words(await user.wait_for(after(draft, is_painting)))


async def test_who_turns_drafts_off_gets_the_painting_at_once_until_they_are_back(stage: Stage) -> None:
    user = await stage.person(mode=DRAFTED)
    sent = await user.send_text("/options")
    panel = await user.wait_for(after(sent, says("Options")))
    await user.press(panel, f"{CHOSEN}Instant draft first")
    panel = await user.wait_for(says("Options", "without a draft"))
    await user.press(panel, "Close")
    for _ in range(2):
        sent = (await user.send_album([picture(), picture(40, 40)]))[-1]
        painting = await user.wait_for(after(sent, is_result))
        assert is_painting(painting)
        assert last_request()["initial"] is None
    # Changing the options of a painting begins where they stand, and Paint follows them.
    await user.press(painting, "⚙ Change options")
    panel = await user.wait_for(after(painting, says("Options", "without a draft")))
    await user.press(panel, "Instant draft first")
    await user.wait_for(says("Options", "An instant draft first"))
    await user.press(panel, "🖌 Paint")
    draft = await user.wait_for(after(painting, is_draft))
    sent = await user.send_text("/start")
    await user.wait_for(after(sent, has_button("menu:help")))
    await user.press(draft, "⚙ Change options")
    assert "An instant draft first" in words(await user.wait_for(after(draft, says("Options"))))


async def test_the_options_and_the_style_of_a_draft_lead_to_another_draft(stage: Stage) -> None:
    user = await stage.person(mode=DRAFTED)
    draft = await drafted(user)
    order = (await job_of(stage, draft)).order
    await user.press(draft, "⚙ Change options")
    panel = await user.wait_for(after(draft, says("Options · Drafted", "512 px")))
    await user.press(panel, "1024")
    await user.wait_for(says("Options", "1024 px"))
    await user.press(panel, "🖌 Paint")
    larger = await user.wait_for(after(panel, is_draft))
    changed = (await job_of(stage, larger)).order
    assert changed.draft_of == Wanted(DRAFTED.key, 1024)
    assert (changed.content, changed.styles) == (order.content, order.styles)
    await user.press(larger, "🎨 Another style")
    await user.wait_for(after(larger, says("I kept the photo")))
    await user.send_photo(picture(70, 40))
    other = (await job_of(stage, await user.wait_for(after(larger, is_draft)))).order
    assert other.content == order.content
    assert other.styles != order.styles
    assert other.draft_of == Wanted(DRAFTED.key, 1024)


async def test_photo_and_style_of_a_draft_are_swapped_once(stage: Stage) -> None:
    user = await stage.person(mode=DRAFTED)
    draft = await drafted(user, picture(40, 80))
    assert await toast(user, draft, "⇄ Swap photo and style") == ""
    swapped = await user.wait_for(after(draft, is_draft))
    assert "256×512" in words(swapped)
    assert "already" in await toast(user, draft, "⇄ Swap photo and style")
    orders = [(await job_of(stage, message)).order for message in (draft, swapped)]
    assert orders[1].content == orders[0].styles[0].picture
    assert orders[1].draft_of == orders[0].draft_of


async def test_a_draft_comes_while_every_painting_slot_is_busy(stage: Stage) -> None:
    stage.behave(Behaviour.HANG)
    busy, waiting, user = [await stage.person(mode=DRAFTED) for _ in range(3)]
    accepted = []
    for painter in (busy, waiting):
        draft = await drafted(painter)
        await painter.press(draft, PAINT)
        accepted.append((painter, await painter.wait_for(after(draft, says("Accepted")))))
    await until(lambda: stage.service.pool.free == 1)
    assert "Place in the queue: 1" in words(accepted[1][1])
    draft = await asyncio.wait_for(drafted(user), 5)
    assert "Place" not in words(draft)
    for painter, message in accepted:
        await painter.press(message, "✖ Cancel")
        await painter.wait_for(says("The painting is stopped"))


@pytest.mark.parametrize("data", ["job:paint:{}", "job:strengths:{}", "strength:50:{}", "job:swap:{}"])
async def test_nobody_presses_the_buttons_of_anothers_draft(stage: Stage, data: str) -> None:
    ann, eve = await stage.person(mode=DRAFTED), await stage.person(mode=DRAFTED)
    job_id = job_id_of(await drafted(ann))
    for number in (job_id, 999_999):
        query = await eve.press_raw(eve.messages[1]["message_id"], data.format(number))
        answer = await eve.wait_for_answer(query)
        assert "not known to me" in answer["text"]
        assert answer["show_alert"]
    assert await stage.service.store.active_jobs(eve.id) == []


@pytest.mark.parametrize(
    "data", ["job:paint:{painting}", "strength:50:{painting}", "strength:33:{draft}", "strength:0:{draft}"]
)
async def test_a_button_that_was_never_offered_is_refused(stage: Stage, data: str) -> None:
    user = await stage.person(mode=DRAFTED)
    draft = await drafted(user)
    await user.press(draft, PAINT)
    painting = await user.wait_for(after(draft, is_painting))
    numbers = {"draft": job_id_of(draft), "painting": job_id_of(painting)}
    query = await user.press_raw(draft["message_id"], data.format(**numbers))
    answer = await user.wait_for_answer(query)
    assert "no longer works" in answer["text"]
    assert await stage.service.store.active_jobs(user.id) == []


async def test_a_full_queue_is_said_and_the_button_works_later(stage: Stage) -> None:
    stage.behave(Behaviour.HANG)
    user = await stage.person(mode=DRAFTED)
    drafts = [await drafted(user) for _ in range(3)]
    accepted = []
    for draft in drafts[:2]:
        last = user.messages[-1]
        await user.press(draft, PAINT)
        accepted.append(await user.wait_for(after(last, says("Accepted"))))
    await user.press(drafts[2], PAINT)
    await user.wait_for(after(accepted[1], says("at most 2")))
    for message in accepted:
        await user.press(message, "✖ Cancel")
        await user.wait_for(
            lambda other, message=message: other["message_id"] == message["message_id"] and says("stopped")(other)
        )
    stage.behave(Behaviour.PAINT)
    await user.press(drafts[2], PAINT)
    await user.wait_for(is_painting)


async def test_buttons_of_a_mode_that_is_gone_say_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml_models.registry import ALGORITHMS

    user = await stage.person(mode=DRAFTED)
    draft = await drafted(user)
    monkeypatch.delitem(ALGORITHMS, DRAFTED.key)
    for button in buttons(draft):
        answer = await user.wait_for_answer(await user.press(draft, button))
        assert button.startswith("job:file") or "no longer works" in answer["text"]
    assert await stage.service.store.active_jobs(user.id) == []


async def test_it_all_survives_a_restart(stage: Stage, own_sandbox: Sandbox, tmp_path: Path) -> None:
    user = own_sandbox.user(first_name="Ann")
    async with bot_in(own_sandbox, tmp_path):
        await choose(user, DRAFTED)
        draft = await drafted(user)
    stage.behave(Behaviour.HANG)
    async with bot_in(own_sandbox, tmp_path) as service:
        await user.press(draft, PAINT)
        await user.wait_for(after(draft, says("Accepted")))
        await until(lambda: service.pool.free == 1)
    stage.behave(Behaviour.PAINT)
    # Cut in the middle, it begins anew, from the same draft.
    async with bot_in(own_sandbox, tmp_path) as service:
        painting = await user.wait_for(is_painting)
        folders = JobFolders(tmp_path)
        digest = hashlib.sha256(folders.picture(job_id_of(draft)).read_bytes()).hexdigest()
        assert last_request()["initial"] == digest
        await user.press(draft, STRENGTH)
        await user.press_raw(draft["message_id"], f"strength:25:{job_id_of(draft)}")
        weaker = await user.wait_for(after(painting, is_draft))
        await in_state(service.store, job_id_of(weaker), Status.DELIVERED)


async def test_an_instant_mode_has_other_strengths_and_sizes_and_no_variants(stage: Stage) -> None:
    user = await stage.person(mode=QUICK)
    sent = await user.send_text("/options")
    panel = await user.wait_for(after(sent, says("Options · Quick")))
    assert not any(data.startswith(("panel:variant", "option:draft")) for data in buttons(panel))
    await user.press(panel, "3072")
    await user.wait_for(says("Options", "3072 px"))
    sent = (await user.send_album([picture(), picture(40, 40)]))[-1]
    panel = await user.wait_for(after(sent, says("Options", "3072 px")))
    await user.press(panel, "🖌 Paint")
    result = await user.wait_for(is_result)
    job_id = job_id_of(result)
    assert buttons(result) == [f"job:{step}:{job_id}" for step in ("file", "strengths", "options", "style", "swap")]
    assert "An instant draft" not in words(result)
    await user.press_raw(result["message_id"], f"strength:25:{job_id}")
    weaker = await user.wait_for(after(result, is_result))
    assert "3072×2048" in words(weaker)
    assert "strength 25 %" in words(weaker)
    # The next mode cannot do as much.
    await user.press(user.messages[1], f"mode:{DRAFTED.key}")
    await user.wait_for(after(weaker, says("Drafted.")))
    sent = await user.send_text("/options")
    assert "Size: 2048 px" in words(await user.wait_for(after(sent, says("Options · Drafted"))))


async def test_it_speaks_russian(stage: Stage) -> None:
    user = stage.sandbox.user(first_name="Аня", language_code="ru")
    await choose(user, DRAFTED)
    draft = await drafted(user)
    assert "Мгновенный набросок" in words(draft)
    await user.press(draft, "🖌 Нарисовать как следует")
    painting = await user.wait_for(after(draft, is_painting))
    assert "начиная с наброска" in words(painting)
    with Image.open(io.BytesIO(user.file(painting["photo"][-1]["file_id"]))) as image:
        assert image.size == (512, 341)
