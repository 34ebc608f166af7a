"""Methods about the bot itself and about files: getMe, commands, descriptions, menu button, getFile."""

from __future__ import annotations

import re
from typing import Any

from sandbox.entities import utf16_length
from sandbox.errors import bad_request
from sandbox.methods.table import INTEGER, OBJECT, TEXT, Method, api_method
from sandbox.parameters import Call, Parameter, check_fields, integer, json_array, text
from sandbox.profile import BOT_FIRST_NAME, DEFAULT_SCOPE
from sandbox.state import Event, World

MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024
MAX_COMMANDS = 100
TEXT_LIMITS = {"name": 64, "description": 512, "short_description": 120}
_CHAT = Parameter(integer, "chat_id is empty")
_SCOPES = {
    "default": {},
    "all_private_chats": {},
    "all_group_chats": {},
    "all_chat_administrators": {},
    "chat": {"chat_id": _CHAT},
    "chat_administrators": {"chat_id": _CHAT},
    "chat_member": {"chat_id": _CHAT, "user_id": Parameter(integer, "user_id is empty")},
}
_COMMAND = {"command": Parameter(text, "BOT_COMMAND_INVALID"), "description": Parameter(text, "BOT_COMMAND_INVALID")}
_MENU_BUTTONS = {"default": {}, "commands": {}, "web_app": {"text": TEXT, "web_app": OBJECT}}


def language_code(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"(?:[a-z]{2})?", value):
        raise bad_request("invalid language code specified")
    return value


def command_scope(name: str, value: Any) -> dict[str, Any]:
    given = OBJECT.read(name, value)
    if given.get("type") not in _SCOPES:
        raise bad_request("can't parse BotCommandScope: unsupported type specified")
    return check_fields("BotCommandScope", given, {"type": TEXT, **_SCOPES[given["type"]]})


_LANGUAGE = Parameter(language_code)
_SCOPE = Parameter(command_scope)


@api_method()
async def get_me(world: World, call: Call) -> object:
    return world.bot | {
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


@api_method(file_id=Parameter(text, "file_id not specified"))
async def get_file(world: World, call: Call) -> object:
    file = world.files.get(call.parameters["file_id"])
    if file is None:
        raise bad_request("invalid file_id")
    if len(file.data) > MAX_DOWNLOAD_BYTES:
        raise bad_request("file is too big")
    return {
        "file_id": file.file_id,
        "file_unique_id": file.unique_id,
        "file_size": len(file.data),
        "file_path": file.path,
    }


@api_method(commands=Parameter(json_array, "commands are not specified"), scope=_SCOPE, language_code=_LANGUAGE)
async def set_my_commands(world: World, call: Call) -> object:
    if len(call.parameters["commands"]) > MAX_COMMANDS:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    commands = []
    for given in call.parameters["commands"]:
        if not isinstance(given, dict):
            raise bad_request("can't parse BotCommand: expected an Object")
        command = check_fields("BotCommand", given, _COMMAND)
        if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= utf16_length(command["description"]) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        commands.append(command)
    world.profile.set_commands(call.get("scope") or DEFAULT_SCOPE, call.get("language_code") or "", commands)
    _tell_watchers(world)
    return True


@api_method(scope=_SCOPE, language_code=_LANGUAGE)
async def get_my_commands(world: World, call: Call) -> object:
    return world.profile.get_commands(call.get("scope") or DEFAULT_SCOPE, call.get("language_code") or "")


@api_method(scope=_SCOPE, language_code=_LANGUAGE)
async def delete_my_commands(world: World, call: Call) -> object:
    world.profile.set_commands(call.get("scope") or DEFAULT_SCOPE, call.get("language_code") or "", [])
    _tell_watchers(world)
    return True


@api_method(chat_id=INTEGER, menu_button=OBJECT)
async def set_chat_menu_button(world: World, call: Call) -> object:
    given = call.get("menu_button") or {"type": "default"}
    if given.get("type") not in _MENU_BUTTONS:
        raise bad_request("can't parse menu button: unsupported type specified")
    button = check_fields("MenuButton", given, {"type": TEXT, **_MENU_BUTTONS[given["type"]]})
    if chat_id := call.get("chat_id"):
        world.chat(chat_id)
    world.profile.menu_buttons[chat_id or 0] = button
    return True


@api_method(chat_id=INTEGER)
async def get_chat_menu_button(world: World, call: Call) -> object:
    buttons = world.profile.menu_buttons
    return buttons.get(call.get("chat_id") or 0) or buttons.get(0, {"type": "commands"})


def _text_methods(name: str) -> tuple[Method, Method]:
    """Make the pair that sets and gets one of the bot's texts."""

    async def set_text(world: World, call: Call) -> object:
        given = call.get(name) or ""
        if utf16_length(given) > TEXT_LIMITS[name]:
            raise bad_request(f"{name.replace('_', ' ')} is too long")
        world.profile.texts[name, call.get("language_code") or ""] = given
        if name == "name" and not call.get("language_code"):
            world.bot["first_name"] = given or BOT_FIRST_NAME
        _tell_watchers(world)
        return True

    async def get_text(world: World, call: Call) -> object:
        found = world.profile.text(name, call.get("language_code") or "")
        return {name: found or (world.bot["first_name"] if name == "name" else "")}

    title = name.title().replace("_", "")
    setter = Method(f"setMy{title}", {name: TEXT, "language_code": _LANGUAGE}, set_text)
    return setter, Method(f"getMy{title}", {"language_code": _LANGUAGE}, get_text)


def _tell_watchers(world: World) -> None:
    for person in world.people.values():
        world.emit(person, Event("bot"))


METHODS = (
    get_me,
    get_file,
    set_my_commands,
    get_my_commands,
    delete_my_commands,
    set_chat_menu_button,
    get_chat_menu_button,
    *(method for name in TEXT_LIMITS for method in _text_methods(name)),
)
