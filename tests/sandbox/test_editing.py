"""Edits, deletions and answers to pressed buttons."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    InputMediaPhoto,
    Message,
)

from sandbox.errors import ChatError
from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import Hook, picture

KEYBOARD = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="Go", callback_data="go")]])
NOT_MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)


def photo(width: int = 40, caption: str | None = None) -> InputMediaPhoto:
    return InputMediaPhoto(media=BufferedInputFile(picture(width, 30), "a.jpg"), caption=caption)


def _texts(message: Message) -> list[str]:
    assert message.reply_markup is not None
    return [button.text for row in message.reply_markup.inline_keyboard for button in row]


async def test_a_text_is_edited_in_place(bot: Bot, user: SandboxUser) -> None:
    sent = await bot.send_message(user.id, "one", reply_markup=KEYBOARD)
    edited = await bot.edit_message_text("<b>two</b>", chat_id=user.id, message_id=sent.message_id, parse_mode="HTML")
    assert isinstance(edited, Message)
    assert (edited.text, edited.message_id, edited.date) == ("two", sent.message_id, sent.date)
    assert edited.edit_date is not None
    assert edited.reply_markup is None, "leaving the keyboard out removes it"
    assert user.messages[-1]["edits"] == 1
    assert len(user.messages) == 2


async def test_an_edit_that_changes_nothing_is_refused(bot: Bot, user: SandboxUser) -> None:
    sent = await bot.send_message(user.id, "one", reply_markup=KEYBOARD)
    target: dict[str, Any] = {"chat_id": user.id, "message_id": sent.message_id}
    with pytest.raises(TelegramBadRequest) as caught:
        await bot.edit_message_text("one", reply_markup=KEYBOARD, **target)
    assert caught.value.message == NOT_MODIFIED
    with pytest.raises(TelegramBadRequest, match="not modified"):
        await bot.edit_message_reply_markup(reply_markup=KEYBOARD, **target)
    await bot.edit_message_reply_markup(**target)
    with pytest.raises(TelegramBadRequest, match="not modified"):
        await bot.edit_message_text("one", **target)
    await bot.edit_message_text("<b>one</b>", parse_mode="HTML", **target)


async def test_the_same_photo_with_the_same_caption_changes_nothing(bot: Bot, user: SandboxUser) -> None:
    sent = await bot.send_photo(user.id, BufferedInputFile(picture(40, 30), "a.jpg"), caption="c")
    assert sent.photo is not None
    same = InputMediaPhoto(media=sent.photo[-1].file_id, caption="c")
    with pytest.raises(TelegramBadRequest, match="not modified"):
        await bot.edit_message_media(same, chat_id=user.id, message_id=sent.message_id)


async def test_a_text_becomes_a_photo_and_the_photo_another(bot: Bot, user: SandboxUser) -> None:
    sent = await bot.send_message(user.id, "working")
    target: dict[str, Any] = {"chat_id": user.id, "message_id": sent.message_id}
    first = await bot.edit_message_media(photo(40, "half"), reply_markup=KEYBOARD, **target)
    assert isinstance(first, Message)
    assert (first.text, first.caption, _texts(first)) == (None, "half", ["Go"])
    assert first.photo is not None
    assert first.photo[-1].width == 40
    second = await bot.edit_message_media(photo(50), **target)
    assert isinstance(second, Message)
    assert second.photo is not None
    assert (second.photo[-1].width, second.caption) == (50, None)
    document = InputMediaDocument(media=BufferedInputFile(b"text", "a.txt"), caption="file")
    third = await bot.edit_message_media(document, **target)
    assert isinstance(third, Message)
    assert third.document is not None
    assert third.photo is None
    with pytest.raises(TelegramBadRequest, match="there is no text in the message to edit"):
        await bot.edit_message_text("x", **target)


async def test_a_caption_is_edited_and_the_photo_stays(bot: Bot, user: SandboxUser) -> None:
    sent = await bot.send_photo(
        user.id, BufferedInputFile(picture(40, 30), "a.jpg"), caption="c", reply_markup=KEYBOARD
    )
    target: dict[str, Any] = {"chat_id": user.id, "message_id": sent.message_id}
    edited = await bot.edit_message_caption(caption="d", reply_markup=KEYBOARD, **target)
    assert isinstance(edited, Message)
    assert (edited.caption, edited.photo, _texts(edited)) == ("d", sent.photo, ["Go"])
    with pytest.raises(TelegramBadRequest, match="message caption is too long"):
        await bot.edit_message_caption(caption="x" * 1025, **target)
    text = await bot.send_message(user.id, "x")
    with pytest.raises(TelegramBadRequest, match="there is no caption in the message to edit"):
        await bot.edit_message_caption(caption="d", chat_id=user.id, message_id=text.message_id)


async def test_only_own_messages_that_are_there_are_edited(bot: Bot, user: SandboxUser) -> None:
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("x", chat_id=user.id, message_id=99)
    with pytest.raises(TelegramBadRequest, match="message can't be edited"):
        await bot.edit_message_text("x", chat_id=user.id, message_id=user.messages[0]["message_id"])
    sent = await bot.send_message(user.id, "x")
    with pytest.raises(TelegramBadRequest, match="message is too long"):
        await bot.edit_message_text("x" * 4097, chat_id=user.id, message_id=sent.message_id)


async def test_a_message_of_one_chat_is_not_there_in_another(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    other = sandbox.user()
    await other.send_text("/start")
    sent = await bot.send_message(user.id, "x")
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("y", chat_id=other.id, message_id=sent.message_id)


async def test_a_message_of_an_album_keeps_its_kind(bot: Bot, user: SandboxUser) -> None:
    first, _ = await bot.send_media_group(user.id, [photo(), photo()])
    document = InputMediaDocument(media=BufferedInputFile(b"text", "a.txt"))
    with pytest.raises(TelegramBadRequest, match="messages of an album have no keyboard"):
        await bot.edit_message_reply_markup(chat_id=user.id, message_id=first.message_id, reply_markup=KEYBOARD)
    with pytest.raises(TelegramBadRequest, match="the type of a message in an album"):
        await bot.edit_message_media(document, chat_id=user.id, message_id=first.message_id)
    edited = await bot.edit_message_media(photo(50), chat_id=user.id, message_id=first.message_id)
    assert isinstance(edited, Message)
    assert edited.media_group_id == first.media_group_id


async def test_deleting(bot: Bot, user: SandboxUser) -> None:
    sent = await bot.send_message(user.id, "x")
    assert await bot.delete_message(user.id, sent.message_id)
    assert [message["text"] for message in user.messages] == ["/start"]
    with pytest.raises(TelegramBadRequest, match="message to delete not found"):
        await bot.delete_message(user.id, sent.message_id)
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("y", chat_id=user.id, message_id=sent.message_id)


async def test_a_press_is_answered_once(bot: Bot, user: SandboxUser) -> None:
    sent = await bot.send_message(user.id, "x", reply_markup=KEYBOARD)
    query = await user.press(sent.message_id, "Go")
    assert await bot.answer_callback_query(query, "done", show_alert=True)
    answer = {"callback_query_id": query, "text": "done", "show_alert": True}
    assert user.answers == [answer]
    assert await user.wait_for_answer(query) == answer
    for wrong in (query, "12345", "nonsense"):
        with pytest.raises(TelegramBadRequest) as caught:
            await bot.answer_callback_query(wrong)
        assert caught.value.message == (
            "Bad Request: query is too old and response timeout expired or query ID is invalid"
        )


async def test_a_query_grows_old() -> None:
    async with Sandbox(query_lifetime_s=0.05) as sandbox:
        session = AiohttpSession(api=TelegramAPIServer.from_base(sandbox.url))
        async with await session.create_session():
            bot = Bot(sandbox.token, session=session)
            user = sandbox.user()
            await user.send_text("/start")
            sent = await bot.send_message(user.id, "x", reply_markup=KEYBOARD)
            query = await user.press(sent.message_id, "go")
            await asyncio.sleep(0.06)
            with pytest.raises(TelegramBadRequest, match="query is too old"):
                await bot.answer_callback_query(query)


async def test_the_answer_is_at_most_200_characters(bot: Bot, user: SandboxUser) -> None:
    sent = await bot.send_message(user.id, "x", reply_markup=KEYBOARD)
    query = await user.press(sent.message_id, "go")
    with pytest.raises(TelegramBadRequest, match="MESSAGE_TOO_LONG"):
        await bot.answer_callback_query(query, "x" * 201)
    with pytest.raises(TelegramBadRequest, match="URL_INVALID"):
        await bot.answer_callback_query(query, url="https://a.org")
    assert await bot.answer_callback_query(query, "x" * 200)


async def test_what_a_press_sends(bot: Bot, user: SandboxUser, hook: Hook) -> None:
    await bot.set_webhook(hook.url, drop_pending_updates=True)
    sent = await bot.send_message(user.id, "x", reply_markup=KEYBOARD)
    query = await user.press(user.messages[-1], "go")
    await user.press_raw(sent.message_id, "not there")
    await user.press_raw(4711, "no message either")
    first, second, third = [update["callback_query"] for update in await hook.received(3)]
    assert (first["id"], first["data"], first["from"]["id"]) == (query, "go", user.id)
    assert first["message"]["message_id"] == sent.message_id
    assert first["message"]["reply_markup"]
    assert second["data"] == "not there"
    assert (third["message"]["message_id"], third["message"]["date"]) == (4711, 0)


async def test_a_client_presses_only_what_it_sees(bot: Bot, user: SandboxUser) -> None:
    link = InlineKeyboardButton(text="Site", url="https://a.org")
    markup = InlineKeyboardMarkup(inline_keyboard=[*KEYBOARD.inline_keyboard, [link]])
    sent = await bot.send_message(user.id, "x", reply_markup=markup)
    with pytest.raises(ChatError, match=r"no button 'Stop'; it has: 'Go' \(go\)"):
        await user.press(sent.message_id, "Stop")
    with pytest.raises(ChatError, match="does not send anything"):
        await user.press(sent.message_id, "Site")
    await bot.delete_message(user.id, sent.message_id)
    with pytest.raises(ChatError, match="not there any more"):
        await user.press(sent.message_id, "Go")
