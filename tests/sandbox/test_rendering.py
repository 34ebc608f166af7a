"""Safe HTML from entities."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.entities import parse_html, with_found
from sandbox.rendering import to_html

LINK = ' target="_blank" rel="noopener noreferrer"'


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("<b>a</b> <i>b</i> <u>c</u> <s>d</s>", "<b>a</b> <i>b</i> <u>c</u> <s>d</s>"),
        ("<b>x<i>y</i>z</b>", "<b>x<i>y</i>z</b>"),
        ("😀 <b>é😀</b> end", "😀 <b>é😀</b> end"),
        ("<code>a &lt; b</code>", "<code>a &lt; b</code>"),
        ("<pre>a\nb</pre>", "<pre>a\nb</pre>"),
        ("<tg-spoiler>x</tg-spoiler>", '<span class="spoiler">x</span>'),
        ("<blockquote>q</blockquote>", "<blockquote>q</blockquote>"),
        ('<a href="https://a.org/?x=&quot;&amp;y">l</a>', f'<a href="https://a.org/?x=&quot;&amp;y"{LINK}>l</a>'),
        ("see https://a.org/x", f'see <a href="https://a.org/x"{LINK}>https://a.org/x</a>'),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<b>a</b>", "<b>a</b>"),
        ("/start now", "/start now"),
    ],
)
def test_entities_become_html(source: str, shown: str) -> None:
    text, entities = parse_html(source)
    assert to_html(text, with_found(text, entities)) == shown


def test_overlapping_entities_are_nested() -> None:
    entities: list[dict[str, Any]] = [
        {"type": "bold", "offset": 0, "length": 2},
        {"type": "italic", "offset": 1, "length": 2},
    ]
    assert to_html("abc", entities) == "<b>a<i>b</i></b><i>c</i>"


def test_a_dangerous_address_is_no_link() -> None:
    entities = [{"type": "text_link", "offset": 0, "length": 1, "url": "javascript://a.org/%0aalert(1)"}]
    assert to_html("x", entities) == "x"
