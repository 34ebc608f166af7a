"""Methods that change or remove what the bot has sent, and the answer to a pressed button.

Leaving reply_markup out removes the keyboard, as with the real server. Telegram's limit of 48 hours has no meaning in a
chat that lives as long as its process.
"""

from __future__ import annotations

from typing import Any

from sandbox.entities import utf16_length
from sandbox.errors import bad_request
from sandbox.markup import inline_markup
from sandbox.methods.content import link_preview, read_caption, read_media, read_text
from sandbox.methods.table import ARRAY, CHAT_ID, FLAG, INTEGER, MESSAGE_ID, TEXT, api_method
from sandbox.parameters import Call, Parameter, json_object, text
from sandbox.state import Entry, Message, Person, World

MAX_ANSWER = 200
_TARGET = {"chat_id": CHAT_ID, "message_id": MESSAGE_ID, "reply_markup": Parameter(inline_markup)}
_MEDIA = ("photo", "document", "has_media_spoiler")
_CAPTION = ("caption", "caption_entities", "show_caption_above_media")


@api_method(
    **_TARGET,
    text=Parameter(text, "message text is empty"),
    parse_mode=TEXT,
    entities=ARRAY,
    link_preview_options=Parameter(link_preview),
)
async def edit_message_text(world: World, call: Call) -> object:
    person, entry = _own_message(world, call)
    if "text" not in entry.message:
        raise bad_request("there is no text in the message to edit")
    return _edit(world, call, person, entry, read_text(call.parameters))


@api_method(**_TARGET, caption=TEXT, parse_mode=TEXT, caption_entities=ARRAY, show_caption_above_media=FLAG)
async def edit_message_caption(world: World, call: Call) -> object:
    person, entry = _own_message(world, call)
    if not any(kind in entry.message for kind in _MEDIA):
        raise bad_request("there is no caption in the message to edit")
    return _edit(world, call, person, entry, _only(entry.message, _MEDIA) | read_caption(call.parameters))


@api_method(**_TARGET, media=Parameter(json_object, "there is no media in the request"))
async def edit_message_media(world: World, call: Call) -> object:
    """A text message may become a photo or a document; never the other way round."""
    person, entry = _own_message(world, call)
    kind = call.parameters["media"].get("type")
    if "media_group_id" in entry.message and kind not in entry.message:
        raise bad_request("message can't be edited: the type of a message in an album can't be changed")
    content = await read_media(world, call, person, call.parameters["media"], "InputMedia")
    # The message may have been deleted, or the bot blocked, while a picture was being encoded.
    person, entry = _own_message(world, call)
    return _edit(world, call, person, entry, content)


@api_method(**_TARGET)
async def edit_message_reply_markup(world: World, call: Call) -> object:
    person, entry = _own_message(world, call)
    return _edit(world, call, person, entry, _only(entry.message, ("text", "entities", *_MEDIA, *_CAPTION)))


@api_method(chat_id=CHAT_ID, message_id=MESSAGE_ID)
async def delete_message(world: World, call: Call) -> object:
    """In a private chat the bot may delete its own messages and the user's."""
    person = world.chat(call.parameters["chat_id"])
    if call.parameters["message_id"] not in person.entries:
        raise bad_request("message to delete not found")
    world.delete(person, call.parameters["message_id"])
    return True


@api_method(
    callback_query_id=Parameter(text, "query is too old and response timeout expired or query ID is invalid"),
    text=TEXT,
    show_alert=FLAG,
    url=TEXT,
    cache_time=INTEGER,
)
async def answer_callback_query(world: World, call: Call) -> object:
    given = call.get("text") or ""
    if utf16_length(given) > MAX_ANSWER:
        raise bad_request("MESSAGE_TOO_LONG")
    if call.get("url"):
        raise bad_request("URL_INVALID")
    answer: dict[str, Any] = {"text": given, "show_alert": bool(call.get("show_alert"))}
    world.answer(call.parameters["callback_query_id"], answer)
    return True


def _own_message(world: World, call: Call) -> tuple[Person, Entry]:
    person = world.chat(call.parameters["chat_id"])
    entry = person.entries.get(call.parameters["message_id"])
    if entry is None:
        raise bad_request("message to edit not found")
    if not entry.from_bot:
        raise bad_request("message can't be edited")
    return person, entry


def _edit(world: World, call: Call, person: Person, entry: Entry, content: Message) -> Message:
    markup = call.get("reply_markup")
    if markup and "media_group_id" in entry.message:
        raise bad_request("message can't be edited: messages of an album have no keyboard")
    return world.edit(person, entry, content | ({"reply_markup": markup} if markup else {}))


def _only(message: Message, names: tuple[str, ...]) -> Message:
    return {name: message[name] for name in names if name in message}


METHODS = (
    edit_message_text,
    edit_message_caption,
    edit_message_media,
    edit_message_reply_markup,
    delete_message,
    answer_callback_query,
)
