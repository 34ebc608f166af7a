"""What the bot says of itself: name, descriptions, commands, menu button, per language and scope."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

BOT_FIRST_NAME = "Sandbox painter"
BOT_USERNAME = "sandbox_painter_bot"

DEFAULT_SCOPE: dict[str, Any] = {"type": "default"}


@dataclass(slots=True)
class Profile:
    """Texts by (field, language); commands by (scope, language); "" is every language without its own."""

    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    commands: dict[tuple[str, str], list[dict[str, str]]] = field(default_factory=dict)
    menu_buttons: dict[int, dict[str, Any]] = field(default_factory=dict)

    def text(self, name: str, language: str) -> str:
        """The text a user of that language sees."""
        return self.texts.get((name, language)) or self.texts.get((name, ""), "")

    def get_commands(self, scope: dict[str, Any], language: str) -> list[dict[str, str]]:
        """Exactly what was set for the scope and language, as getMyCommands answers."""
        return self.commands.get((scope_key(scope), language), [])

    def set_commands(self, scope: dict[str, Any], language: str, commands: list[dict[str, str]]) -> None:
        self.commands[scope_key(scope), language] = commands

    def commands_for(self, user_id: int, language: str) -> list[dict[str, str]]:
        """What a user's client shows in a private chat: the narrowest scope, then the language."""
        for scope in ({"type": "chat", "chat_id": user_id}, {"type": "all_private_chats"}, DEFAULT_SCOPE):
            for code in (language, ""):
                if commands := self.get_commands(scope, code):
                    return commands
        return []


def scope_key(scope: dict[str, Any]) -> str:
    return json.dumps(scope, sort_keys=True)
