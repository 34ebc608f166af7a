"""Trouble on demand."""

from __future__ import annotations

import time

import pytest
from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import SendMessage
from aiogram.types import BufferedInputFile
from aiohttp import ClientPayloadError, ClientResponseError

from sandbox.faults import Faults
from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import Hook, picture
from tests.waiting import until


async def test_a_flood_limit_on_demand(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    sandbox.faults.flood("sendMessage", times=2, retry_after=3)
    await bot.get_me()
    for _ in range(2):
        with pytest.raises(TelegramRetryAfter) as caught:
            await bot.send_message(user.id, "x")
        assert caught.value.retry_after == 3
    assert len(user.messages) == 1
    await bot.send_message(user.id, "x")
    assert [each.code for each in sandbox.requests] == [200, 429, 429, 200]


async def test_errors_of_the_server(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    sandbox.faults.error()
    with pytest.raises(TelegramServerError):
        await bot.get_me()
    sandbox.faults.bad_gateway("getMe")
    with pytest.raises(ClientDecodeError):
        await bot.get_me()
    sandbox.faults.drop("getMe")
    with pytest.raises(TelegramNetworkError):
        await bot.get_me()
    assert (await bot.get_me()).is_bot


async def test_a_lost_answer_is_an_executed_call(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    sandbox.faults.lost_answer("sendMessage")
    with pytest.raises(TelegramNetworkError):
        await bot.send_message(user.id, "x")
    assert user.messages[-1]["text"] == "x"


async def test_a_dropped_call_is_not_executed(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    sandbox.faults.drop("sendMessage")
    with pytest.raises(TelegramNetworkError):
        await bot.send_message(user.id, "x")
    assert len(user.messages) == 1


async def test_half_an_upload_is_not_carried_out(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    sandbox.faults.half("sendDocument")
    file = BufferedInputFile(bytes(8_000_000), "large.bin")
    with pytest.raises(TelegramNetworkError):
        await bot.send_document(user.id, file)
    assert len(user.messages) == 1
    assert sandbox.requests[-1].description == "half"
    await bot.send_document(user.id, file)
    assert user.messages[-1]["document"]["file_size"] == 8_000_000


async def test_silence_is_a_call_that_is_not_carried_out(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    sandbox.faults.silence("sendMessage", seconds=0.2)
    with pytest.raises(TelegramNetworkError, match="timeout"):
        await bot(SendMessage(chat_id=user.id, text="x"), request_timeout=0.1)
    await until(lambda: [each.description for each in sandbox.requests] == ["silence"])
    assert len(user.messages) == 1


async def test_a_delay(sandbox: Sandbox, bot: Bot) -> None:
    sandbox.faults.delay("getMe", seconds=0.2)
    started = time.monotonic()
    await bot.get_me()
    assert time.monotonic() - started >= 0.2


async def test_a_download_that_fails(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    message = await user.send_document(picture(20, 20), "a.jpg")
    file = await bot.get_file(message["document"]["file_id"])
    assert file.file_path is not None
    sandbox.faults.bad_gateway("file")
    with pytest.raises(ClientResponseError):
        await bot.download_file(file.file_path)
    assert await bot.download_file(file.file_path) is not None


async def test_half_a_download(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    message = await user.send_document(picture(200, 200, "BMP"), "a.bmp")
    file = await bot.get_file(message["document"]["file_id"])
    assert file.file_path is not None
    sandbox.faults.half("file")
    with pytest.raises(ClientPayloadError):
        await bot.download_file(file.file_path)
    assert await bot.download_file(file.file_path) is not None


async def test_an_update_several_times(sandbox: Sandbox, bot: Bot, user: SandboxUser, hook: Hook) -> None:
    sandbox.faults.duplicate(copies=3)
    await bot.set_webhook(hook.url)
    await user.send_text("once")
    updates = await hook.received(4)
    assert [each["message"]["text"] for each in updates] == ["/start", "/start", "/start", "once"]
    assert len({each["update_id"] for each in updates}) == 2
    await until(lambda: sandbox.pending_updates == 0)
    assert sandbox.pushes.redeliveries == 2


async def test_updates_out_of_order(sandbox: Sandbox, bot: Bot, user: SandboxUser, hook: Hook) -> None:
    sandbox.faults.swap()
    await bot.set_webhook(hook.url)
    for text in ("second", "third"):
        await user.send_text(text)
    updates = await hook.received(3)
    assert [each["message"]["text"] for each in updates] == ["second", "/start", "third"]
    await until(lambda: sandbox.pending_updates == 0)


async def test_an_update_that_nothing_overtakes_comes_a_little_late(sandbox: Sandbox, bot: Bot, hook: Hook) -> None:
    sandbox.faults.swap()
    await bot.set_webhook(hook.url)
    await sandbox.user().send_text("alone")
    assert [each["message"]["text"] for each in await hook.received(1)] == ["alone"]


def test_faults_are_checked() -> None:
    faults = Faults()
    with pytest.raises(ValueError, match="unknown fault 'gremlins'"):
        faults.add("gremlins")
    with pytest.raises(ValueError, match="times"):
        faults.error(times=0)
    with pytest.raises(ValueError, match="times"):
        faults.swap(times=0)
    faults.flood(times=2)
    faults.clear()
    assert faults.take("getMe") is None
