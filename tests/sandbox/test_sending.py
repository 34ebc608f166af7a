"""Messages, photos, documents and albums of the bot."""

from __future__ import annotations

import io

import aiohttp
import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError
from aiogram.types import (
    BufferedInputFile,
    ForceReply,
    InputMediaDocument,
    InputMediaPhoto,
    InputMediaVideo,
    LinkPreviewOptions,
    ReplyParameters,
    URLInputFile,
)
from PIL import Image

from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import picture, refusal


def upload(data: bytes, name: str = "a.jpg") -> BufferedInputFile:
    return BufferedInputFile(data, name)


async def test_a_message_arrives_in_the_chat(bot: Bot, user: SandboxUser) -> None:
    message = await bot.send_message(
        user.id, "hello", link_preview_options=LinkPreviewOptions(is_disabled=True), disable_notification=True
    )
    assert message.chat.id == user.id
    assert user.messages[-1]["text"] == "hello"
    assert user.messages[-1]["from_bot"]
    assert not user.messages[0]["from_bot"]
    assert message.message_id > user.messages[0]["message_id"]


async def test_who_can_be_written_to(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message(999, "x")
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message("@somebody", "x")
    silent = sandbox.user()
    with pytest.raises(TelegramForbiddenError, match="bot can't initiate conversation with a user"):
        await bot.send_message(silent.id, "x")
    await user.block()
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.send_message(user.id, "x")
    await user.block(False)
    await bot.send_message(user.id, "x")


@pytest.mark.parametrize("text", [" \n ", "<b> </b>"])
async def test_an_empty_text_is_refused(bot: Bot, user: SandboxUser, text: str) -> None:
    with pytest.raises(TelegramBadRequest, match="message text is empty"):
        await bot.send_message(user.id, text, parse_mode="HTML")


async def test_the_length_of_a_text_is_counted_after_the_entities(bot: Bot, user: SandboxUser) -> None:
    await bot.send_message(user.id, f"<b>{'&lt;' * 4096}</b>", parse_mode="HTML")
    with pytest.raises(TelegramBadRequest, match="message is too long"):
        await bot.send_message(user.id, "😀" * 2049)


async def test_the_length_of_a_caption(bot: Bot, user: SandboxUser) -> None:
    await bot.send_photo(user.id, upload(picture(9, 9)), caption="x" * 1024)
    with pytest.raises(TelegramBadRequest, match="message caption is too long"):
        await bot.send_photo(user.id, upload(picture(9, 9)), caption="x" * 1025)


async def test_a_photo_is_encoded_in_the_sizes_of_telegram(bot: Bot, user: SandboxUser) -> None:
    message = await bot.send_photo(
        user.id, upload(picture(2000, 1000, "PNG"), "a.png"), caption="<i>c</i>", parse_mode="HTML"
    )
    assert message.photo is not None
    assert [(size.width, size.height) for size in message.photo] == [(90, 45), (320, 160), (800, 400), (1280, 640)]
    assert message.caption == "c"
    assert message.caption_entities is not None
    for size in message.photo:
        data = user.file(size.file_id)
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == ("JPEG", (size.width, size.height))
        assert size.file_size == len(data)
    assert len({size.file_id for size in message.photo}) == len({size.file_unique_id for size in message.photo}) == 4


async def test_a_small_photo_is_not_scaled_up(bot: Bot, user: SandboxUser) -> None:
    message = await bot.send_photo(user.id, upload(picture(200, 100)))
    assert message.photo is not None
    assert [size.width for size in message.photo] == [90, 200]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"not a picture", "IMAGE_PROCESS_FAILED"),
        (picture(500, 500)[:700], "IMAGE_PROCESS_FAILED"),
        (picture(9000, 1001, "PNG"), "PHOTO_INVALID_DIMENSIONS"),
        (picture(210, 10), "PHOTO_INVALID_DIMENSIONS"),
        (b"0" * (10 * 1024 * 1024 + 1), "too big for a photo"),
    ],
)
async def test_what_is_no_photo(bot: Bot, user: SandboxUser, data: bytes, problem: str) -> None:
    with pytest.raises(TelegramBadRequest, match=problem):
        await bot.send_photo(user.id, upload(data))
    assert len(user.messages) == 1


async def test_an_empty_file_is_refused(sandbox: Sandbox, user: SandboxUser) -> None:
    for kind in ("document", "photo"):
        form = aiohttp.FormData({"chat_id": str(user.id)})
        form.add_field(kind, b"", filename="a.jpg")
        method = f"send{kind.title()}"
        assert await refusal(sandbox, method, data=form) == "Bad Request: file must be non-empty"


async def test_a_document_is_kept_byte_for_byte(bot: Bot, user: SandboxUser) -> None:
    data = picture(400, 300, "PNG")
    message = await bot.send_document(user.id, upload(data, "täst.png"), caption="c")
    document = message.document
    assert document is not None
    assert (document.file_name, document.mime_type, document.file_size) == ("täst.png", "image/png", len(data))
    assert user.file(document.file_id) == data
    assert document.thumbnail is not None
    assert (document.thumbnail.width, document.thumbnail.height) == (320, 240)
    plain = (await bot.send_document(user.id, upload(b"text", "a.txt"))).document
    assert plain is not None
    assert (plain.mime_type, plain.thumbnail) == ("text/plain", None)


