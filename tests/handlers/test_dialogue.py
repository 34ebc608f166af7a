"""The dialogue over real HTTP: sandbox, webhook, dispatcher, database, pool, and back."""

from __future__ import annotations

import asyncio
import io
import time

import pytest
from PIL import Image

from processing.job import Status
from tests.chat import Message, Stage, after, buttons, has_button, is_result, order, picture, results, says, words
from tests.toy_algorithm import Behaviour

pytestmark = pytest.mark.asyncio(loop_scope="module")


def job_id_of(message: Message) -> int:
    """Return the job's number from the buttons under a message as it was when the test met it."""
    return int(buttons(message)[0].rsplit(":", 1)[1])


async def test_two_photos_give_a_painting_in_the_photos_proportions(stage: Stage) -> None:
    user = await stage.person()
    accepted = await order(user)
    assert "512 px" in words(accepted)
    assert buttons(accepted) == [f"job:cancel:{job_id_of(accepted)}", f"job:swap:{job_id_of(accepted)}"]
    result = await user.wait_for(is_result)
    largest = max(result["photo"], key=lambda size: size["width"])
    assert (largest["width"], largest["height"]) == (512, 341)
    assert "Toy · 512×341" in words(result)
    assert "encoder toy" in words(result)
    # The status message is gone, the rest of the chat is as it was.
    await asyncio.sleep(0.3)
    assert accepted["message_id"] not in [message["message_id"] for message in user.messages]


async def test_a_photo_before_any_mode_is_kept_and_the_mode_chosen_then_is_used(stage: Stage) -> None:
    user = stage.sandbox.user()
    await user.send_text("/start")
    menu = await user.wait_for(has_button("mode:toy"))
    await user.send_photo(picture())
    await user.wait_for(says("Now send the picture whose style"))
    await user.press(menu, "mode:toy")
    asked = [message for message in user.messages if says("Now send")(message)]
    await user.wait_for(after(asked[0], says("Now send the picture whose style")))
    await user.send_photo(picture())
    assert "Toy" in words(await user.wait_for(is_result))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG"])
async def test_a_file_is_taken_like_a_photo(stage: Stage, form: str) -> None:
    user = await stage.person()
    await user.send_document(picture(form=form), f"photo.{form.lower()}", f"image/{form.lower()}")
    await user.wait_for(says("Now send"))
    await user.send_document(picture(form=form), "noname", "application/octet-stream")
    sorry = await user.wait_for(says("not a picture that I can read"))
    assert "whose style" in words(sorry)
    await user.send_document(picture(form=form), f"style.{form.lower()}", "application/octet-stream")
    await user.wait_for(is_result)


async def test_two_photos_in_one_album_are_photo_and_style(stage: Stage) -> None:
    user = await stage.person()
    await user.send_album([picture(80, 40), picture(40, 80)])
    result = await user.wait_for(is_result)
    assert "512×256" in words(result)
    assert not [message for message in user.messages if says("Now send")(message)]


async def test_an_album_with_too_many_pictures_is_taken_as_far_as_it_goes(stage: Stage) -> None:
    user = await stage.person()
    await user.send_album([picture() for _ in range(7)])
    await user.wait_for(says("at most 4 style pictures"))
    job = await stage.service.store.get(job_id_of(await user.wait_for(is_result)))
    assert len(job.order.styles) == 4


async def test_files_are_looked_at_outside_the_lock_and_taken_in_their_order(stage: Stage) -> None:
    user = await stage.person()
    stage.sandbox.faults.delay("getFile", 1, seconds=1.5)
    await user.send_document(picture(80, 40, "PNG"), "first.png", "image/png")
    await user.send_photo(picture(40, 40))
    sent = await user.send_text("/help")
    await user.wait_for(after(sent, says("How it works")), 1)
    assert not any(map(says("Accepted"), user.messages))
    assert "512×256" in words(await user.wait_for(is_result))


