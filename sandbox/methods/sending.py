"""Methods that put something into a chat."""

from __future__ import annotations

import secrets

from sandbox.errors import bad_request
from sandbox.markup import any_markup
from sandbox.methods.content import (
    document_content,
    link_preview,
    photo_content,
    read_caption,
    read_document,
    read_media,
    read_photo,
    read_reply,
    read_text,
)
from sandbox.methods.table import ARRAY, CHAT_ID, FLAG, OBJECT, TEXT, api_method
from sandbox.parameters import Call, Parameter, json_array, text
from sandbox.state import Event, Message, Person, World

_COMMON = {
    "chat_id": CHAT_ID,
    "disable_notification": FLAG,
    "protect_content": FLAG,
    "message_effect_id": TEXT,
    "reply_parameters": OBJECT,
}
_MARKUP = {"reply_markup": Parameter(any_markup)}
_CAPTION = {
    "caption": TEXT,
    "parse_mode": TEXT,
    "caption_entities": ARRAY,
}
ACTIONS = frozenset(
    {
        "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
        "choose_sticker", "find_location", "record_video_note", "upload_video_note",
    }
)  # fmt: skip
ALBUM_SIZES = range(2, 11)


@api_method(
    **_COMMON,
    **_MARKUP,
    text=Parameter(text, "message text is empty"),
    parse_mode=TEXT,
    entities=ARRAY,
    link_preview_options=Parameter(link_preview),
)
async def send_message(world: World, call: Call) -> object:
    person = world.chat(call.parameters["chat_id"])
    return _post(world, call, person, read_text(call.parameters))


@api_method(
    **_COMMON,
    **_MARKUP,
    **_CAPTION,
    photo=Parameter(text, "there is no photo in the request"),
    show_caption_above_media=FLAG,
    has_spoiler=FLAG,
)
async def send_photo(world: World, call: Call) -> object:
    person, caption = world.chat(call.parameters["chat_id"]), read_caption(call.parameters)
    file = await read_photo(world, call, call.parameters["photo"])
    return _post(world, call, person, photo_content(world, person, file, call.parameters) | caption)


@api_method(
    **_COMMON,
    **_MARKUP,
    **_CAPTION,
    document=Parameter(text, "there is no document in the request"),
    thumbnail=TEXT,
    disable_content_type_detection=FLAG,
)
async def send_document(world: World, call: Call) -> object:
    """The sandbox makes its own thumbnail; a given one is taken and left unused."""
    person, caption = world.chat(call.parameters["chat_id"]), read_caption(call.parameters)
    file = await read_document(world, call, call.parameters["document"])
    return _post(world, call, person, document_content(world, person, file) | caption)


@api_method(**_COMMON, media=Parameter(json_array, "there is no media in the request"))
async def send_media_group(world: World, call: Call) -> object:
    person = world.chat(call.parameters["chat_id"])
    media = call.parameters["media"]
    if len(media) not in ALBUM_SIZES:
        raise bad_request("expected an Array of 2-10 InputMedia")
    if len({str(each.get("type")) for each in media if isinstance(each, dict)}) > 1:
        raise bad_request("document can't be mixed with other media types")
    contents = [await read_media(world, call, person, each, "InputMedia") for each in media]
    reply = read_reply(person, call.parameters)
    world.chat(person.id)
    group = {"media_group_id": str(secrets.randbits(53))}
    return [world.post(person, reply | group | content, from_bot=True) for content in contents]


@api_method(chat_id=CHAT_ID, action=Parameter(text, "wrong parameter action in request"))
async def send_chat_action(world: World, call: Call) -> object:
    person = world.chat(call.parameters["chat_id"])
    action = call.parameters["action"]
    if action not in ACTIONS:
        raise bad_request("wrong parameter action in request")
    person.actions.append(action)
    world.emit(person, Event("action", details={"action": action}))
    return True


def _post(world: World, call: Call, person: Person, content: Message) -> Message:
    # The user may have blocked the bot while a picture was being encoded.
    world.chat(person.id)
    markup = call.get("reply_markup")
    return world.post(
        person,
        read_reply(person, call.parameters) | content | ({"reply_markup": markup} if markup else {}),
        from_bot=True,
    )


METHODS = (send_message, send_photo, send_document, send_media_group, send_chat_action)