async def test_a_document_over_50_mb_is_refused(bot: Bot, user: SandboxUser) -> None:
    with pytest.raises(TelegramBadRequest, match="too big for a document"):
        await bot.send_document(user.id, upload(b"0" * (50 * 1024 * 1024 + 1), "a.bin"))


async def test_a_file_id_sends_its_own_kind_again(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    photo = (await bot.send_photo(user.id, upload(picture(400, 300)))).photo
    document = (await bot.send_document(user.id, upload(b"text", "a.txt"))).document
    assert photo is not None
    assert document is not None
    other = sandbox.user()
    await other.send_text("/start")
    again = await bot.send_photo(other.id, photo[0].file_id)
    assert again.photo == photo
    assert other.file(photo[-1].file_id) == user.file(photo[-1].file_id)
    assert (await bot.send_document(user.id, document.file_id)).document == document
    with pytest.raises(TelegramBadRequest, match="can't use file of type Photo as Document"):
        await bot.send_document(user.id, photo[-1].file_id)
    with pytest.raises(TelegramBadRequest, match="can't use file of type Document as Photo"):
        await bot.send_photo(user.id, document.file_id)


@pytest.mark.parametrize("reference", ["nonsense", "attach://nothing"])
async def test_a_wrong_reference_is_refused(bot: Bot, user: SandboxUser, reference: str) -> None:
    with pytest.raises(TelegramBadRequest, match="wrong file identifier/HTTP URL specified"):
        await bot.send_photo(user.id, reference)


async def test_an_address_is_never_fetched(sandbox: Sandbox, user: SandboxUser) -> None:
    address = URLInputFile("http://127.0.0.1:9/a.jpg").url
    body = {"chat_id": user.id, "photo": address}
    assert await refusal(sandbox, "sendPhoto", body) == "Bad Request: failed to get HTTP URL content"


async def test_an_album_shares_one_group(bot: Bot, user: SandboxUser) -> None:
    photos = [InputMediaPhoto(media=upload(picture(20, 20)), caption="first")] + [
        InputMediaPhoto(media=upload(picture(30, 20))) for _ in range(2)
    ]
    messages = await bot.send_media_group(user.id, list(photos))
    assert len({message.media_group_id for message in messages}) == 1
    assert messages[0].media_group_id
    assert [message.caption for message in messages] == ["first", None, None]
    assert [message.photo[-1].width for message in messages if message.photo] == [20, 30, 30]


async def test_what_is_no_album(bot: Bot, user: SandboxUser) -> None:
    def photo() -> InputMediaPhoto:
        return InputMediaPhoto(media=upload(picture(20, 20)))

    for count in (1, 11):
        with pytest.raises(TelegramBadRequest, match="2-10"):
            await bot.send_media_group(user.id, [photo() for _ in range(count)])
    with pytest.raises(TelegramBadRequest, match="can't be mixed"):
        await bot.send_media_group(user.id, [photo(), InputMediaDocument(media=upload(b"text", "a.txt"))])
    with pytest.raises(TelegramBadRequest, match="only media of type photo and document"):
        await bot.send_media_group(user.id, [InputMediaVideo(media="x"), InputMediaVideo(media="x")])
    with pytest.raises(TelegramBadRequest, match="IMAGE_PROCESS_FAILED"):
        await bot.send_media_group(user.id, [photo(), InputMediaPhoto(media=upload(b"junk"))])
    assert len(user.messages) == 1


async def test_replies_are_checked(bot: Bot, user: SandboxUser) -> None:
    reply = await bot.send_message(user.id, "x", reply_parameters=ReplyParameters(message_id=1))
    assert reply.reply_to_message is not None
    assert reply.reply_to_message.text == "/start"
    with pytest.raises(TelegramBadRequest, match="message to be replied not found"):
        await bot.send_message(user.id, "x", reply_parameters=ReplyParameters(message_id=77))
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message(user.id, "x", reply_parameters=ReplyParameters(message_id=1, chat_id=7))
    lenient = ReplyParameters(message_id=77, allow_sending_without_reply=True)
    assert (await bot.send_message(user.id, "x", reply_parameters=lenient)).reply_to_message is None
    with pytest.raises(TelegramBadRequest, match="QUOTE_TEXT_INVALID"):
        await bot.send_message(user.id, "x", reply_parameters=ReplyParameters(message_id=1, quote="nowhere"))


async def test_chat_actions(bot: Bot, user: SandboxUser) -> None:
    assert await bot.send_chat_action(user.id, "upload_photo")
    assert user.actions == ["upload_photo"]
    with pytest.raises(TelegramBadRequest, match="wrong parameter action in request"):
        await bot.send_chat_action(user.id, "dancing")


async def test_other_keyboards_are_taken_and_not_shown(bot: Bot, user: SandboxUser) -> None:
    assert (await bot.send_message(user.id, "x", reply_markup=ForceReply(force_reply=True))).reply_markup is None
