"""The bot as a process of its own, killed and started again: nothing is lost, nothing comes twice, nothing is left."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from main import free_port
from processing.job import Status
from processing.store import Store
from sandbox.server import Sandbox, SandboxUser
from tests.chat import (
    Message,
    after,
    begun,
    buttons,
    choose,
    has_button,
    is_result,
    order,
    picture,
    results,
    says,
    words,
)
from tests.machines import HOST, Home, Machine
from tests.toy_algorithm import Behaviour
from tests.waiting import until


class OneBot(Home):
    """A bot, and the folder that it keeps over its restarts."""

    @asynccontextmanager
    async def bot(self, **settings: str) -> AsyncIterator[Machine]:
        port = free_port(HOST)
        given = {
            "WEBHOOK_URL": f"http://{HOST}:{port}/webhook",
            "PORT": str(port),
            "DATA_DIR": str(self.folder / "data"),
            "POOL_SIZE": "2",
        }
        try:
            bot = await self.start("serve", given | settings)
            assert bot.family(), "the bot has no workers"
            yield bot
        finally:
            await self.close()

    async def statuses(self) -> list[Status]:
        """Return the jobs' states, from the database that the stopped bot left."""
        store = Store(f"sqlite:///{self.folder / 'data' / 'bot.sqlite3'}")
        await store.open()
        try:
            return [status for status, count in (await store.counts()).items() for _ in range(count)]
        finally:
            await store.close()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[OneBot]:
    async with Sandbox() as sandbox:
        yield OneBot(sandbox, tmp_path)


async def first_order(user: SandboxUser) -> Message:
    await choose(user)
    return await order(user)


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_a_bot_killed_in_mid_job_delivers_it_once_after_the_restart(home: OneBot) -> None:
    home.behave(Behaviour.GROW)
    users = [home.sandbox.user() for _ in range(3)]
    async with home.bot() as bot:
        for user in users:
            await first_order(user)
        await begun(users[0])
        await bot.end(signal.SIGKILL)
    assert not any(results(user) for user in users)
    home.behave(Behaviour.PAINT)
    async with home.bot() as bot:
        for user in users:
            await user.wait_for(is_result)
        await asyncio.sleep(1)
        assert await bot.end(signal.SIGTERM) == 0
    assert [len(results(user)) for user in users] == [1, 1, 1]
    assert not [message for user in users for message in user.messages if has_button("job:cancel")(message)]
    assert await home.statuses() == [Status.DELIVERED] * 3


async def test_a_wish_to_keep_dies_with_the_bot_and_the_job_is_painted_whole(home: OneBot) -> None:
    home.behave(Behaviour.DEAF)
    user = home.sandbox.user()
    async with home.bot() as bot:
        accepted = await first_order(user)
        keep = buttons(accepted)[0].replace("cancel", "keep")
        told = ""
        while "Finishing" not in told:
            query = await user.press_raw(accepted["message_id"], keep)
            told = (await user.wait_for_answer(query))["text"]
        await bot.end(signal.SIGKILL)
    home.behave(Behaviour.SLOW)
    async with home.bot():
        assert "stopped" not in words(await user.wait_for(is_result))
    assert len(results(user)) == 1


async def test_a_bot_asked_to_stop_gives_its_jobs_back_and_goes_at_once(home: OneBot) -> None:
    home.behave(Behaviour.HANG)
    user = home.sandbox.user()
    async with home.bot() as bot:
        await first_order(user)
        await asyncio.sleep(0.5)
        assert await bot.end(signal.SIGTERM) == 0
    assert home.sandbox.token.encode() not in bot.log
    assert await home.statuses() == [Status.QUEUED]
    home.behave(Behaviour.PAINT)
    async with home.bot():
        await user.wait_for(is_result)


async def test_a_bot_asked_to_stop_lets_a_running_job_end_and_takes_nothing_new(home: OneBot) -> None:
    home.behave(Behaviour.GROW)
    running, waiting = home.sandbox.user(), home.sandbox.user()
    port = free_port("127.0.0.1")
    async with home.bot(SHUTDOWN_GRACE_S="15", POOL_SIZE="1", METRICS_PORT=str(port)) as bot:
        await first_order(running)
        await first_order(waiting)
        await begun(running)
        ending = asyncio.create_task(bot.end(signal.SIGTERM))
        async with asyncio.timeout(5):
            while await get(f"http://127.0.0.1:{port}/readyz") != (503, "not ready: stopping\n"):
                await asyncio.sleep(0.02)
        assert await get(f"http://127.0.0.1:{port}/healthz") == (200, "stopping\n")
        asked = await waiting.send_text("/help")
        await running.wait_for(is_result)
        assert await ending == 0
    assert (len(results(running)), len(results(waiting))) == (1, 0)
    assert sorted(await home.statuses()) == [Status.DELIVERED, Status.QUEUED]
    assert waiting.messages[-1]["message_id"] == asked["message_id"]
    home.behave(Behaviour.PAINT)
    async with home.bot():
        await waiting.wait_for(after(asked, says("How it works")))
        await waiting.wait_for(is_result)
    assert len(results(running)) == 1


