"""Formatted text: Telegram's HTML read into text and entities, with offsets in UTF-16 units as the Bot API counts."""

from __future__ import annotations

import html
import re
from typing import Any

from sandbox.errors import bad_request

Entity = dict[str, Any]

_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "a": "text_link",
}
ENTITY_TYPES = frozenset(_TAGS.values()) | {
    "mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number",
    "expandable_blockquote", "text_mention", "custom_emoji",
}  # fmt: skip
_PIECE = re.compile(r"[^<&]+|&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|lt|gt|amp|quot);|&|<")
_NAME = re.compile(r"<([^\s>]*)")
_ATTRIBUTE = re.compile(r"""\s+([^\s=>"']+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>"']+))?""")
_FOUND = re.compile(
    r"(?P<url>https?://[^\s<>\"]*[^\s<>\".,;:!?)])"
    r"|(?<![\w/])(?P<bot_command>/[A-Za-z0-9_]{1,64}(?:@\w{3,32})?)(?!\w)"
    r"|(?<![\w@])(?P<mention>@[A-Za-z]\w{3,31})(?!\w)"
)


def utf16_length(text: str) -> int:
    """Length of a text as Telegram counts it."""
    return len(text) + sum(character > "\uffff" for character in text)


def parse_html(source: str) -> tuple[str, list[Entity]]:
    """Return the text and its entities; raise ApiError "can't parse entities" where the real server does.

    Like the real server it takes only &lt; &gt; &amp; &quot; and numeric references for such, and leaves a lone & as it
    is. Custom emoji are not known here.
    """
    pieces: list[str] = []
    entities: list[Entity] = []
    open_tags: list[tuple[str, Entity]] = []
    at = offset = 0
    while at < len(source):
        if source[at] != "<":
            match = _PIECE.match(source, at)
            assert match  # noqa: S101 - one of the alternatives takes any character
            piece = html.unescape(match[0]) if match[0].endswith(";") and match[0][0] == "&" else match[0]
            pieces.append(piece)
            offset += utf16_length(piece)
            at = match.end()
        elif source.startswith("</", at):
            at = _close_tag(source, at, offset, open_tags, entities, pieces)
        else:
            at, tag, entity = _open_tag(source, at)
            entity["offset"] = offset
            open_tags.append((tag, entity))
    if open_tags:
        raise _error(f'Can\'t find end tag corresponding to start tag "{open_tags[-1][0]}"')
    return "".join(pieces), _merged(entities)


def _open_tag(source: str, at: int) -> tuple[int, str, Entity]:
    byte = len(source[:at].encode())
    match = _NAME.match(source, at)
    assert match  # noqa: S101 - source[at] is "<"
    tag, end = match[1].lower(), match.end()
    if end >= len(source):
        raise _error(f"Unclosed start tag at byte offset {byte}")
    if tag not in _TAGS:
        raise _error(f'Unsupported start tag "{tag}" at byte offset {byte}')
    attributes: dict[str, str] = {}
    while attribute := _ATTRIBUTE.match(source, end):
        attributes[attribute[1].lower()] = html.unescape((attribute[2] or "").strip("\"'"))
        end = attribute.end()
    while end < len(source) and source[end].isspace():
        end += 1
    if not source.startswith(">", end):
        raise _error(f'Unclosed start tag "{tag}" at byte offset {byte}')
    entity: Entity = {"type": _TAGS[tag]}
    if tag == "span" and attributes.get("class") != "tg-spoiler":
        raise _error(f'Tag "span" must have class "tg-spoiler" at byte offset {byte}')
    if tag == "a":
        entity["url"] = attributes.get("href", "")
    if tag == "blockquote" and "expandable" in attributes:
        entity["type"] = "expandable_blockquote"
    if tag == "code" and attributes.get("class", "").startswith("language-"):
        entity["language"] = attributes["class"].removeprefix("language-")
    return end + 1, tag, entity


