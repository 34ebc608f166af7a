"""One bot in the test's process: who gets in, what a bad day at Telegram's does, long polling."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from config import SettingsError
from handlers import inbox
from processing.job import Status
from sandbox.server import Sandbox
from tests.bots import ADMIN_ID, bot_in, fail_to_store_dialogues
from tests.chat import Stage, after, choose, is_result, order, picture, results, says, words
from tests.processing.conftest import in_state
from tests.toy_algorithm import Behaviour
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPDATE = {
    "update_id": 999_999,
    "message": {
        "message_id": 1,
        "date": 0,
        "chat": {"id": 100, "type": "private"},
        "from": {"id": 100, "is_bot": False, "first_name": "Eve"},
        "text": "/start",
    },
}


@pytest.mark.parametrize("secret", [None, "", "wrong", "пароль"])
async def test_without_the_secret_nobody_gets_in(stage: Stage, secret: str | None) -> None:
    headers = {} if secret is None else {"X-Telegram-Bot-Api-Secret-Token": secret}
    url = str(stage.service.url)
    async with aiohttp.ClientSession() as session, session.post(url, json=UPDATE, headers=headers) as response:
        assert response.status == 401
    await asyncio.sleep(0.1)
    # Nothing was said in the chat of that update.
    assert not [call for call in stage.sandbox.requests if call.parameters.get("chat_id") == 100]
    assert not await stage.service.store.update_seen(999_999)


async def test_an_update_that_comes_three_times_is_dealt_with_once(stage: Stage) -> None:
    user = await stage.person()
    stage.sandbox.faults.duplicate(2, copies=3)
    await order(user)
    await user.wait_for(is_result)
    await asyncio.sleep(0.5)
    assert (sum(map(says("Now send"), user.messages)), len(results(user))) == (1, 1)


@pytest.mark.parametrize("kind", ["flood", "error", "bad_gateway", "drop", "half"])
async def test_trouble_on_the_way_to_the_user_is_waited_out(stage: Stage, kind: str) -> None:
    user = await stage.person()
    await order(user)
    await user.wait_for(is_result)
    stage.sandbox.faults.add(kind, "sendMessage", 1, 1)
    stage.sandbox.faults.add(kind, "sendPhoto", 2, 1)
    await order(user)
    await user.wait_for(lambda message: is_result(message) and len(results(user)) == 2, 20)


async def test_a_delivery_that_waits_holds_no_slot(stage: Stage) -> None:
    waiting, other = await stage.person(), await stage.person()
    stage.sandbox.faults.flood("sendPhoto", retry_after=6)
    await order(waiting)
    await until(lambda: any(call.code == 429 for call in list(stage.sandbox.requests)[-50:]), 5)
    await order(other)
    await other.wait_for(is_result, 5)
    assert len(results(waiting)) == 0
    await waiting.wait_for(is_result, 10)
    assert len(results(waiting)) == 1


async def test_trouble_with_a_download_is_waited_out_too(stage: Stage) -> None:
    user = await stage.person()
    stage.sandbox.faults.bad_gateway("getFile", 2)
    await order(user)
    await user.wait_for(is_result, 20)


async def test_a_user_who_blocks_the_bot_ends_the_job_quietly(stage: Stage) -> None:
    stage.behave(Behaviour.SLOW)
    user = await stage.person()
    await order(user)
    await user.block()
    [job] = await stage.service.store.active_jobs(user.id)
    notices = len(stage.sandbox.user(ADMIN_ID).messages)
    await in_state(stage.service.store, job.id, Status.DELIVERED, 10)
    assert len(stage.sandbox.user(ADMIN_ID).messages) == notices


async def test_an_update_that_cannot_be_stored_is_not_acknowledged_and_comes_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await stage.person()
    errors = fail_to_store_dialogues(monkeypatch, 2)
    sent = await user.send_photo(picture())
    await user.wait_for(after(sent, says("Now send")))
    assert not errors
    assert stage.sandbox.pushes.redeliveries >= 2
    await stage.sandbox.user(ADMIN_ID).wait_for(says("the disk is full"))


async def test_a_handler_that_fails_tells_user_and_admin_and_harms_no_other_update(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise LookupError("broken on purpose")

    monkeypatch.setattr("handlers.user.commands.help_text", broken)
    user = await stage.person()
    await user.send_text("/help")
    await user.wait_for(says("Something went wrong on my side"))
    await stage.sandbox.user(ADMIN_ID).wait_for(says("broken on purpose", "update"))
    await order(user)
    await user.wait_for(is_result)


async def test_the_bot_answers_while_every_worker_is_busy(stage: Stage) -> None:
    stage.behave(Behaviour.SPIN)
    user = await stage.person()
    await order(user)
    for _ in range(20):
        sent = await user.send_text("/help")
        await user.wait_for(after(sent, says("How it works")), 2)
    await user.send_text("/cancel")
    await user.wait_for(says("The painting is stopped"))


@pytest.mark.asyncio(loop_scope="function")
async def test_long_polling_plays_the_same_dialogue(tmp_path: Path, behave: Any) -> None:
    behave(Behaviour.PAINT)
    async with Sandbox() as sandbox, bot_in(sandbox, tmp_path, webhook_url=None) as service:
        assert service.url is None
        user = sandbox.user()
        sandbox.faults.bad_gateway("getUpdates", 1)
        await choose(user)
        await user.send_album([picture(), picture()])
        await user.wait_for(is_result)
        assert sandbox.pending_updates == 0


@pytest.mark.asyncio(loop_scope="function")
async def test_the_token_is_in_no_log_not_even_when_a_download_fails(
    tmp_path: Path,
    behave: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    behave(Behaviour.PAINT)
    monkeypatch.setattr(inbox, "FETCH_PAUSES_S", ())
    with caplog.at_level(logging.DEBUG):
        async with Sandbox() as sandbox, bot_in(sandbox, tmp_path, admin_id=ADMIN_ID):
            sandbox.user(ADMIN_ID)
            await sandbox.user(ADMIN_ID).send_text("/start")
            user = sandbox.user()
            sent = await user.send_document(picture(), "x.jpg", "image/jpeg")
            await user.wait_for(says("Now send"))
            sandbox.faults.error("getFile", 50)
            await user.send_document(picture(), "x.jpg", "image/jpeg")
            await user.wait_for(after(sent, says("could not fetch the picture")), 30)
            sandbox.faults.clear()
            told = " ".join(words(message) for person in (user, sandbox.user(ADMIN_ID)) for message in person.messages)
    assert sandbox.token not in caplog.text + told


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bot_token": "777:" + "B" * 35}, "BOT_TOKEN was refused by http"),
        (
            {"webhook_url": "https://bot.example.org/webhook"},
            "WEBHOOK_URL='https://bot.example.org/webhook' was refused",
        ),
        ({"telegram_api_url": "http://127.0.0.1:9"}, "TELEGRAM_API_URL='http://127.0.0.1:9' cannot be reached"),
        ({"host": "192.0.2.1"}, "HOST='192.0.2.1' with PORT="),
        ({"port": None}, "cannot be listened on"),
        ({"data_dir": Path("/proc/none")}, "DATA_DIR='/proc/none' cannot be used"),
        ({"metrics_host": "192.0.2.1", "metrics_port": 0}, "METRICS_HOST='192.0.2.1' with METRICS_PORT=0 cannot"),
    ],
    ids=["token", "webhook", "server", "host", "port", "folder", "private port"],
)
async def test_a_start_that_fails_names_the_setting_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.retries.PAUSES_S", (0.01,))
    before = set(psutil.Process().children(recursive=True))
    async with Sandbox() as sandbox:
        if changes.get("port", 0) is None:
            # The sandbox has this one.
            changes = {"port": int(sandbox.url.rsplit(":", 1)[1])}
        changes = {"data_dir": tmp_path} | changes
        with pytest.raises(SettingsError, match=re.escape(sentence)) as caught:
            async with bot_in(sandbox, **changes):
                pass
    assert sandbox.token not in str(caught.value)
    assert "B" * 35 not in str(caught.value)
    assert set(psutil.Process().children(recursive=True)) <= before
