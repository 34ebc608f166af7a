"""Logs and notices: the token nowhere, the ids in every line, an error told once."""

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest
import structlog
from aiogram import Bot
from aiogram.exceptions import TelegramForbiddenError
from aiogram.methods import SendMessage

from reporting import notices as notices_module
from reporting.logs import redact, set_up_logging
from reporting.notices import COUNTED_ERRORS, QUIET_S, REMEMBERED_ERRORS, Notices
from tests.logs import logging_restored

TOKEN = "123456789:" + "AbC-_9" * 6


@pytest.fixture
def _restored_logging() -> Iterator[None]:
    with logging_restored():
        yield


def leak() -> None:
    raise RuntimeError(f"cannot get https://api.example.org/file/bot{TOKEN}/photos/1.jpg")


@pytest.mark.usefixtures("_restored_logging")
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_token_is_in_no_line_of_either_form(form: str) -> None:
    stream = io.StringIO()
    set_up_logging("DEBUG", form, stream)
    try:
        leak()
    except RuntimeError as error:
        structlog.get_logger("ours").exception("went wrong", address=f"bot{TOKEN}", error=error)
        logging.getLogger("theirs").exception("also %s", TOKEN)
    text = stream.getvalue()
    assert "cannot get" in text
    assert "RuntimeError" in text
    assert TOKEN.split(":")[1] not in text
    assert redact(TOKEN) == "<token>"
    assert redact(f"/bot{TOKEN.replace(':', '%3a')}/x") == "/bot<token>/x"


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_token_is_not_in_the_last_words_of_the_process(form: str) -> None:
    code = f"from reporting.logs import set_up_logging; set_up_logging('INFO', '{form}'); raise ValueError('x{TOKEN}')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "ValueError: x<token>" in done.stderr
    assert TOKEN.split(":")[1] not in done.stderr + done.stdout


@pytest.mark.usefixtures("_restored_logging")
def test_json_lines_carry_the_bound_ids_for_our_loggers_and_others() -> None:
    stream = io.StringIO()
    set_up_logging("INFO", "json", stream)
    with structlog.contextvars.bound_contextvars(update_id=7, user_id=8, job_id=9):
        structlog.get_logger("ours").info("a", more=1)
        logging.getLogger("theirs").warning("b")
    structlog.get_logger("ours").debug("not at this level")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["update_id"], line["user_id"], line["job_id"]) for line in lines] == [
        ("a", 7, 8, 9),
        ("b", 7, 8, 9),
    ]
    assert lines[0]["more"] == 1
    assert lines[0]["logger"] == "ours"


class Outbox:
    """Stands in for the bot at the one method that notices use."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[str] = []
        self.error = error

    async def send_message(self, chat_id: int, text: str) -> None:
        if self.error:
            raise self.error
        assert chat_id == 42
        self.sent.append(text)


def caught(function: Any) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("it did not raise")


def other() -> None:
    raise ValueError("<other>")


async def test_the_same_error_is_told_once_in_ten_minutes_and_then_with_its_count() -> None:
    outbox, now = Outbox(), [0.0]
    notices = Notices(cast(Bot, outbox), 42, clock=lambda: now[0])
    for _ in range(5):
        await notices.error(caught(leak), job_id=3)
    await notices.error(caught(other))
    assert len(outbox.sent) == 2
    assert "in job 3" in outbox.sent[0]
    assert "RuntimeError" in outbox.sent[0]
    assert "&lt;other&gt;" in outbox.sent[1]
    assert TOKEN not in "".join(outbox.sent)
    now[0] = QUIET_S
    await notices.error(caught(leak), job_id=4)
    assert "4 more of this kind" in outbox.sent[2]


async def test_what_was_held_back_is_told_when_the_ten_minutes_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices_module, "QUIET_S", 0.3)
    outbox = Outbox()
    notices = Notices(cast(Bot, outbox), 42)
    for _ in range(4):
        await notices.error(caught(leak))
    await notices.error(caught(other))
    await asyncio.sleep(0.1)
    assert len(outbox.sent) == 2
    await asyncio.sleep(0.4)
    assert re.fullmatch(r"⚠ 3 more of RuntimeError at test_reporting\.py:\d+", outbox.sent[2])
    # The count was a notice too, so the error is still held back, and counted from one.
    await notices.error(caught(leak))
    await asyncio.sleep(0.5)
    assert len(outbox.sent) == 4
    assert outbox.sent[3].startswith("⚠ 1 more of RuntimeError")
    assert notices._counting
    assert notices._counting.done()


async def test_what_is_held_back_when_the_bot_stops_is_told_then() -> None:
    outbox = Outbox()
    notices = Notices(cast(Bot, outbox), 42)
    for _ in range(3):
        await notices.error(caught(leak))
    await notices.stopped()
    assert len(outbox.sent) == 2
    assert re.search(r"stopping\.\n⚠ 2 more of RuntimeError at test_reporting\.py:\d+$", outbox.sent[1])


async def test_counts_of_many_kinds_fit_into_a_message() -> None:
    outbox = Outbox()
    notices = Notices(cast(Bot, outbox), 42)
    for number in range(REMEMBERED_ERRORS):
        for _ in range(2):
            await notices.error(type("E" * 60 + str(number), (Exception,), {})("<x>"))
    await notices.stopped()
    assert outbox.sent[-1].count("1 more of EEE") == COUNTED_ERRORS
    assert f"{REMEMBERED_ERRORS - COUNTED_ERRORS} more of other kinds" in outbox.sent[-1]
    assert len(outbox.sent[-1]) <= 4096


async def test_a_long_traceback_fits_into_a_message() -> None:
    def deep(level: int = 0) -> None:
        if level == 60:
            raise RuntimeError("&" * 5000)
        deep(level + 1)

    outbox = Outbox()
    await Notices(cast(Bot, outbox), 42).error(caught(deep))
    assert "RuntimeError" in outbox.sent[0] or "…" in outbox.sent[0]
    # Telegram counts after the entities are parsed.
    assert len(outbox.sent[0].replace("&amp;", "&")) <= 4096


async def test_nobody_is_told_without_an_admin_and_a_blocked_notice_harms_nothing() -> None:
    silent = Outbox()
    await Notices(cast(Bot, silent), None).started("x")
    assert silent.sent == []
    blocked = TelegramForbiddenError(method=SendMessage(chat_id=1, text="x"), message="blocked")
    await Notices(cast(Bot, Outbox(blocked)), 42).stopped()


async def test_a_notice_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Outbox):
        async def send_message(self, chat_id: int, text: str) -> None:
            await asyncio.sleep(60)

    monkeypatch.setattr(notices_module, "SEND_TIMEOUT_S", 0.05)
    await asyncio.wait_for(Notices(cast(Bot, Hanging()), 42).error(caught(leak)), 5.0)


async def test_errors_at_the_same_time_are_one_notice() -> None:
    outbox = Outbox()
    notices = Notices(cast(Bot, outbox), 42)
    await asyncio.gather(*(notices.error(caught(leak)) for _ in range(10)))
    assert len(outbox.sent) == 1
