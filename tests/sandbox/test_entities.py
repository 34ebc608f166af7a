"""Telegram's HTML, with offsets in UTF-16 units."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import MessageEntity

from sandbox.entities import parse_html, utf16_length
from sandbox.errors import ApiError
from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import refusal


def entity(kind: str, offset: int, length: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "offset": offset, "length": length, **more}


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("<b>a</b><i>b</i>", "ab", [entity("bold", 0, 1), entity("italic", 1, 1)]),
        ("<strong>a</strong> <em>b</em>", "a b", [entity("bold", 0, 1), entity("italic", 2, 1)]),
        ("<u>a</u><ins>b</ins>", "ab", [entity("underline", 0, 1), entity("underline", 1, 1)]),
        ("<s>a</s><del>b</del>", "ab", [entity("strikethrough", 0, 1), entity("strikethrough", 1, 1)]),
        ("😀<b>é😀</b>", "😀é😀", [entity("bold", 2, 3)]),
        ("<b>x<i>y</i></b>", "xy", [entity("bold", 0, 2), entity("italic", 1, 1)]),
        ('<a href="https://a.org/?b=1&amp;c=2">x</a>', "x", [entity("text_link", 0, 1, url="https://a.org/?b=1&c=2")]),
        ("<a href='not an address'>x</a>", "x", []),
        ('<span class="tg-spoiler">a</span>', "a", [entity("spoiler", 0, 1)]),
        ("<tg-spoiler>a</tg-spoiler>", "a", [entity("spoiler", 0, 1)]),
        ("<code>a &lt; b</code>", "a < b", [entity("code", 0, 5)]),
        ('<pre><code class="language-py">x</code></pre>', "x", [entity("pre", 0, 1, language="py")]),
        ("<code><b>x</b></code>", "x", [entity("code", 0, 1)]),
        ("<blockquote>q</blockquote>", "q", [entity("blockquote", 0, 1)]),
        ("<blockquote expandable>q</blockquote>", "q", [entity("expandable_blockquote", 0, 1)]),
        ("<b></b>x", "x", []),
        ("&lt;b&gt; &amp;amp; &quot;&#65;&#x42;", '<b> &amp; "AB', []),
        ("fish & chips &copy; 2", "fish & chips &copy; 2", []),
        ("a > b", "a > b", []),
    ],
)
def test_html_becomes_text_and_entities(source: str, text: str, entities: list[dict[str, Any]]) -> None:
    assert parse_html(source) == (text, entities)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("é</b>", "Unexpected end tag at byte offset 2"),
        ("<h1>x</h1>", 'Unsupported start tag "h1" at byte offset 0'),
        ("1 < 2 and", 'Unsupported start tag "" at byte offset 2'),
        ("x <b", "Unclosed start tag at byte offset 2"),
        ("<a href=", 'Unclosed start tag "a" at byte offset 0'),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ("<br/>", 'Unsupported start tag "br/" at byte offset 0'),
    ],
)
def test_bad_html_is_refused_as_the_real_server_does(source: str, problem: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_html(source)
    assert caught.value.description == f"Bad Request: can't parse entities: {problem}"


def test_length_counts_utf16_units() -> None:
    assert utf16_length("aé😀") == 4


async def test_a_message_carries_its_entities(bot: Bot, user: SandboxUser) -> None:
    message = await bot.send_message(user.id, "  😀 <b>bold</b> and /help at https://a.org/x.  ", parse_mode="HTML")
    assert message.text == "😀 bold and /help at https://a.org/x."
    assert [(each.type, each.extract_from(message.text)) for each in message.entities or []] == [
        ("bold", "bold"),
        ("bot_command", "/help"),
        ("url", "https://a.org/x"),
    ]


async def test_without_parse_mode_tags_are_text(bot: Bot, user: SandboxUser) -> None:
    message = await bot.send_message(user.id, "<b>x")
    assert (message.text, message.entities) == ("<b>x", None)


async def test_bad_html_is_refused_over_the_wire(bot: Bot, user: SandboxUser) -> None:
    with pytest.raises(TelegramBadRequest, match="can't parse entities"):
        await bot.send_message(user.id, "<b>x", parse_mode="HTML")
    with pytest.raises(TelegramBadRequest, match="unsupported parse_mode"):
        await bot.send_message(user.id, "x", parse_mode="Markdown")


LINK_TO_NOWHERE = {"type": "text_link", "offset": 0, "length": 1, "url": "not an address"}


async def test_given_entities_are_checked(sandbox: Sandbox, bot: Bot, user: SandboxUser) -> None:
    message = await bot.send_message(user.id, "😀ab", entities=[MessageEntity(type="bold", offset=2, length=2)])
    assert message.entities is not None
    assert message.entities[0].extract_from("😀ab") == "ab"
    for wrong in (
        {"type": "bold", "offset": 2, "length": 3},
        {"type": "loud", "offset": 0, "length": 1},
        7,
        LINK_TO_NOWHERE,
    ):
        body = {"chat_id": user.id, "text": "😀ab", "entities": [wrong]}
        assert "can't parse MessageEntity" in await refusal(sandbox, "sendMessage", body)
