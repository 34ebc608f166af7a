"""How calls are read, and what is refused before a method looks at it."""

from __future__ import annotations

import io
import json
from typing import Any

import aiohttp
import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramUnauthorizedError

from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import call, picture, refusal


async def test_a_wrong_token_is_unauthorized(sandbox: Sandbox, bot: Bot) -> None:
    assert await call(sandbox, "getMe", token="12345:wrong") == (
        401,
        {"ok": False, "error_code": 401, "description": "Unauthorized"},
    )
    stranger = Bot("12345:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", session=bot.session)
    with pytest.raises(TelegramUnauthorizedError):
        await stranger.get_me()


async def test_the_token_of_the_sandbox_opens_it(sandbox: Sandbox, bot: Bot) -> None:
    assert len(sandbox.token.partition(":")[2]) >= 35
    me = await bot.get_me()
    assert me.is_bot
    assert str(me.id) == sandbox.token.partition(":")[0]


async def test_an_unknown_method_is_not_found(sandbox: Sandbox) -> None:
    assert (await call(sandbox, "sendTelepathy"))[0] == 404


async def test_the_case_of_a_method_does_not_matter(sandbox: Sandbox) -> None:
    assert (await call(sandbox, "GETME"))[0] == 200


@pytest.mark.parametrize("way", ["json", "urlencoded", "multipart", "query"])
async def test_every_way_of_sending_is_read_alike(sandbox: Sandbox, user: SandboxUser, way: str) -> None:
    markup = {"inline_keyboard": [[{"text": "a & b", "callback_data": "x"}]]}
    flat = {"chat_id": str(user.id), "text": "héllo", "reply_markup": json.dumps(markup)}
    ways: dict[str, dict[str, Any]] = {
        "json": {"json": {"chat_id": user.id, "text": "héllo", "reply_markup": markup}},
        "urlencoded": {"data": flat},
        "multipart": {"data": aiohttp.FormData(flat, default_to_multipart=True)},
        "query": {"params": flat},
    }
    status, answer = await call(sandbox, "sendMessage", **ways[way])
    assert status == 200
    assert answer["result"]["text"] == "héllo"
    assert answer["result"]["reply_markup"] == markup


@pytest.mark.parametrize(
    ("method", "body", "description"),
    [
        ("sendMessage", {"text": "x"}, "chat_id is empty"),
        ("sendMessage", {"chat_id": 100}, "message text is empty"),
        ("sendPhoto", {"chat_id": 100}, "there is no photo in the request"),
        ("sendDocument", {"chat_id": 100}, "there is no document in the request"),
        ("sendMediaGroup", {"chat_id": 100}, "there is no media in the request"),
        ("editMessageText", {"chat_id": 100, "text": "x"}, "message identifier is not specified"),
        ("editMessageMedia", {"chat_id": 100, "message_id": 1}, "there is no media in the request"),
        ("getFile", {}, "file_id not specified"),
    ],
)
async def test_a_required_parameter_is_missed(
    sandbox: Sandbox, user: SandboxUser, method: str, body: Any, description: str
) -> None:
    assert await refusal(sandbox, method, body) == f"Bad Request: {description}"


