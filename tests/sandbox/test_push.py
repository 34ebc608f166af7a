"""The webhook: order, secret, repeats until acknowledged, filters, replies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.methods import SendMessage, SendPhoto, TelegramMethod
from aiogram.types import BufferedInputFile, InlineKeyboardButton, InlineKeyboardMarkup, Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import Hook, call, picture, refusal, running_hook
from tests.waiting import until


async def test_an_update_is_pushed_with_the_secret(sandbox: Sandbox, bot: Bot, user: SandboxUser, hook: Hook) -> None:
    await bot.set_webhook(hook.url, secret_token="s_e-C1", drop_pending_updates=True)
    sent = await user.send_text("hello /help")
    [update] = await hook.received(1)
    assert update["message"]["text"] == "hello /help"
    assert update["message"]["message_id"] == sent["message_id"]
    assert update["message"]["from"] == {"id": user.id, "is_bot": False, "first_name": "Ann", "language_code": "en"}
    assert update["message"]["chat"] == {"id": user.id, "type": "private", "first_name": "Ann"}
    assert update["message"]["entities"] == [{"type": "bot_command", "offset": 6, "length": 5}]
    assert hook.secrets == ["s_e-C1"]
    await until(lambda: sandbox.pending_updates == 0)
    assert len(sandbox.pushes.seconds) == 1


async def test_without_secret_there_is_no_header(bot: Bot, user: SandboxUser, hook: Hook) -> None:
    await bot.set_webhook(hook.url)
    await hook.received(1)
    assert hook.secrets == [None]


async def test_what_waits_is_pushed_or_dropped(sandbox: Sandbox, bot: Bot, user: SandboxUser, hook: Hook) -> None:
    assert (await bot.get_webhook_info()).pending_update_count == 1
    await bot.set_webhook(hook.url)
    assert (await hook.received(1))[0]["message"]["text"] == "/start"
    await bot.delete_webhook()
    await user.send_text("dropped")
    await bot.set_webhook(hook.url, drop_pending_updates=True)
    await user.send_text("kept")
    assert [each["message"]["text"] for each in await hook.received(2)] == ["/start", "kept"]


async def test_a_refused_update_comes_again_unchanged(
    sandbox: Sandbox, bot: Bot, user: SandboxUser, hook: Hook
) -> None:
    at: list[float] = []

    async def refuse_twice(update: dict[str, Any]) -> web.StreamResponse:
        at.append(time.monotonic())
        return web.Response(status=500 if len(at) <= 2 else 200)

    hook.reply = refuse_twice
    await bot.set_webhook(hook.url)
    updates = await hook.received(3)
    assert updates[0] == updates[1] == updates[2]
    assert at[1] - at[0] >= 0.2
    assert at[2] - at[1] >= 0.4, "the pause grows"
    await until(lambda: sandbox.pending_updates == 0)
    assert sandbox.pushes.redeliveries == 2
    info = await bot.get_webhook_info()
    assert info.last_error_message == "Wrong response from the webhook: 500 Internal Server Error"


async def test_a_broken_connection_and_a_bot_that_is_away(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    async with running_hook() as first:
        url = first.url
    await bot.set_webhook(url)
    await until(lambda: sandbox.pushes.redeliveries >= 1)
    async with running_hook(int(url.rpartition(":")[2].partition("/")[0])) as second:
        [update] = await second.received(1)
        assert update["message"]["text"] == "/start"
        await until(lambda: sandbox.pending_updates == 0)


async def test_a_redirect_is_no_acknowledgement(sandbox: Sandbox, bot: Bot, user: SandboxUser, hook: Hook) -> None:
    async def redirect(update: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": hook.url})

    hook.reply = redirect
    await bot.set_webhook(hook.url)
    await until(lambda: sandbox.pushes.redeliveries >= 1)
    assert sandbox.pending_updates == 1


async def test_a_chat_keeps_its_order_and_does_not_hold_up_others(
    sandbox: Sandbox, bot: Bot, user: SandboxUser, hook: Hook
) -> None:
    refused = asyncio.Event()

    async def refuse_ann(update: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=200 if refused.is_set() or update["message"]["from"]["id"] != user.id else 503)

    hook.reply = refuse_ann
    await bot.set_webhook(hook.url, drop_pending_updates=True)
    other = sandbox.user(first_name="Bob")
    for number in range(3):
        await user.send_text(f"a{number}")
        await other.send_text(f"b{number}")

    def texts(of: SandboxUser) -> list[str]:
        return [each["message"]["text"] for each in hook.updates if each["message"]["from"]["id"] == of.id]

    await until(lambda: texts(other) == ["b0", "b1", "b2"])
    assert set(texts(user)) == {"a0"}
    refused.set()
    await until(lambda: sandbox.pending_updates == 0)
    assert list(dict.fromkeys(texts(user))) == ["a0", "a1", "a2"]
    ids = [each["update_id"] for each in hook.updates]
    assert len(set(ids)) == 6


async def test_max_connections_bounds_the_pushes(sandbox: Sandbox, bot: Bot, hook: Hook) -> None:
    now = most = 0

    async def slow(update: dict[str, Any]) -> web.StreamResponse:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return web.Response()

    hook.reply = slow
    for _ in range(8):
        await sandbox.user().send_text("x")
    await bot.set_webhook(hook.url, max_connections=3)
    await hook.received(8)
    assert most == 3


async def test_allowed_updates_filter(bot: Bot, user: SandboxUser, hook: Hook) -> None:
    await bot.set_webhook(hook.url, allowed_updates=["callback_query"], drop_pending_updates=True)
    markup = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="x", callback_data="x")]])
    sent = await bot.send_message(user.id, "x", reply_markup=markup)
    await user.send_text("unseen")
    await user.block()
    await user.block(False)
    await user.press(sent.message_id, "x")
    [update] = await hook.received(1)
    assert update["callback_query"]["data"] == "x"
    assert (await bot.get_webhook_info()).allowed_updates == ["callback_query"]
    await bot.set_webhook(hook.url, allowed_updates=[])
    await user.block()
    assert (await hook.received(2))[1]["my_chat_member"]["new_chat_member"]["status"] == "kicked"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"url": "https://example.org/hook"}, "bad webhook"),
        ({"url": "ftp://127.0.0.1/hook"}, "bad webhook"),
        ({"url": "http://127.0.0.1:99999/hook"}, "bad webhook"),
        ({"url": "http://127.0.0.1/hook", "secret_token": "a b"}, "secret token contains unallowed characters"),
        ({"url": "http://127.0.0.1/hook", "secret_token": "x" * 257}, "secret token contains unallowed characters"),
        ({"url": "http://127.0.0.1/hook", "max_connections": 0}, "max_connections"),
        ({"url": "http://127.0.0.1/hook", "max_connections": 101}, "max_connections"),
        ({"url": "http://127.0.0.1/hook", "allowed_updates": ["gossip"]}, "'gossip'"),
    ],
)
async def test_bad_webhooks_are_refused(sandbox: Sandbox, body: dict[str, Any], problem: str) -> None:
    assert problem in await refusal(sandbox, "setWebhook", body)
    assert (await call(sandbox, "getWebhookInfo"))[1]["result"]["url"] == ""


@pytest.fixture
async def replying(bot: Bot) -> AsyncIterator[str]:
    """aiogram's own webhook, whose handlers answer in the response."""
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def reply(message: Message) -> TelegramMethod[Message]:
        if message.text == "photo":
            file = BufferedInputFile(picture(60, 40), "a.jpg")
            return SendPhoto(chat_id=message.chat.id, photo=file, caption="here")
        return SendMessage(chat_id=message.chat.id, text=f"you said <b>{message.text}</b>", parse_mode="HTML")

    app = web.Application()
    SimpleRequestHandler(dispatcher, bot, handle_in_background=False).register(app, "/hook")
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await runner.cleanup()