def _close_tag(
    source: str, at: int, offset: int, open_tags: list[tuple[str, Entity]], entities: list[Entity], pieces: list[str]
) -> int:
    byte = len(source[:at].encode())
    end = source.find(">", at)
    if end < 0:
        raise _error(f"Unclosed end tag at byte offset {byte}")
    found = source[at + 2 : end].strip().lower()
    if not open_tags:
        raise _error(f"Unexpected end tag at byte offset {byte}")
    tag, entity = open_tags.pop()
    if found and found != tag:
        raise _error(f'Unmatched end tag at byte offset {byte}, expected "</{tag}>", found "</{found}>"')
    entity["length"] = offset - entity["offset"]
    if entity.get("url") == "":
        entity["url"] = slice_utf16("".join(pieces), entity["offset"], entity["length"])
    if entity["length"] and (tag != "a" or is_url(entity["url"])):
        entities.append(entity)
    return end + 1


def _merged(entities: list[Entity]) -> list[Entity]:
    """Sort; join <pre><code class="language-…"> into one; drop what lies inside code or inside its own kind."""
    kept: list[Entity] = []
    # They come in the order of their end tags: of two with the same extent the later is the outer one.
    outer_first = list(reversed(entities))
    outer_first.sort(key=lambda each: (each["offset"], -each["length"]))
    for entity in outer_first:
        outer = [each for each in kept if each["offset"] + each["length"] >= entity["offset"] + entity["length"]]
        verbatim = next((each for each in outer if each["type"] in {"pre", "code"}), None)
        if verbatim is not None:
            same = (verbatim["offset"], verbatim["length"]) == (entity["offset"], entity["length"])
            if same and verbatim["type"] == "pre" and "language" in entity:
                verbatim["language"] = entity["language"]
        elif not any(each["type"] == entity["type"] for each in outer):
            kept.append(entity)
    for entity in kept:
        if entity["type"] == "code":
            entity.pop("language", None)
    return kept


def check_entities(entities: list[Any], text: str) -> list[Entity]:
    """Return entities given by the caller; stricter than the real server, which mends offsets in silence."""
    length = utf16_length(text)
    for entity in entities:
        if not isinstance(entity, dict) or entity.get("type") not in ENTITY_TYPES:
            raise bad_request(f"can't parse MessageEntity: unknown entity {entity!r}")
        start, size = entity.get("offset"), entity.get("length")
        if not isinstance(start, int) or not isinstance(size, int) or start < 0 or size < 1 or start + size > length:
            raise bad_request(f"can't parse MessageEntity: {start}+{size} is outside of the text of {length}")
        if entity["type"] == "text_link" and not is_url(str(entity.get("url"))):
            raise bad_request("can't parse MessageEntity: a text_link needs a url")
    return sorted(entities, key=lambda each: (each["offset"], -each["length"]))


def trimmed(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """Drop white space around the text, as the server does, and move the entities along."""
    lead = utf16_length(text) - utf16_length(text.lstrip())
    text = text.strip()
    length = utf16_length(text)
    moved = []
    for entity in entities:
        start = max(entity["offset"] - lead, 0)
        end = min(entity["offset"] - lead + entity["length"], length)
        if end > start:
            moved.append({**entity, "offset": start, "length": end - start})
    return text, moved


def with_found(text: str, entities: list[Entity]) -> list[Entity]:
    """Add the addresses, commands and mentions that the server finds by itself outside of other links and code."""
    taken = [each for each in entities if each["type"] in {"code", "pre", "text_link"}]
    found = []
    for match in _FOUND.finditer(text):
        offset, length = utf16_length(text[: match.start()]), utf16_length(match[0])
        if not any(each["offset"] < offset + length and offset < each["offset"] + each["length"] for each in taken):
            found.append({"type": match.lastgroup, "offset": offset, "length": length})
    return sorted([*entities, *found], key=lambda each: (each["offset"], -each["length"]))


def slice_utf16(text: str, offset: int, length: int) -> str:
    return text.encode("utf-16-le")[2 * offset : 2 * (offset + length)].decode("utf-16-le", "replace")


def is_url(text: str) -> bool:
    return re.fullmatch(r"(?:https?|tg|ftp)://[^\s/?#]+\S*|[\w-]+(?:\.[\w-]+)+(?:/\S*)?", text) is not None


def _error(text: str) -> Exception:
    return bad_request(f"can't parse entities: {text}")