@pytest.mark.parametrize(
    ("method", "body", "named"),
    [
        ("sendMessage", {"chat_id": 100, "text": 5}, '"text"'),
        ("sendMessage", {"chat_id": 100, "text": "x", "disable_notification": "perhaps"}, '"disable_notification"'),
        ("sendMessage", {"chat_id": 100, "text": "x", "reply_markup": "{"}, "reply_markup JSON object"),
        ("sendMessage", {"chat_id": 100, "text": "x", "reply_markup": []}, "reply_markup JSON object"),
        ("sendMessage", {"chat_id": 100, "text": "x", "entities": "{}"}, "entities JSON array"),
        ("sendMessage", {"chat_id": 100, "text": "\ud800"}, "UTF-8"),
        ("editMessageText", {"chat_id": 100, "message_id": 1.5, "text": "x"}, '"message_id"'),
        ("editMessageText", {"chat_id": 100, "message_id": True, "text": "x"}, '"message_id"'),
        ("setMyCommands", {"commands": {}}, "commands JSON array"),
    ],
)
async def test_a_value_of_another_type_is_named(
    sandbox: Sandbox, user: SandboxUser, method: str, body: Any, named: str
) -> None:
    description = await refusal(sandbox, method, body)
    assert description.startswith("Bad Request: ")
    assert named in description


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("sendMessage", {"chat_id": 100, "text": "x", "surprise": 1}),
        ("sendMessage", {"chat_id": 100, "text": "x", "reply_parameters": {"message_id": 1, "surprise": 1}}),
        ("sendMessage", {"chat_id": 100, "text": "x", "link_preview_options": {"surprise": True}}),
        (
            "editMessageMedia",
            {"chat_id": 100, "message_id": 1, "media": {"type": "photo", "media": "x", "surprise": 1}},
        ),
        ("setMyCommands", {"commands": [{"command": "a", "description": "b", "surprise": "c"}]}),
        ("getMe", {"surprise": 1}),
    ],
)
async def test_an_unknown_field_is_named(sandbox: Sandbox, user: SandboxUser, bot: Bot, method: str, body: Any) -> None:
    if "message_id" in body:
        body["message_id"] = (await bot.send_message(user.id, "x")).message_id
    assert "unknown field 'surprise'" in await refusal(sandbox, method, body)


async def test_an_upload_that_nothing_refers_to_is_named(sandbox: Sandbox, user: SandboxUser) -> None:
    form = aiohttp.FormData({"chat_id": str(user.id), "photo": "attach://one-and-more"})
    form.add_field("one", picture(10, 10), filename="a.jpg")
    assert "unknown field 'one'" in await refusal(sandbox, "sendPhoto", data=form)


async def test_an_upload_may_be_the_parameter_itself(sandbox: Sandbox, user: SandboxUser) -> None:
    form = aiohttp.FormData({"chat_id": str(user.id)})
    form.add_field("photo", picture(10, 10), filename="a.jpg")
    assert (await call(sandbox, "sendPhoto", data=form))[0] == 200


@pytest.mark.parametrize("body", ["{", "[]", '"text"', b"\xff\xfe"])
async def test_a_malformed_body_is_a_bad_request(sandbox: Sandbox, body: Any) -> None:
    status, answer = await call(sandbox, "getMe", data=body, headers={"Content-Type": "application/json"})
    assert (status, answer["ok"]) == (400, False)


async def test_a_part_without_a_name_is_a_bad_request(sandbox: Sandbox) -> None:
    body = b"--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert "a part has no name" in await refusal(sandbox, "getMe", data=body, headers=headers)


async def test_a_body_over_60_mb_is_too_large(sandbox: Sandbox, user: SandboxUser) -> None:
    form = aiohttp.FormData({"chat_id": str(user.id)})
    form.add_field("document", io.BytesIO(b"0" * (61 * 1024 * 1024)), filename="a.bin")
    assert await call(sandbox, "sendDocument", data=form) == (
        413,
        {"ok": False, "error_code": 413, "description": "Request Entity Too Large"},
    )


async def test_calls_are_recorded_with_their_codes(sandbox: Sandbox, user: SandboxUser) -> None:
    await call(sandbox, "sendMessage", {"chat_id": str(user.id), "text": "x"})
    await call(sandbox, "sendMessage", {"chat_id": 1, "text": "x"})
    first, second = sandbox.requests
    assert (first.method, first.parameters, first.code) == ("sendMessage", {"chat_id": user.id, "text": "x"}, 200)
    assert (second.code, second.description) == (400, "Bad Request: chat not found")
    assert second.at >= first.at
