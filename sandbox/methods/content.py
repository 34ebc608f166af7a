"""What a message says, read from a call: text or caption with entities, photo or document, reply, keyboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.body import Upload
from sandbox.entities import check_entities, parse_html, trimmed, utf16_length
from sandbox.errors import bad_request
from sandbox.files import StoredFile
from sandbox.methods.table import ARRAY, FLAG, INTEGER, OBJECT, TEXT
from sandbox.parameters import Call, Parameter, check_fields, text
from sandbox.pictures import DimensionsError, UndecodableError
from sandbox.state import Message, Person, World, text_content

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_PHOTO_BYTES = 10 * 1024 * 1024
MAX_DOCUMENT_BYTES = 50 * 1024 * 1024

_CAPTION = {"caption": TEXT, "parse_mode": TEXT, "caption_entities": ARRAY, "show_caption_above_media": FLAG}
MEDIA_SPECS = {
    "photo": {
        "type": TEXT,
        "media": Parameter(text, "media not found"),
        "has_spoiler": FLAG,
        **_CAPTION,
    },
    "document": {
        "type": TEXT,
        "media": Parameter(text, "media not found"),
        "thumbnail": TEXT,
        "disable_content_type_detection": FLAG,
        **_CAPTION,
    },
}
_REPLY = {
    "message_id": INTEGER,
    "chat_id": INTEGER,
    "allow_sending_without_reply": FLAG,
    "quote": TEXT,
    "quote_parse_mode": TEXT,
    "quote_entities": ARRAY,
    "quote_position": INTEGER,
}
_LINK_PREVIEW = {
    "is_disabled": FLAG,
    "url": TEXT,
    "prefer_small_media": FLAG,
    "prefer_large_media": FLAG,
    "show_above_text": FLAG,
}


def link_preview(name: str, value: Any) -> dict[str, Any]:
    """Read link_preview_options; the sandbox shows no previews."""
    return check_fields("LinkPreviewOptions", OBJECT.read(name, value), _LINK_PREVIEW)


def read_text(source: Mapping[str, Any]) -> Message:
    """Return the fields of a message's text; raise ApiError where it is empty or longer than 4096 UTF-16 units."""
    content = _formatted("text", "entities", source)
    if not content:
        raise bad_request("message text is empty")
    if utf16_length(content["text"]) > MAX_TEXT:
        raise bad_request("message is too long")
    return content


def read_caption(source: Mapping[str, Any]) -> Message:
    """Return the fields of a caption, {} where there is none."""
    content = _formatted("caption", "caption_entities", source)
    if utf16_length(content.get("caption", "")) > MAX_CAPTION:
        raise bad_request("message caption is too long")
    if content and source.get("show_caption_above_media"):
        content["show_caption_above_media"] = True
    return content


def _formatted(name: str, entities_name: str, source: Mapping[str, Any]) -> Message:
    given = source.get(name, "")
    parse_mode = source.get("parse_mode", "")
    if parse_mode.lower() == "html":
        plain, entities = parse_html(given)
    elif parse_mode:
        # The real server also reads Markdown; the house writes HTML only.
        raise bad_request("unsupported parse_mode")
    else:
        plain, entities = given, check_entities(source.get(entities_name, []), given)
    return text_content(name, *trimmed(plain, entities))


async def read_photo(world: World, call: Call, reference: str) -> StoredFile:
    """Return the photo that a call sends, encoded anew where it is uploaded."""
    upload = _upload(call, reference)
    if upload is None:
        return _known(world, reference, "photo")
    if len(upload.data) > MAX_PHOTO_BYTES:
        raise bad_request(f"file of size {len(upload.data)} bytes is too big for a photo; the maximum size is 10485760")
    if not upload.data:
        raise bad_request("file must be non-empty")
    try:
        return await world.files.add_photo(upload.data)
    except UndecodableError as error:
        raise bad_request("IMAGE_PROCESS_FAILED") from error
    except DimensionsError as error:
        raise bad_request("PHOTO_INVALID_DIMENSIONS") from error


async def read_document(world: World, call: Call, reference: str) -> StoredFile:
    """Return the document that a call sends. A GIF stays a document here; the real server makes an animation of it."""
    upload = _upload(call, reference)
    if upload is None:
        return _known(world, reference, "document")
    if len(upload.data) > MAX_DOCUMENT_BYTES:
        raise bad_request(
            f"file of size {len(upload.data)} bytes is too big for a document; the maximum size is 52428800"
        )
    if not upload.data:
        raise bad_request("file must be non-empty")
    return await world.files.add_document(upload.data, upload.file_name, upload.mime_type)


def _upload(call: Call, reference: str) -> Upload | None:
    return call.uploads.get(reference.removeprefix("attach://")) if reference.startswith("attach://") else None


def _known(world: World, reference: str, kind: str) -> StoredFile:
    if reference.startswith(("http://", "https://")):
        # The real server would fetch it; the sandbox asks nothing of the network.
        raise bad_request("failed to get HTTP URL content")
    file = world.files.get(reference)
    if file is None:
        raise bad_request("wrong file identifier/HTTP URL specified")
    if file.kind != kind:
        raise bad_request(f"can't use file of type {file.kind.title()} as {kind.title()}")
    return file.family[-1] if file.family else file


async def read_media(world: World, call: Call, person: Person, given: Any, where: str) -> Message:
    """Return the content of one InputMedia: its file and its caption."""
    if not isinstance(given, dict) or given.get("type") not in MEDIA_SPECS:
        raise bad_request(f"can't parse {where}: only media of type photo and document are known here")
    media = check_fields(f"{where} of type {given['type']}", given, MEDIA_SPECS[given["type"]])
    caption = read_caption(media)
    if media["type"] == "photo":
        return photo_content(world, person, await read_photo(world, call, media["media"]), media) | caption
    return document_content(world, person, await read_document(world, call, media["media"])) | caption


def photo_content(world: World, person: Person, file: StoredFile, source: Mapping[str, Any]) -> Message:
    world.show(person, [file])
    spoiler = {"has_media_spoiler": True} if source.get("has_spoiler") else {}
    return {"photo": [size.describe() for size in file.family], **spoiler}


def document_content(world: World, person: Person, file: StoredFile) -> Message:
    world.show(person, [file])
    return {"document": file.describe()}


def read_reply(person: Person, source: Mapping[str, Any]) -> Message:
    """Return reply_to_message for reply_parameters; raise ApiError where that message is not in the chat."""
    if "reply_parameters" not in source:
        return {}
    reply = check_fields("ReplyParameters", source["reply_parameters"], _REPLY)
    if reply.get("chat_id", person.id) != person.id:
        raise bad_request("chat not found")
    entry = person.entries.get(reply.get("message_id", 0))
    if entry is None:
        if reply.get("allow_sending_without_reply"):
            return {}
        raise bad_request("message to be replied not found")
    said = str(entry.message.get("text") or entry.message.get("caption") or "")
    if reply.get("quote", "") not in said:
        raise bad_request("QUOTE_TEXT_INVALID")
    return {"reply_to_message": {k: v for k, v in entry.message.items() if k != "reply_to_message"}}
