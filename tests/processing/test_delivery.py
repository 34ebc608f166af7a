"""What ends a job and what is tried again, against a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramConflictError, TelegramEntityTooLarge, TelegramNotFound
from aiogram.methods import SendPhoto

from bot_init import create_bot
from locales.catalogue import Catalogue
from processing.delivery import TelegramDelivery
from processing.folders import JobFolders
from processing.job import Failure, Job, NotYetError, Outcome, RefusedError
from processing.status_message import StatusMessages
from processing.store import Store
from reporting.notices import Notices
from sandbox.server import Sandbox, SandboxUser
from tests.bots import ADMIN_ID, settings_for
from tests.chat import buttons, picture, words
from tests.processing.conftest import NewJobs

REVOKED = "99999:AAAA-a-token-that-nobody-knows-any-more-here"

MakeDelivery = Callable[[Bot], TelegramDelivery]


@pytest.fixture
async def user(sandbox: Sandbox) -> SandboxUser:
    user = sandbox.user(1001)
    await user.send_text("/start")
    return user


@pytest.fixture
def make_delivery(store: Store, tmp_path: Path) -> MakeDelivery:
    def make(bot: Bot) -> TelegramDelivery:
        catalogue = Catalogue()
        messages = StatusMessages(bot, store, catalogue)
        return TelegramDelivery(bot, messages, catalogue, JobFolders(tmp_path), Notices(bot, ADMIN_ID))

    return make


@pytest.fixture
async def painted(store: Store, new_job: NewJobs, tmp_path: Path) -> Job:
    job, _ = await store.add(new_job(1), queue_limit=1, user_queue_limit=1)
    await store.take_next()
    folders = JobFolders(tmp_path)
    folders.create(job.id)
    folders.photo(job.id).write_bytes(picture())
    folders.picture(job.id).write_bytes(picture(form="PNG"))
    return await store.mark_painted(job.id, Outcome(90, 60, 1.0, "toy"))


@asynccontextmanager
async def bot_with(sandbox: Sandbox, tmp_path: Path, token: str) -> AsyncIterator[Bot]:
    bot = create_bot(replace(settings_for(sandbox, tmp_path), bot_token=token))
    try:
        yield bot
    finally:
        await bot.session.close()


async def test_the_picture_is_sent_with_its_caption_and_buttons(
    bot: Bot, make_delivery: MakeDelivery, painted: Job, user: SandboxUser
) -> None:
    assert await make_delivery(bot).deliver(painted)
    message = user.messages[-1]
    assert "photo" in message
    assert "90×60" in words(message)
    assert any(data.startswith("job:file") for data in buttons(message))


async def test_a_revoked_token_ends_no_job(
    sandbox: Sandbox, tmp_path: Path, make_delivery: MakeDelivery, painted: Job, user: SandboxUser
) -> None:
    async with bot_with(sandbox, tmp_path, REVOKED) as bot:
        delivery = make_delivery(bot)
        with pytest.raises(NotYetError):
            await delivery.deliver(painted)
        with pytest.raises(NotYetError):
            await delivery.tell_failure(replace(painted, failure=Failure("timeout", {"limit_s": 1})))
    assert len(user.messages) == 1


@pytest.mark.parametrize("kind", [TelegramNotFound, TelegramConflictError])
async def test_what_is_said_of_the_bot_ends_no_job(
    bot: Bot,
    make_delivery: MakeDelivery,
    painted: Job,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[TelegramNotFound | TelegramConflictError],
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise kind(method=SendPhoto(chat_id=1, photo="x"), message="refused")

    monkeypatch.setattr(Bot, "send_photo", refuse)
    with pytest.raises(NotYetError):
        await make_delivery(bot).deliver(painted)


async def test_a_chat_that_is_gone_is_reached_by_neither_photo_nor_file(
    sandbox: Sandbox, bot: Bot, make_delivery: MakeDelivery, painted: Job
) -> None:
    assert not await make_delivery(bot).deliver(replace(painted, chat_id=777))
    assert [call.method for call in sandbox.requests] == ["sendPhoto"]


async def test_a_user_who_blocked_the_bot_is_not_reached(
    bot: Bot, make_delivery: MakeDelivery, painted: Job, user: SandboxUser
) -> None:
    await user.block()
    delivery = make_delivery(bot)
    assert not await delivery.deliver(painted)
    assert not await delivery.tell_failure(replace(painted, failure=Failure("failed", {})))


async def test_a_flood_limit_that_is_too_long_to_wait_here_is_passed_on_with_its_seconds(
    sandbox: Sandbox, bot: Bot, make_delivery: MakeDelivery, painted: Job, user: SandboxUser
) -> None:
    sandbox.faults.flood("sendPhoto", retry_after=120)
    with pytest.raises(NotYetError) as caught:
        await make_delivery(bot).deliver(painted)
    assert caught.value.wait_s == 120


@pytest.mark.parametrize("kind", ["error", "bad_gateway", "drop", "half", "silence"])
async def test_what_passes_is_waited_out_and_the_picture_comes_once(
    sandbox: Sandbox,
    bot: Bot,
    make_delivery: MakeDelivery,
    painted: Job,
    user: SandboxUser,
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("handlers.retries.PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(bot.session, "timeout", 0.5)
    # As large as a photo may be: half of it is on its way when the connection breaks.
    JobFolders(tmp_path).photo(painted.id).write_bytes(picture(900, 600) + bytes(8_000_000))
    delivery = make_delivery(bot)
    sandbox.faults.add(kind, "sendPhoto", 3, 0.6)
    with pytest.raises(NotYetError):
        await delivery.deliver(painted)
    sandbox.faults.add(kind, "sendPhoto", 2, 0.6)
    assert await delivery.deliver(painted)
    assert ["photo" in message for message in user.messages] == [False, True]


async def test_what_is_refused_as_a_photo_and_as_a_file_is_refused_for_good(
    bot: Bot,
    make_delivery: MakeDelivery,
    painted: Job,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    async def too_large(*_: object, **__: object) -> None:
        tried.append("photo")
        raise TelegramEntityTooLarge(method=SendPhoto(chat_id=1, photo="x"), message="Request Entity Too Large")

    async def refuse(*_: object, **__: object) -> None:
        tried.append("document")
        raise TelegramBadRequest(method=SendPhoto(chat_id=1, photo="x"), message="file is too big")

    monkeypatch.setattr(Bot, "send_photo", too_large)
    monkeypatch.setattr(Bot, "send_document", refuse)
    with pytest.raises(RefusedError, match="too big"):
        await make_delivery(bot).deliver(painted)
    assert tried == ["photo", "document"]


async def test_a_picture_refused_as_a_photo_comes_as_a_file(
    bot: Bot, make_delivery: MakeDelivery, painted: Job, user: SandboxUser, tmp_path: Path
) -> None:
    JobFolders(tmp_path).photo(painted.id).write_bytes(picture(2100, 10))
    assert await make_delivery(bot).deliver(painted)
    assert "document" in user.messages[-1]
