"""Inline keyboards, as strict as the real ones."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import call, refusal


def body(user: SandboxUser, *buttons: Any) -> dict[str, Any]:
    return {"chat_id": user.id, "text": "x", "reply_markup": {"inline_keyboard": [list(buttons)]}}


@pytest.mark.parametrize(
    ("button", "problem"),
    [
        ({"text": "a", "callback_data": ""}, "BUTTON_DATA_INVALID"),
        ({"text": "a", "callback_data": "x" * 65}, "BUTTON_DATA_INVALID"),
        ({"text": "a", "callback_data": "é" * 33}, "BUTTON_DATA_INVALID"),
        ({"text": "", "callback_data": "x"}, "must be non-empty"),
        ({"callback_data": "x"}, "must be non-empty"),
        ({"text": "a"}, "Text buttons are unallowed in the inline keyboard"),
        ({"text": "a", "callback_data": "x", "url": "https://a.org"}, "exactly one action"),
        ({"text": "a", "callback_data": "x", "colour": "red"}, "unknown field 'colour'"),
        ({"text": "a", "callback_data": "x", "style": "loud"}, "style must be one of"),
        ({"text": "a", "url": "javascript:alert(1)"}, "is invalid: Wrong HTTP URL"),
        ("a", "an object is expected"),
    ],
)
async def test_a_bad_button_is_refused(sandbox: Sandbox, user: SandboxUser, button: Any, problem: str) -> None:
    description = await refusal(sandbox, "sendMessage", body(user, button))
    assert description.startswith("Bad Request: ")
    assert problem in description


@pytest.mark.parametrize(
    "button",
    [
        {"text": "a", "callback_data": "x" * 64},
        {"text": "a", "callback_data": "é" * 32, "style": "danger"},
        {"text": "a", "url": "https://a.org/x"},
        {"text": "a", "switch_inline_query": ""},
    ],
)
async def test_a_good_button_is_kept(sandbox: Sandbox, user: SandboxUser, button: Any) -> None:
    status, answer = await call(sandbox, "sendMessage", body(user, button))
    assert status == 200
    assert answer["result"]["reply_markup"] == {"inline_keyboard": [[button]]}


@pytest.mark.parametrize(
    "markup",
    [
        {"inline_keyboard": {}},
        {"inline_keyboard": ["a"]},
        {"inline_keyboard": [""]},
        {"inline_keyboard": [5]},
        {"inline_keyboard": [], "resize_keyboard": True},
        {"inline_keyboard": [[{"text": "a", "callback_data": "x"}]] * 101},
        {"keyboard": [[{"text": ""}]]},
        {"keyboard": "a"},
        {"something": 1},
    ],
)
async def test_a_bad_keyboard_is_refused(sandbox: Sandbox, user: SandboxUser, markup: Any) -> None:
    await refusal(sandbox, "sendMessage", {"chat_id": user.id, "text": "x", "reply_markup": markup})
    assert len(user.messages) == 1


async def test_an_edit_takes_inline_keyboards_only(sandbox: Sandbox, user: SandboxUser) -> None:
    _, sent = await call(sandbox, "sendMessage", {"chat_id": user.id, "text": "x"})
    target = {"chat_id": user.id, "message_id": sent["result"]["message_id"], "reply_markup": {"force_reply": True}}
    assert "inline keyboard markup" in await refusal(sandbox, "editMessageReplyMarkup", target)


async def test_an_empty_keyboard_is_none(sandbox: Sandbox, user: SandboxUser) -> None:
    _, sent = await call(
        sandbox, "sendMessage", {"chat_id": user.id, "text": "x", "reply_markup": {"inline_keyboard": []}}
    )
    assert "reply_markup" not in sent["result"]
