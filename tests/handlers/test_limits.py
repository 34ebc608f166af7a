"""Who sends too fast is told so once, and everybody else notices nothing."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiogram.types import Update

from handlers import limits
from handlers.desk import Person
from handlers.limits import BURST, SILENCE_S, UpdateLimit
from locales.catalogue import Catalogue
from sandbox.server import Sandbox
from tests.bots import bot_in
from tests.chat import Behave, has_button, picture, says
from tests.waiting import until

SAY = partial(Catalogue().say, "en")


class Gate:
    """The limit, a clock, and a handler that counts what passes."""

    def __init__(self, per_minute: float = 120) -> None:
        self.now = 0.0
        self.limit = UpdateLimit(per_minute, clock=lambda: self.now)
        self.passed: list[int] = []
        self.sent: list[str] = []
        self.error: Exception | None = None

    async def send_message(self, chat_id: int, text: str) -> None:
        self.sent.append(text)

    async def handle(self, event: Any, data: dict[str, Any]) -> str:
        if self.error:
            raise self.error
        self.passed.append(data["person"].user_id)
        return "handled"

    async def send(self, user_id: int = 1, times: int = 1) -> int:
        """Return how many of them passed."""
        before = len(self.passed)
        user = {"id": user_id, "is_bot": False, "first_name": "Ann"}
        chat = {"id": user_id, "type": "private"}
        message = {"message_id": 1, "date": 0, "chat": chat, "from": user, "text": "x"}
        update = Update.model_validate({"update_id": 1, "message": message})
        assert update.message
        for _ in range(times):
            data = {
                "person": Person(user_id, user_id, "en"),
                "event_chat": update.message.chat,
                "say": SAY,
                "bot": self,
            }
            await self.limit(self.handle, update, data)
        return len(self.passed) - before


async def test_a_burst_passes_then_the_rate_and_after_a_pause_a_burst_again() -> None:
    gate = Gate()
    assert await gate.send(times=BURST + 20) == BURST
    gate.now += 10
    assert await gate.send(times=30) == 20
    gate.now += 1e6
    assert await gate.send(times=BURST + 1) == BURST


async def test_albums_and_fast_fingers_pass() -> None:
    gate = Gate()
    for _ in range(5):
        assert await gate.send(times=10) == 10
        gate.now += 1
    # Six presses a second for ten seconds, after half a minute's look at the result.
    gate.now += 30
    for _ in range(60):
        assert await gate.send() == 1
        gate.now += 1 / 6
    assert gate.sent == []


async def test_it_is_said_once_and_again_after_a_while() -> None:
    gate = Gate(per_minute=1)
    await gate.send(times=BURST + 50)
    assert len(gate.sent) == 1
    assert gate.sent[0].startswith("You are sending faster than I can follow")
    gate.now += SILENCE_S
    await gate.send(times=50)
    assert len(gate.sent) == 2


async def test_nobody_waits_for_somebody_else() -> None:
    gate = Gate()
    await gate.send(1, BURST + 1)
    assert await gate.send(2, BURST) == BURST


async def test_an_update_that_fails_and_comes_again_costs_nothing() -> None:
    gate = Gate()
    gate.error = OSError("the disk is full")
    for _ in range(2 * BURST):
        with pytest.raises(OSError, match="full"):
            await gate.send()
    gate.error = None
    assert await gate.send(times=BURST) == BURST


async def test_a_million_users_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_USERS", 100)
    gate = Gate()
    await gate.send(1, BURST)
    for user_id in range(2, 101):
        await gate.send(user_id)
    assert await gate.send(1) == 0
    for user_id in range(200, 300):
        await gate.send(user_id)
    assert len(gate.limit._buckets) == 100
    assert await gate.send(1) == 1


async def test_over_http_the_flood_is_acknowledged_and_unanswered(
    tmp_path: Path, behave: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox() as sandbox, bot_in(sandbox, tmp_path, user_updates_per_minute=1) as service:
        fast, other = sandbox.user(language_code="ru"), sandbox.user()
        for _ in range(BURST):
            await fast.send_text("/help")
        last = await fast.send_text("/start")
        await fast.wait_for(says("Вы присылаете быстрее"), 30)
        for _ in range(20):
            await fast.send_text("/start")
            await fast.send_photo(picture())
        query = await fast.press_raw(last["message_id"], "menu:help")
        await until(lambda: sandbox.pending_updates == 0)
        await asyncio.sleep(0.2)
        assert not [answer for answer in fast._person.answers if answer["callback_query_id"] == query]
        answers = [message for message in fast.messages if message["from_bot"]]
        assert len(answers) == BURST + 1
        assert sandbox.pushes.redeliveries == 0
        monkeypatch.setattr(limits, "SILENCE_S", 0)
        query = await fast.press_raw(last["message_id"], "menu:help")
        window = await fast.wait_for_answer(query)
        assert window["show_alert"]
        assert window["text"].startswith("Вы присылаете быстрее")
        assert await service.store.dialogues_with("draft") == []
        await other.send_text("/start")
        await other.wait_for(has_button("menu:help"))
