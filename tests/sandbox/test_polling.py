"""getUpdates."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramConflictError

from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import Hook


async def test_updates_stay_until_the_offset_passes_them(bot: Bot, user: SandboxUser) -> None:
    await user.send_text("second")
    first, second = await bot.get_updates()
    assert first.message is not None
    assert first.message.text == "/start"
    assert second.update_id == first.update_id + 1
    assert len(await bot.get_updates(limit=1)) == 1
    assert [each.update_id for each in await bot.get_updates(offset=second.update_id)] == [second.update_id]
    assert [each.update_id for each in await bot.get_updates()] == [second.update_id]
    assert await bot.get_updates(offset=second.update_id + 1) == []


async def test_a_negative_offset_counts_from_the_end(bot: Bot, user: SandboxUser) -> None:
    for text in ("b", "c"):
        await user.send_text(text)
    [last] = await bot.get_updates(offset=-1)
    assert last.message is not None
    assert last.message.text == "c"
    assert len(await bot.get_updates()) == 1, "what came before is forgotten"


async def test_a_long_poll_waits_for_an_update(bot: Bot, sandbox: Sandbox) -> None:
    user = sandbox.user()
    poll = asyncio.create_task(bot.get_updates(timeout=20))
    await asyncio.sleep(0.1)
    assert not poll.done()
    await user.send_text("at last")
    [update] = await asyncio.wait_for(poll, 5)
    assert update.message is not None
    assert update.message.text == "at last"


async def test_a_long_poll_ends_empty(bot: Bot) -> None:
    started = time.monotonic()
    assert await bot.get_updates(timeout=1) == []
    assert 0.9 < time.monotonic() - started < 5


async def test_only_one_poll_at_a_time(bot: Bot, sandbox: Sandbox) -> None:
    first = asyncio.create_task(bot.get_updates(timeout=20))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(bot.get_updates(timeout=20))
    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates request"):
        await asyncio.wait_for(first, 5)
    await sandbox.user().send_text("x")
    assert len(await asyncio.wait_for(second, 5)) == 1


async def test_a_webhook_excludes_polling(bot: Bot, hook: Hook) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=20))
    await asyncio.sleep(0.1)
    await bot.set_webhook(hook.url)
    with pytest.raises(TelegramConflictError, match="terminated by setWebhook"):
        await asyncio.wait_for(poll, 5)
    with pytest.raises(TelegramConflictError, match="can't use getUpdates method while webhook is active"):
        await bot.get_updates()
    await bot.delete_webhook()
    assert await bot.get_updates() == []


async def test_allowed_updates_of_a_poll(bot: Bot, user: SandboxUser) -> None:
    assert len(await bot.get_updates(allowed_updates=["my_chat_member"])) == 1, "made before the filter was set"
    await user.send_text("unseen")
    await user.block()
    kinds = [each.event_type for each in await bot.get_updates()]
    assert kinds == ["message", "my_chat_member"]


async def test_stopping_ends_a_poll(bot: Bot, sandbox: Sandbox) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=20))
    await asyncio.sleep(0.1)
    await asyncio.wait_for(sandbox.stop(), 5)
    assert await asyncio.wait_for(poll, 5) == []
