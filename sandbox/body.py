"""What a call brings: fields and uploads, read from JSON, a form or multipart, bounded in size."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, web

from sandbox.errors import ApiError, bad_request

MAX_BODY_BYTES = 60 * 1024 * 1024
# More than aiohttp buffers of a connection: a smaller read can make it give back bytes by a way that it deprecates.
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A file inside a call."""

    file_name: str
    mime_type: str | None
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Body:
    """Fields as they came: text from forms, anything from JSON; uploads by the name of their part, several per name."""

    fields: dict[str, Any] = field(default_factory=dict)
    uploads: list[tuple[str, Upload]] = field(default_factory=list)


async def read_body(request: web.Request) -> Body:
    """Read the body and the query; raise ApiError 413 where it is too large and 400 where it is malformed."""
    kind = request.content_type
    body = Body(dict(request.query))
    try:
        if kind.startswith("multipart/"):
            await read_parts(await request.multipart(), body)
        elif kind == "application/json":
            given = json.loads(await request.read() or b"{}")
            if not isinstance(given, dict):
                raise bad_request("the JSON body must be an object")
            body.fields.update(given)
        else:
            form = await request.post()
            body.fields.update({name: value for name, value in form.items() if isinstance(value, str)})
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large() from error
    except (ValueError, UnicodeError) as error:
        raise bad_request(f"can't parse the request body: {error}") from error
    return body


async def read_parts(reader: MultipartReader, body: Body) -> None:
    total = 0
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise bad_request("can't parse the request body: a part has no name")
        data = bytearray()
        while chunk := await part.read_chunk(CHUNK_BYTES):
            data += chunk
            if total + len(data) > MAX_BODY_BYTES:
                raise too_large()
        total += len(data)
        if part.filename is None:
            body.fields[part.name] = data.decode()
        else:
            mime_type = part.headers.get("Content-Type")
            body.uploads.append((part.name, Upload(part.filename, mime_type, bytes(data))))


def too_large() -> ApiError:
    return ApiError(413, "Request Entity Too Large")
