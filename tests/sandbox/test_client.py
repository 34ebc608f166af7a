"""The user of the tests: what it can send, and what it waits for."""

from __future__ import annotations

import asyncio
import io

import pytest
from aiogram import Bot
from aiogram.types import Update
from PIL import Image

from sandbox.errors import ChatError
from sandbox.server import Sandbox, SandboxUser
from sandbox.state import MAX_MESSAGES
from tests.sandbox.helpers import picture


async def test_a_user_is_made_once(sandbox: Sandbox) -> None:
    ann = sandbox.user(7, first_name="Ann", language_code="ru")
    assert sandbox.user(7) is ann
    assert (ann.id, ann.first_name, ann.language_code) == (7, "Ann", "ru")
    assert sandbox.user().id not in {ann.id, sandbox.user().id}


async def test_everything_a_user_sends_is_an_update_of_the_bot_api(bot: Bot, user: SandboxUser) -> None:
    await user.send_photo(picture(100, 80), caption="c")
    await user.send_document(b"text", "a.txt", caption="d")
    await user.send_album([picture(30, 30)] * 3, caption="e")
    await user.send_video()
    await user.send_sticker()
    await user.send_voice()
    await user.send_location()
    messages = [update.message for update in await bot.get_updates()]
    assert all(messages)
    kinds = [message.content_type for message in messages if message]
    assert kinds == ["text", "photo", "document", "photo", "photo", "photo", "video", "sticker", "voice", "location"]
    album = [message for message in messages if message and message.media_group_id]
    assert len(album) == 3
    assert len({message.media_group_id for message in album}) == 1
    assert [message.caption for message in album] == ["e", None, None]


async def test_a_photo_of_a_user_is_encoded_anew(bot: Bot, user: SandboxUser) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    message = await user.send_photo(picture(400, 200, exif=exif))
    size = message["photo"][-1]
    assert (size["width"], size["height"]) == (200, 400)
    with Image.open(io.BytesIO(user.file(size["file_id"]))) as image:
        assert image.format == "JPEG"
        assert not image.getexif()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("PNG", "I;16"),
        ("JPEG", "CMYK"),
        ("WEBP", "RGBA"),
        ("GIF", "P"),
    ],
)
async def test_pictures_of_every_kind_become_photos(user: SandboxUser, kind: str, mode: str) -> None:
    image = Image.linear_gradient("L").resize((64, 48))
    if mode == "I;16":
        image = image.convert("I").point(lambda value: value * 257).convert("I;16")
    else:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    message = await user.send_photo(buffer.getvalue())
    with Image.open(io.BytesIO(user.file(message["photo"][-1]["file_id"]))) as photo:
        assert (photo.mode, photo.size) == ("RGB", (64, 48))
        top, bottom = photo.convert("L").getpixel((32, 2)), photo.convert("L").getpixel((32, 45))
    assert top < 40  # type: ignore[operator]
    assert bottom > 215  # type: ignore[operator]


async def test_transparency_lies_on_white(user: SandboxUser) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(buffer, "PNG")
    message = await user.send_photo(buffer.getvalue())
    with Image.open(io.BytesIO(user.file(message["photo"][-1]["file_id"]))) as photo:
        assert photo.getpixel((10, 10)) == (255, 255, 255)


async def test_what_no_client_sends(user: SandboxUser) -> None:
    for sending, sentence in (
        (user.send_photo(b"junk"), "Send it as a file"),
        (user.send_photo(picture(210, 10)), "Send it as a file"),
        (user.send_album([picture(30, 30)]), "2 to 10"),
        (user.send_text(" "), "Write something"),
        (user.send_text("x" * 4097), "at most 4096"),
        (user.send_document(b""), "empty file"),
    ):
        with pytest.raises(ChatError, match=sentence):
            await sending
    assert len(user.messages) == 1


async def test_a_user_who_blocked_is_silent_until_unblocked(bot: Bot, user: SandboxUser) -> None:
    await bot.get_updates()
    await user.block()
    await user.block()
    with pytest.raises(ChatError, match="blocked the bot"):
        await user.send_text("x")
    await user.block(False)
    await user.send_text("x")
    updates = await bot.get_updates()
    states = [each.my_chat_member.new_chat_member.status for each in updates if each.my_chat_member]
    assert states == ["kicked", "member"]


async def test_waiting_sees_what_is_there_what_comes_and_what_is_edited(bot: Bot, user: SandboxUser) -> None:
    assert (await user.wait_for(lambda message: message.get("text") == "/start", 0.01))["from_bot"] is False
    waiting = asyncio.create_task(user.wait_for(lambda message: message.get("text") == "done"))
    sent = await bot.send_message(user.id, "working")
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await bot.edit_message_text("done", chat_id=user.id, message_id=sent.message_id)
    assert (await asyncio.wait_for(waiting, 5))["edits"] == 1
    with pytest.raises(TimeoutError, match=r"the chat ends with .*'done'"):
        await user.wait_for(lambda message: False, 0.01)


async def test_messages_are_copies(user: SandboxUser) -> None:
    user.messages[0]["chat"]["id"] = 1
    assert user.messages[0]["chat"]["id"] == user.id


async def test_files_belong_to_their_chat(sandbox: Sandbox, user: SandboxUser) -> None:
    message = await user.send_document(b"text", "a.txt")
    assert user.file(message["document"]["file_id"]) == b"text"
    for stranger in (sandbox.user(), sandbox.user(9)):
        with pytest.raises(ChatError, match="no such file"):
            stranger.file(message["document"]["file_id"])


async def test_a_chat_keeps_its_last_messages(sandbox: Sandbox, user: SandboxUser) -> None:
    for number in range(MAX_MESSAGES + 5):
        await user.send_text(str(number))
    assert len(user.messages) == MAX_MESSAGES
    assert user.messages[0]["text"] == "5"


async def test_an_update_is_valid_for_aiogram(bot: Bot, user: SandboxUser) -> None:
    [update] = await bot.get_updates()
    assert isinstance(update, Update)
    assert update.message is not None
    assert update.message.from_user is not None
    assert update.message.from_user.language_code == "en"
