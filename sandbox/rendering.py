"""A message as the chat page shows it, its text as safe HTML."""

from __future__ import annotations

import html
from typing import Any

from sandbox.entities import Entity, slice_utf16, utf16_length
from sandbox.state import Entry

_TAGS = {
    "bold": ("<b>", "</b>"),
    "italic": ("<i>", "</i>"),
    "underline": ("<u>", "</u>"),
    "strikethrough": ("<s>", "</s>"),
    "code": ("<code>", "</code>"),
    "pre": ("<pre>", "</pre>"),
    "spoiler": ('<span class="spoiler">', "</span>"),
    "blockquote": ("<blockquote>", "</blockquote>"),
    "expandable_blockquote": ("<blockquote>", "</blockquote>"),
}


def to_html(text: str, entities: list[Entity]) -> str:
    """Return HTML of b, i, u, s, code, pre, a, span and blockquote only; everything else is escaped."""
    length = utf16_length(text)
    marks = [(entity, _tags(entity, text)) for entity in entities]
    shown = [(entity["offset"], entity["offset"] + entity["length"], tags) for entity, tags in marks if tags]
    edges = sorted({0, length, *(edge for start, end, _ in shown for edge in (start, end))})
    pieces: list[str] = []
    # Open marks in the order they were opened; where they overlap, inner ones are closed and opened again.
    stack: list[tuple[int, int, tuple[str, str]]] = []
    for at, after in zip(edges, [*edges[1:], length], strict=True):
        while any(mark[1] <= at for mark in stack):
            pieces.append(stack.pop()[2][1])
        for mark in shown:
            if mark[0] <= at < mark[1] and mark not in stack:
                stack.append(mark)
                pieces.append(mark[2][0])
        pieces.append(html.escape(slice_utf16(text, at, after - at)))
    return "".join(pieces)


def _tags(entity: Entity, text: str) -> tuple[str, str] | None:
    if entity["type"] in {"url", "text_link"}:
        address = entity.get("url") or slice_utf16(text, entity["offset"], entity["length"])
        if "://" not in address:
            address = f"http://{address}"
        if not address.startswith(("http://", "https://", "tg://")):
            return None
        return f'<a href="{html.escape(address)}" target="_blank" rel="noopener noreferrer">', "</a>"
    return _TAGS.get(entity["type"])


def render(user_id: int, entry: Entry) -> dict[str, Any]:
    """Return the message for the page."""
    message = entry.message
    text = message.get("text", message.get("caption", ""))
    entities: list[Entity] = message.get("entities") or message.get("caption_entities") or []
    return {
        "message_id": message["message_id"],
        "date": message["date"],
        "from_bot": entry.from_bot,
        "caption" if "caption" in message else "text": text or _name_of(message),
        "html": to_html(text, entities) if text else html.escape(_name_of(message)),
        "photo": _photo(user_id, message),
        "document": _document(user_id, message),
        "media_group_id": message.get("media_group_id"),
        "reply_to_message_id": message.get("reply_to_message", {}).get("message_id"),
        "buttons": _buttons(message),
        "edited": entry.edits > 0,
    }


def _photo(user_id: int, message: dict[str, Any]) -> dict[str, Any] | None:
    if "photo" not in message:
        return None
    size = message["photo"][-1]
    return {
        "url": f"/chat/{user_id}/files/{size['file_id']}",
        "width": size["width"],
        "height": size["height"],
    }


def _document(user_id: int, message: dict[str, Any]) -> dict[str, Any] | None:
    document = message.get("document")
    if document is None:
        return None
    return {
        "url": f"/chat/{user_id}/files/{document['file_id']}",
        "file_name": document["file_name"],
        "file_size": document["file_size"],
        "mime_type": document["mime_type"],
    }


def _buttons(message: dict[str, Any]) -> list[list[dict[str, Any]]] | None:
    rows = message.get("reply_markup", {}).get("inline_keyboard")
    if rows is None:
        return None
    return [[_button(button) for button in row] for row in rows]


def _button(button: dict[str, Any]) -> dict[str, Any]:
    shown = {"text": button["text"]}
    if "callback_data" in button:
        shown["data"] = button["callback_data"]
    if "url" in button:
        shown["url"] = button["url"]
    return shown


def _name_of(message: dict[str, Any]) -> str:
    """Name what the page has no picture for."""
    names = {"video": "Video", "sticker": "Sticker", "voice": "Voice message", "location": "Location"}
    return next((f"[{name}]" for kind, name in names.items() if kind in message), "")