async def test_files_in_one_album_are_taken_together(stage: Stage) -> None:
    user = await stage.person()
    png = picture(40, 80, "PNG")
    await user.send_documents([(png, "a.png", "image/png"), (png, "b.png", "image/png")])
    assert "256×512" in words(await user.wait_for(is_result))
    assert not any(map(says("Now send"), user.messages))


async def test_a_download_that_breaks_is_tried_again_before_a_file_is_refused(stage: Stage) -> None:
    user = await stage.person()
    stage.sandbox.faults.half("file", 2)
    png = picture(40, 80, "PNG")
    await user.send_documents([(png, "a.png", "image/png"), (png, "b.png", "image/png")])
    assert "256×512" in words(await user.wait_for(is_result))
    assert not any(map(says("could not fetch"), user.messages))


async def test_a_file_that_comes_slowly_is_told_of_once_and_taken(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.inbox.SLOW_AFTER_S", 0.5)
    user = await stage.person("ru")
    stage.sandbox.faults.delay("getFile", 1, seconds=1.5)
    sent = await user.send_document(picture(form="PNG"), "a.png", "image/png")
    slow = await user.wait_for(after(sent, says("дольше обычного")))
    assert slow["reply_to_message"]["message_id"] == sent["message_id"]
    await user.wait_for(after(slow, says("стил")))
    await user.send_document(picture(form="PNG"), "b.png", "image/png")
    await user.wait_for(is_result)
    assert sum(map(says("дольше обычного"), user.messages)) == 1


async def test_cancel_drops_what_still_waits_to_be_looked_at(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.inbox.SLOW_AFTER_S", 0.5)
    user = await stage.person()
    stage.sandbox.faults.delay("getFile", 1, seconds=1)
    await user.send_document(picture(form="PNG"), "a.png", "image/png")
    await user.send_text("/cancel")
    await user.wait_for(says("Cancelled."))
    await asyncio.sleep(1.5)
    assert not any(map(says("Now send"), user.messages))
    assert not any(map(says("takes longer"), user.messages))


async def test_the_swap_while_gathering_exchanges_the_two(stage: Stage) -> None:
    user = await stage.person()
    await user.send_photo(picture(40, 80))
    asked = await user.wait_for(has_button("draft:swap"))
    await user.press(asked, "⇄ This one is the style")
    swapped = await user.wait_for(says("I have the style"))
    assert swapped["message_id"] == asked["message_id"]
    await user.press(swapped, "⇄ This one is the photo")
    await user.wait_for(lambda message: message["edits"] == 2)
    await user.press(swapped, "⇄ This one is the style")
    await user.wait_for(lambda message: message["edits"] == 3)
    await user.send_photo(picture(80, 40))
    assert "512×256" in words(await user.wait_for(is_result))


async def test_the_swap_of_a_job_stops_it_and_orders_it_the_other_way_round(stage: Stage) -> None:
    stage.behave(Behaviour.HANG)
    user = await stage.person()
    accepted = await order(user)
    for _ in range(2):
        await user.press(accepted, "⇄ Swap photo and style")
    again = await user.wait_for(after(accepted, says("Accepted")))
    stopped = await user.wait_for(says("stopped"))
    assert stopped["message_id"] == accepted["message_id"]
    assert buttons(stopped) == []
    jobs = [await stage.service.store.get(job_id_of(message)) for message in (accepted, again)]
    assert jobs[0].status is Status.CANCELLED
    assert jobs[1].order.content == jobs[0].order.styles[0].picture
    assert jobs[1].order.styles[0].picture == jobs[0].order.content
    # Pressed twice, ordered once.
    assert [job.id for job in await stage.service.store.active_jobs(user.id)] == [jobs[1].id]
    await user.press(again, "✖ Cancel")
    await user.wait_for(after(accepted, says("The painting is stopped")))


async def test_a_job_of_several_styles_has_no_swap_and_takes_none(stage: Stage) -> None:
    stage.behave(Behaviour.HANG)
    user = await stage.person()
    await user.send_album([picture() for _ in range(3)])
    accepted = await user.wait_for(says("Accepted"))
    job_id = job_id_of(accepted)
    assert buttons(accepted) == [f"job:cancel:{job_id}"]
    query = await user.press_raw(accepted["message_id"], f"job:swap:{job_id}")
    assert "no longer works" in (await user.wait_for_answer(query))["text"]
    assert (await stage.service.store.get(job_id)).status.active
    await user.press(accepted, "✖ Cancel")
    await user.wait_for(says("The painting is stopped"))


async def test_progress_is_shown_with_a_preview_in_the_same_message(stage: Stage) -> None:
    stage.behave(Behaviour.GROW)
    user = await stage.person()
    accepted = await order(user)
    shown = await user.wait_for(lambda message: "photo" in message and has_button("job:cancel")(message))
    assert shown["message_id"] == accepted["message_id"]
    assert "painting" in words(shown)
    assert "▱" in words(shown)
    await user.wait_for(is_result)


async def test_cancel_stops_the_work_within_two_seconds_and_the_slot_is_free(stage: Stage) -> None:
    stage.behave(Behaviour.SPIN)
    user = await stage.person()
    accepted = await order(user)
    await user.wait_for(lambda message: message["message_id"] == accepted["message_id"])
    before = set(stage.service.pool.pids())
    await asyncio.sleep(0.5)
    pressed_at = time.monotonic()
    await user.press(accepted, "✖ Cancel")
    await user.wait_for(says("The painting is stopped"))
    assert len(before - set(stage.service.pool.pids())) == 1
    assert time.monotonic() - pressed_at < 2
    job = await stage.service.store.get(job_id_of(accepted))
    assert job.status is Status.CANCELLED
    stage.behave(Behaviour.PAINT)
    await order(user)
    await user.wait_for(is_result)


async def test_cancel_in_every_state(stage: Stage) -> None:
    user = await stage.person()
    await user.send_text("/cancel")
    await user.wait_for(says("Cancelled."))
    last = await user.send_text("/cancel")
    await user.wait_for(after(last, says("There is nothing to stop")))
    last = await user.send_photo(picture())
    asked = await user.wait_for(after(last, says("Now send")))
    await user.press(asked, "✖ Cancel")
    await user.wait_for(lambda message: message["message_id"] == asked["message_id"] and says("Cancelled.")(message))
    stage.behave(Behaviour.HANG)
    await order(user)
    last = await user.send_text("/cancel")
    await user.wait_for(after(last, says("Stopped.")))
    await user.wait_for(says("The painting is stopped."))


async def test_the_result_as_a_file_again_and_in_another_style(stage: Stage) -> None:
    user = await stage.person()
    await order(user)
    result = await user.wait_for(is_result)
    await user.press(result, "📄 As a file")
    file = await user.wait_for(lambda message: message["from_bot"] and "document" in message)
    with Image.open(io.BytesIO(user.file(file["document"]["file_id"]))) as png:
        assert (png.format, png.size) == ("PNG", (512, 341))
    await user.press(result, "🔁 Again")
    again = await user.wait_for(after(file, is_result))
    await user.press(again, "🎨 Another style")
    await user.wait_for(after(again, says("I kept the photo")))
    await user.send_photo(picture(50, 50))
    other = await user.wait_for(after(again, is_result))
    jobs = [await stage.service.store.get(job_id_of(each)) for each in (result, again, other)]
    assert jobs[0].order.content == jobs[1].order.content == jobs[2].order.content
    assert jobs[0].order.styles == jobs[1].order.styles != jobs[2].order.styles
    assert jobs[0].order.seed != jobs[1].order.seed


async def test_a_second_job_waits_behind_the_first_and_is_told_its_place(stage: Stage) -> None:
    stage.behave(Behaviour.SLOW)
    user = await stage.person()
    await order(user)
    last = await user.send_photo(picture())
    await user.wait_for(after(last, says("Now send")))
    await user.send_photo(picture())
    second = await user.wait_for(after(last, says("Accepted")))
    assert "earlier picture is still in work" in words(second)
    assert "Place in the queue: 1" in words(second)
    assert "Ready in about" in words(second)
    await user.wait_for(after(second, lambda message: is_result(message) and len(results(user)) == 2))


async def test_full_queues_are_said_at_once_and_the_dialogue_stays(stage: Stage) -> None:
    stage.behave(Behaviour.HANG)
    people = [await stage.person() for _ in range(3)]
    accepted = [await order(people[0])]
    last = people[0].messages[-1]
    await people[0].send_photo(picture())
    await people[0].wait_for(after(last, says("Now send")))
    await people[0].send_photo(picture())
    accepted.append(await people[0].wait_for(after(last, says("Accepted"))))
    last = await people[0].send_photo(picture())
    await people[0].wait_for(after(last, says("Now send")))
    await people[0].send_photo(picture())
    await people[0].wait_for(after(last, says("at most 2")))
    await people[0].wait_for(after(last, says("I keep the photo")))
    others = [(people[1], await order(people[1]))]
    last = await people[1].send_photo(picture())
    await people[1].wait_for(after(last, says("Now send")))
    await people[1].send_photo(picture())
    others.append((people[1], await people[1].wait_for(after(last, says("Accepted")))))
    last = await people[2].send_photo(picture())
    await people[2].wait_for(after(last, says("Now send")))
    await people[2].send_photo(picture())
    await people[2].wait_for(after(last, says("no more than 4 pictures")))
    stage.behave(Behaviour.PAINT)
    await people[2].wait_for(after(last, says("I keep the photo")))
    for user, message in [*((people[0], each) for each in accepted), *others]:
        # What one person asks for waits for nobody else's button.
        await user.wait_for_answer(await user.press(message, "✖ Cancel"))
    await people[2].send_photo(picture())
    await people[2].wait_for(is_result)


async def test_nobody_stops_or_gets_what_is_not_theirs(stage: Stage) -> None:
    ann, eve = await stage.person(), await stage.person()
    await order(ann)
    result = await ann.wait_for(is_result)
    job_id = job_id_of(result)
    menu = eve.messages[1]["message_id"]
    for step in ("cancel", "keep", "swap", "file", "style", "again"):
        before = len(eve.messages)
        query = await eve.press_raw(menu, f"job:{step}:{job_id}")
        answer = await eve.wait_for_answer(query)
        assert "not known to me" in answer["text"]
        assert answer["show_alert"]
        assert len(eve.messages) == before
    assert (await stage.service.store.get(job_id)).status is Status.DELIVERED


@pytest.mark.parametrize(
    "data", ["nonsense", "mode:gone", "job:cancel:999999", "draft:swap:1", "draft:cancel:1", "menu:x"]
)
async def test_an_unknown_button_of_an_old_message_gets_a_sentence(stage: Stage, data: str) -> None:
    user = await stage.person()
    query = await user.press_raw(user.messages[1]["message_id"], data)
    answer = await user.wait_for_answer(query)
    assert "/start" in answer["text"]


async def test_whatever_is_no_picture_is_told_what_is_awaited(stage: Stage) -> None:
    user = await stage.person()
    for send, met in (
        (user.send_video, "That is a video."),
        (user.send_sticker, "That is a sticker."),
        (user.send_voice, "That is a sound recording."),
        (user.send_location, "I cannot paint that."),
    ):
        sent = await send()
        assert "photo that I should paint" in words(await user.wait_for(after(sent, says(met))))
    sent = await user.send_text("hello")
    await user.wait_for(after(sent, says("That is a text.", "photo that I should paint")))
    sent = await user.send_text("/paint")
    await user.wait_for(after(sent, says("I do not know this command")))
    await user.send_photo(picture())
    await user.wait_for(says("Now send"))
    sent = await user.send_text("hello")
    await user.wait_for(after(sent, says("That is a text.", "whose style the painting should take")))
    await user.send_photo(picture())
    await user.wait_for(is_result)


def bomb() -> bytes:
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "mime_type", "sentence"),
    [
        (picture()[:900], "cut.jpg", "image/jpeg", "I cannot read this as a picture"),
        (picture(1, 1, "PNG"), "dot.png", "image/png", "only 1×1 pixels; at least 16"),
        (bomb(), "bomb.png", "image/png", "900.0 megapixels; at most 20 are allowed"),
        (b"%PDF-1.4\n" + b"x" * 500, "paper.jpg", "image/jpeg", "I cannot read this as a picture"),
        (b"%PDF-1.4\n", "paper.pdf", "application/pdf", "not a picture that I can read"),
        (bytes(21_000_000), "large.png", "image/png", "This file has 21.0 MB; at most 20 MB are allowed"),
    ],
    ids=["broken", "1x1", "bomb", "pdf named jpg", "pdf", "21 MB"],
)
async def test_a_bad_file_is_told_what_is_wrong_and_the_dialogue_stays(
    stage: Stage, data: bytes, name: str, mime_type: str, sentence: str
) -> None:
    user = await stage.person()
    await user.send_photo(picture())
    await user.wait_for(says("Now send"))
    await user.send_document(data, name, mime_type)
    await user.wait_for(says(sentence))
    await user.send_photo(picture())
    await user.wait_for(is_result)


