"""Whether Telegram is there for the bot, as it says itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from bot_init import create_bot
from reporting import readiness
from reporting.readiness import Telegram
from sandbox.server import Sandbox
from tests.bots import settings_for

URL = "http://127.0.0.1:9/webhook"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.retries.PAUSES_S", ())
    monkeypatch.setattr(readiness, "TELEGRAM_BAD_FOR_S", -1.0)


async def test_the_webhook_is_looked_at_and_what_is_good_is_remembered(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        bot = create_bot(settings_for(sandbox, tmp_path))
        by_webhook, by_polling = Telegram(bot, URL), Telegram(bot, "")
        assert await by_webhook() == "its webhook is not WEBHOOK_URL"
        assert await by_polling() is None
        await bot.set_webhook(URL)
        assert await by_webhook() is None
        assert await Telegram(bot, "")() == "a webhook is set, so there is no polling"
        assert await Telegram(bot, None)() is None
        asked = len(sandbox.requests)
        sandbox.faults.error("getWebhookInfo")
        assert await by_webhook() is None
        assert len(sandbox.requests) == asked
        await bot.session.close()


@pytest.mark.parametrize(
    ("fault", "words"), [("error", "it cannot be asked"), ("silence", "it does not answer within 0.2 s")]
)
async def test_a_telegram_in_trouble_is_asked_again_at_the_next_look(
    tmp_path: Path, fault: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "TELEGRAM_TIMEOUT_S", 0.2)
    async with Sandbox() as sandbox:
        bot = create_bot(settings_for(sandbox, tmp_path))
        telegram = Telegram(bot, None)
        sandbox.faults.add(fault, "getWebhookInfo", 1, 0.5)
        assert (await telegram() or "").startswith(words)
        assert await telegram() is None
        await bot.session.close()


@dataclass
class Slots:
    """A pool of so many slots, of which as many workers are alive as there are pids."""

    slots: int
    alive: tuple[int, ...]
    free: int = 0

    def pids(self) -> tuple[int, ...]:
        return self.alive


@pytest.mark.parametrize(
    ("pool", "everywhere", "missing"),
    [
        (Slots(2, (7, 8)), 2, None),
        (Slots(2, (7,)), 2, None),
        (Slots(2, ()), 2, "none of 2 is alive"),
        (Slots(0, ()), 3, None),
        (Slots(0, ()), 0, "there are none: POOL_SIZE is 0 here, and no other process has slots"),
    ],
)
async def test_workers_are_missing_where_none_lives_here_or_elsewhere(
    pool: Slots, everywhere: int, missing: str | None
) -> None:
    assert await readiness.workers(pool, lambda: everywhere)() == missing


async def test_a_token_that_was_revoked_is_said(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        bot = create_bot(settings_for(sandbox, tmp_path, bot_token="777:" + "B" * 35))
        assert await Telegram(bot, None)() == "it refuses BOT_TOKEN"
        await bot.session.close()