async def test_a_call_in_the_answer_is_carried_out(
    sandbox: Sandbox, bot: Bot, user: SandboxUser, replying: str
) -> None:
    await bot.set_webhook(replying, drop_pending_updates=True)
    await user.send_text("hello")
    said = await user.wait_for(lambda message: message["from_bot"])
    assert said["text"] == "you said hello"
    assert said["entities"][0]["type"] == "bold"
    await user.send_text("photo")
    shown = await user.wait_for(lambda message: "photo" in message)
    assert (shown["caption"], shown["photo"][-1]["width"]) == ("here", 60)
    await until(lambda: sandbox.pending_updates == 0)


async def test_a_call_in_a_json_answer_is_carried_out(bot: Bot, user: SandboxUser, hook: Hook) -> None:
    async def reply(update: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"method": "sendMessage", "chat_id": user.id, "text": "from JSON"})

    hook.reply = reply
    await bot.set_webhook(hook.url)
    assert (await user.wait_for(lambda message: message["from_bot"]))["text"] == "from JSON"


async def test_an_outage_of_the_server_loses_nothing(sandbox: Sandbox, bot: Bot, user: SandboxUser, hook: Hook) -> None:
    await bot.set_webhook(hook.url, drop_pending_updates=True)
    port = int(sandbox.url.rpartition(":")[2])
    await sandbox.stop()
    await user.send_text("meanwhile")
    await asyncio.sleep(0.05)
    assert hook.updates == []
    await sandbox.start(port=port)
    assert (await hook.received(1))[0]["message"]["text"] == "meanwhile"
    assert (await bot.get_me()).is_bot


async def test_a_thousand_updates_of_many_users(sandbox: Sandbox, bot: Bot, hook: Hook) -> None:
    await bot.set_webhook(hook.url, max_connections=100)
    users = [sandbox.user() for _ in range(100)]
    started = time.monotonic()
    for number in range(10):
        for person in users:
            await person.send_text(str(number))
    await hook.received(1000, timeout_s=30)
    await until(lambda: sandbox.pending_updates == 0)
    assert time.monotonic() - started < 10, "the sandbox itself carries at least 100 updates a second"
    assert len(sandbox.pushes.seconds) == 1000
    assert sandbox.pushes.redeliveries == 0