async def test_a_failed_painting_is_told_in_words_with_a_way_on(stage: Stage) -> None:
    stage.behave(Behaviour.RAISE)
    user = await stage.person()
    await order(user)
    failed = await user.wait_for(says("could not be painted"))
    notice = await stage.sandbox.user(9_000).wait_for(says("ZeroDivisionError"))
    assert f"job {job_id_of(failed)}" in words(notice)
    stage.behave(Behaviour.PAINT)
    await user.press(failed, "🔁 Again")
    await user.wait_for(is_result)


async def test_the_bot_speaks_russian_to_russians(stage: Stage) -> None:
    user = stage.sandbox.user(first_name="Аня", language_code="ru")
    await user.send_text("/start")
    menu = await user.wait_for(says("Здравствуйте, Аня!"))
    await user.press(menu, "❓ Помощь")
    await user.wait_for(says("Как это работает", "Gatys"))
    await user.press(menu, "mode:toy")
    await user.wait_for(says("Пришлите фото"))
    await user.send_photo(picture())
    await user.wait_for(says("Теперь пришлите картинку"))
    await user.send_photo(picture())
    await user.wait_for(says("Принято"))
    assert "энкодер toy" in words(await user.wait_for(is_result))


async def test_help_and_the_example(stage: Stage) -> None:
    user = await stage.person()
    await user.send_text("/help")
    text = words(await user.wait_for(says("How it works")))
    assert "Up to 20 MB and 20 megapixels" in text
    assert "Toy: paints step by step; styles: 1–4" in text
    await user.press(user.messages[1], "🖼 Show an example")
    example = await user.wait_for(says("An example made by this bot"))
    assert "photo" in example


async def test_only_the_admin_gets_the_status(stage: Stage) -> None:
    user = await stage.person()
    sent = await user.send_text("/status")
    await user.wait_for(after(sent, says("I do not know this command")))
    admin = stage.sandbox.user(9_000)
    await admin.send_text("/status")
    assert "2 of 2 free" in words(await admin.wait_for(says("Workers")))


async def test_the_start_was_noticed_and_the_menu_is_set(stage: Stage) -> None:
    await stage.sandbox.user(9_000).wait_for(says("The bot has started"))
    methods = {call.method for call in stage.sandbox.requests}
    assert {"setMyCommands", "setMyDescription", "setMyShortDescription", "setWebhook"} <= methods
