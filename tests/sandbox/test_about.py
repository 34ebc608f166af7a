"""The bot's own texts and commands, and files."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramEntityTooLarge
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BufferedInputFile,
    MenuButtonCommands,
)

from sandbox.files import FileStore
from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import call, picture, refusal


async def test_commands_by_scope_and_language(bot: Bot) -> None:
    await bot.set_my_commands([BotCommand(command="start", description="Begin")])
    await bot.set_my_commands([BotCommand(command="start", description="Начать")], language_code="ru")
    await bot.set_my_commands([BotCommand(command="jobs", description="Jobs")], scope=BotCommandScopeChat(chat_id=7))
    assert [each.description for each in await bot.get_my_commands()] == ["Begin"]
    assert [each.description for each in await bot.get_my_commands(language_code="ru")] == ["Начать"]
    assert [each.command for each in await bot.get_my_commands(scope=BotCommandScopeChat(chat_id=7))] == ["jobs"]
    assert await bot.get_my_commands(scope=BotCommandScopeAllPrivateChats()) == []
    await bot.delete_my_commands(language_code="ru")
    assert await bot.get_my_commands(language_code="ru") == []


@pytest.mark.parametrize(
    ("commands", "problem"),
    [
        ([{"command": "Start", "description": "x"}], "BOT_COMMAND_INVALID"),
        ([{"command": "/start", "description": "x"}], "BOT_COMMAND_INVALID"),
        ([{"command": "x" * 33, "description": "x"}], "BOT_COMMAND_INVALID"),
        ([{"command": "start", "description": ""}], "BOT_COMMAND_DESCRIPTION_INVALID"),
        ([{"command": "start", "description": "x" * 257}], "BOT_COMMAND_DESCRIPTION_INVALID"),
        ([{"command": "start", "description": "x"}] * 101, "BOT_COMMANDS_TOO_MUCH"),
        (["start"], "expected an Object"),
    ],
)
async def test_bad_commands_are_refused(sandbox: Sandbox, commands: Any, problem: str) -> None:
    assert problem in await refusal(sandbox, "setMyCommands", {"commands": commands})


@pytest.mark.parametrize(
    "more", [{"language_code": "russian"}, {"scope": {"type": "everyone"}}, {"scope": {"type": "chat"}}]
)
async def test_bad_scopes_and_languages_are_refused(sandbox: Sandbox, more: dict[str, Any]) -> None:
    await refusal(sandbox, "setMyCommands", {"commands": [], **more})


async def test_texts_by_language(bot: Bot) -> None:
    await bot.set_my_name("Painter")
    await bot.set_my_description("Paints")
    await bot.set_my_description("Рисует", language_code="ru")
    await bot.set_my_short_description("P")
    assert (await bot.get_me()).first_name == "Painter"
    assert (await bot.get_my_name()).name == "Painter"
    assert (await bot.get_my_description()).description == "Paints"
    assert (await bot.get_my_description(language_code="ru")).description == "Рисует"
    assert (await bot.get_my_description(language_code="de")).description == "Paints"
    assert (await bot.get_my_short_description()).short_description == "P"


async def test_texts_are_bounded(bot: Bot) -> None:
    for too_long in (
        bot.set_my_name("x" * 65),
        bot.set_my_description("x" * 513),
        bot.set_my_short_description("x" * 121),
    ):
        with pytest.raises(TelegramBadRequest, match="is too long"):
            await too_long


async def test_the_menu_button(sandbox: Sandbox, bot: Bot) -> None:
    assert await bot.set_chat_menu_button(menu_button=MenuButtonCommands())
    assert isinstance(await bot.get_chat_menu_button(), MenuButtonCommands)
    assert "menu button" in await refusal(sandbox, "setChatMenuButton", {"menu_button": {"type": "big"}})


async def test_a_file_is_downloaded_as_it_was_sent(bot: Bot, user: SandboxUser) -> None:
    data = picture(300, 200, "PNG")
    message = await user.send_document(data, "a.png", "image/png")
    file = await bot.get_file(message["document"]["file_id"])
    assert (file.file_size, file.file_unique_id) == (len(data), message["document"]["file_unique_id"])
    assert file.file_path is not None
    downloaded = await bot.download_file(file.file_path)
    assert downloaded is not None
    assert downloaded.read() == data


async def test_files_over_20_mb_are_not_given(bot: Bot, user: SandboxUser) -> None:
    limit = 20 * 1024 * 1024
    fits = await user.send_document(b"0" * limit, "a.bin")
    assert (await bot.get_file(fits["document"]["file_id"])).file_size == limit
    larger = await user.send_document(b"0" * (limit + 1), "a.bin")
    # aiogram knows this error by its HTTP status only, which the real server does not send either.
    with pytest.raises(TelegramBadRequest, match="file is too big") as caught:
        await bot.get_file(larger["document"]["file_id"])
    assert not isinstance(caught.value, TelegramEntityTooLarge)


async def test_wrong_files_are_refused(sandbox: Sandbox, bot: Bot) -> None:
    with pytest.raises(TelegramBadRequest, match="invalid file_id"):
        await bot.get_file("nonsense")
    session = await bot.session.create_session()  # type: ignore[attr-defined]
    for path, status in ((f"bot{sandbox.token}/photos/none.jpg", 404), ("bot1:wrong/photos/file_1.jpg", 401)):
        async with session.get(f"{sandbox.url}/file/{path}") as response:
            assert response.status == status


async def test_a_photo_by_a_bot_can_be_downloaded(bot: Bot, user: SandboxUser) -> None:
    message = await bot.send_photo(user.id, BufferedInputFile(picture(40, 30), "a.jpg"))
    assert message.photo is not None
    downloaded = await bot.download(message.photo[-1])
    assert downloaded is not None
    assert downloaded.read() == user.file(message.photo[-1].file_id)


async def test_the_store_forgets_the_oldest_files() -> None:
    store = FileStore(limit_bytes=250)
    first, second, third = [store.add("document", bytes(100), {}, "") for _ in range(3)]
    assert store.get(first.file_id) is None
    assert store.at_path(first.path) is None
    assert store.get(second.file_id) is second
    assert store.at_path(third.path) is third
    assert store.total_bytes == 200


async def test_get_me_takes_no_parameters(sandbox: Sandbox) -> None:
    status, answer = await call(sandbox, "getMe", {})
    assert status == 200
    assert answer["result"]["username"].endswith("bot")
