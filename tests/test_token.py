"""The token and the webhook's secret are nowhere: in no log, message, answer or file, on the worst of days."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import aiohttp
import pytest
from aiogram.exceptions import TelegramUnauthorizedError

from reporting.logs import set_up_logging
from sandbox.server import Sandbox, SandboxUser
from service import Service
from tests.bots import ADMIN_ID, bot_in, contents
from tests.chat import Behave, after, choose, has_button, is_result, picture, says, words
from tests.logs import logging_restored
from tests.toy_algorithm import Behaviour


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """All that is logged, in the form that the test asks for."""
    stream = io.StringIO()
    with logging_restored():
        set_up_logging("DEBUG", request.param, stream)
        yield stream


async def bad_days(sandbox: Sandbox, service: Service, user: SandboxUser, patch: pytest.MonkeyPatch) -> None:
    """A dialogue, and everything that can go wrong with a token near it."""
    bot, token = service.bot, sandbox.token
    # Broken connections and error pages, of methods and of files, whose addresses hold the token.
    for kind in ("drop", "error", "bad_gateway", "lost_answer"):
        for method in ("sendMessage", "getFile", "file"):
            sandbox.faults.add(kind, method, 1)
        sent = await user.send_document(picture(form="PNG"), "a.png", "image/png")
        await user.wait_for(after(sent, lambda message: bool(message["from_bot"])), 30)
        await user.send_text("/start")
        sandbox.faults.clear()
    sandbox.faults.error("file", 50)
    sent = await user.send_document(picture(form="PNG"), "a.png", "image/png")
    await user.wait_for(after(sent, says("could not fetch the picture")), 40)
    sandbox.faults.clear()

    # A handler that fails with the token in its error, in its cause and in its locals.
    def broken(*_: Any) -> str:
        address = f"https://api.telegram.org/bot{token}/getMe"
        try:
            raise aiohttp.InvalidURL(address)
        except aiohttp.InvalidURL as error:
            raise LookupError(f"cannot reach {address.replace(':AA', '%3AAA')}") from error

    with patch.context() as patched:
        patched.setattr("handlers.user.commands.help_text", broken)
        sent = await user.send_text("/help")
        await user.wait_for(after(sent, says("Something went wrong")))
        await sandbox.user(ADMIN_ID).wait_for(says("LookupError"))
    # Telegram no longer knows the token.
    with patch.context() as patched:
        patched.setattr(sandbox._api, "_token", "1:another")
        with pytest.raises(TelegramUnauthorizedError) as refused:
            await bot.get_me()
        logging.getLogger("test").error("refused", exc_info=refused.value)
        await user.send_text("/start")
        await asyncio.sleep(0.2)
    # A worker that dies, and a run that fails.
    await choose(user)
    album = await user.send_album([picture(), picture()])
    await user.wait_for(after(album[0], has_button("job:again")), 30)


async def answers_to_strangers(service: Service) -> str:
    """What the webhook says to whoever has no secret, or nothing to say with it."""
    token, told = str(service.settings.bot_token), ""
    unreadable = {"update_id": 5, "message": {"message_id": "none", "text": token}}
    async with aiohttp.ClientSession() as session:
        for secret in ("", token, service.settings.secret):
            for body in ("{", json.dumps([token]), json.dumps(unreadable)):
                headers = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": secret}
                async with session.post(str(service.url), data=body, headers=headers) as response:
                    told += f"{response.status} {response.headers} {await response.text()}\n"
    return told


async def private_pages(service: Service) -> str:
    """What the private port says to whoever asks."""
    told = ""
    async with aiohttp.ClientSession() as session:
        for page in ("healthz", "readyz", "metrics"):
            async with session.get(f"{service.private_url}/{page}") as response:
                told += f"{response.headers} {await response.text()}\n"
    return told


@pytest.mark.parametrize("log", ["text", "json"], indirect=True)
async def test_the_token_is_nowhere(
    log: io.StringIO,
    tmp_path: Path,
    behave: Behave,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    behave(Behaviour.KILL)
    # As many tries as ever, with hardly a wait between them.
    for pauses_s in ("handlers.inbox.FETCH_PAUSES_S", "handlers.retries.PAUSES_S"):
        monkeypatch.setattr(pauses_s, [0.01] * len(resolve_name(pauses_s)))
    async with Sandbox() as sandbox:
        admin, user = sandbox.user(ADMIN_ID), sandbox.user()
        for person in (admin, user):
            await person.send_text("/start")
        async with bot_in(sandbox, tmp_path, admin_id=ADMIN_ID, metrics_port=0) as service:
            await admin.wait_for(says("The bot has started"))
            await bad_days(sandbox, service, user, monkeypatch)
            strangers = await answers_to_strangers(service)
            await admin.wait_for(says("WorkerLostError"))
            private = await private_pages(service)
            secret = service.settings.secret
        messages = " ".join(words(message) for person in (admin, user) for message in person.messages)
    output = "".join(capfd.readouterr())
    places = {
        "log": log.getvalue(),
        "messages": messages,
        "answers": strangers,
        "output": output,
        "private port": private,
    }
    places["files"] = (await asyncio.to_thread(contents, tmp_path)).decode("latin-1")
    # All of it was looked at: each of the troubles left its mark.
    for mark in ("a request is repeated", "LookupError", "InvalidURL", "Unauthorized", "a worker was lost", "<token>"):
        assert mark in places["log"], mark
    assert "LookupError" in messages
    assert 'bot_worker_restarts_total{reason="died"}' in private
    assert "401" in strangers
    assert "500" not in strangers
    for place, text in places.items():
        for hidden in (sandbox.token.partition(":")[2], secret):
            assert hidden not in text, place
    assert not any(map(is_result, user.messages))