async def test_what_does_not_end_within_the_grace_is_painted_after_the_restart(home: OneBot) -> None:
    home.behave(Behaviour.HANG)
    user = home.sandbox.user()
    async with home.bot(SHUTDOWN_GRACE_S="1") as bot:
        await first_order(user)
        assert await bot.end(signal.SIGTERM) == 0
    assert await home.statuses() == [Status.QUEUED]
    home.behave(Behaviour.PAINT)
    async with home.bot():
        await user.wait_for(is_result)


async def test_a_second_signal_ends_the_bot_at_once_and_loses_nothing(home: OneBot) -> None:
    home.behave(Behaviour.HANG)
    user = home.sandbox.user()
    async with home.bot(SHUTDOWN_GRACE_S="600") as bot:
        await first_order(user)
        await asyncio.sleep(0.5)
        bot.process.send_signal(signal.SIGINT)
        await asyncio.sleep(1.5)
        assert bot.process.returncode is None
        began = time.monotonic()
        assert await bot.end(signal.SIGTERM) == -signal.SIGTERM
        assert time.monotonic() - began < 5
    home.behave(Behaviour.PAINT)
    async with home.bot():
        await user.wait_for(is_result)
    assert len(results(user)) == 1


async def test_a_crash_between_sending_and_marking_repeats_a_picture_once(home: OneBot) -> None:
    user = home.sandbox.user()
    async with home.bot() as bot:
        # Telegram has carried it out, and the bot waits half a second before it tries again.
        home.sandbox.faults.lost_answer("sendPhoto")
        await first_order(user)
        await user.wait_for(is_result)
        await bot.end(signal.SIGKILL)
    assert await home.statuses() == [Status.PAINTED]
    async with home.bot():
        await user.wait_for(lambda message: is_result(message) and len(results(user)) == 2)
        await asyncio.sleep(1)
    assert len(results(user)) == 2
    assert await home.statuses() == [Status.DELIVERED]


async def test_pictures_gathered_before_a_kill_are_still_there_after_it(home: OneBot) -> None:
    user, album = home.sandbox.user(), home.sandbox.user()
    async with home.bot() as bot:
        for each in (user, album):
            await choose(each)
        await user.send_photo(picture())
        await user.wait_for(says("Now send"))
        await album.send_album([picture(80, 40), picture()])
        await until(lambda: not home.sandbox.pending_updates, 5)
        await bot.end(signal.SIGKILL)
    async with home.bot():
        assert "512×256" in words(await album.wait_for(is_result))
        await user.send_photo(picture())
        await user.wait_for(is_result)


async def test_a_worker_killed_in_mid_job_costs_one_try_and_its_neighbour_nothing(home: OneBot) -> None:
    home.behave(Behaviour.GROW)
    users = [home.sandbox.user() for _ in range(2)]
    async with home.bot() as bot:
        for user in users:
            await first_order(user)
        for user in users:
            await begun(user)
        workers = [each for each in bot.family() if not each.children()]
        # The pool gives the first job to the worker that was there first.
        busy = min(workers, key=lambda each: (each.create_time(), each.pid))
        busy.send_signal(signal.SIGKILL)
        for user in users:
            await user.wait_for(is_result)
        await asyncio.sleep(0.5)
        assert [len(results(user)) for user in users] == [1, 1]
        assert await bot.end(signal.SIGTERM) == 0
    assert b"a worker was lost" in bot.log
    assert await home.statuses() == [Status.DELIVERED] * 2


async def test_a_worker_that_dies_again_fails_its_job_in_words(home: OneBot) -> None:
    home.behave(Behaviour.KILL)
    user = home.sandbox.user()
    async with home.bot():
        await first_order(user)
        await user.wait_for(says("interrupted on my side more than once"))


async def test_a_hanging_worker_is_stopped_at_its_timeout_and_its_neighbour_goes_on(home: OneBot) -> None:
    stuck, other = home.sandbox.user(), home.sandbox.user()
    async with home.bot(JOB_TIMEOUT_S="3") as bot:
        home.behave(Behaviour.HANG)
        await first_order(stuck)
        await asyncio.sleep(1)
        home.behave(Behaviour.SLOW)
        await first_order(other)
        await other.wait_for(is_result)
        await stuck.wait_for(says("took longer than 3"))
        home.behave(Behaviour.PAINT)
        await stuck.send_photo(picture())
        await stuck.wait_for(lambda message: words(message).count("Now send") == 1 and message["message_id"] > 10)
        await stuck.send_photo(picture())
        await stuck.wait_for(is_result)
        await bot.end(signal.SIGTERM)
    assert [len(results(user)) for user in (stuck, other)] == [1, 1]


async def test_a_worker_that_eats_its_memory_is_stopped_and_told_in_words(home: OneBot) -> None:
    home.behave(Behaviour.EAT)
    user = home.sandbox.user()
    async with home.bot(WORKER_MEMORY_MB="700"):
        await first_order(user)
        await user.wait_for(says("not enough memory", "700 MB"), 30)
