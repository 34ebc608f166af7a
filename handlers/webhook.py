"""What comes to the webhook's address: read within bounds of size and time, or refused before it costs anything."""

from __future__ import annotations

import asyncio
import json
import re

import structlog
from aiogram import Bot
from aiogram.types import Update
from aiogram.types.update import UpdateTypeLookupError
from aiohttp import web
from pydantic import ValidationError

#: Telegram's longest updates, a long message that replies to another, have a tenth of it.
MAX_UPDATE_BYTES = 1024 * 1024
READ_TIMEOUT_S = 10.0
#: What a database can hold; Telegram's own numbers have 52 bits at most.
LARGEST_NUMBER = 2**63 - 1
#: How an emoji's two halves are written, and one half alone, which could not be stored or sent back.
HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")

log = structlog.get_logger(__name__)


async def read_update(request: web.Request, bot: Bot) -> Update | None:
    """Return the update in the body; None: it is one, but of a form that this program does not know.

    Such a one must be acknowledged all the same, as it would be no better the next time.

    Raises:
        HTTPRequestEntityTooLarge, HTTPRequestTimeout: the body is longer, or takes longer, than any of Telegram's.
        HTTPBadRequest: it is no update, or not all of one.
    """
    if request.content_type != "application/json":
        raise web.HTTPBadRequest(text="an update is application/json")
    if (request.content_length or 0) > MAX_UPDATE_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_UPDATE_BYTES, request.content_length or 0)
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            # A body without a length is cut off by the application's own limit.
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except ConnectionResetError:
        raise web.HTTPBadRequest(text="the body broke off") from None
    try:
        given = json.loads(body, parse_int=_number)
        if HALF_CHARACTER.search(body):
            given = json.loads(json.dumps(given, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="the body is no JSON") from None
    update_id = given.get("update_id") if isinstance(given, dict) else None
    if type(update_id) is not int or update_id < 0:
        raise web.HTTPBadRequest(text="the body is no update")
    try:
        update = Update.model_validate(given, context={"bot": bot})
        log.debug("an update comes", update_id=update_id, of=update.event_type)
    except (ValidationError, UpdateTypeLookupError, RecursionError) as error:
        # Not its text, which has the user's words.
        where = [problem["loc"] for problem in error.errors()[:3]] if isinstance(error, ValidationError) else []
        log.error("an update cannot be read", update_id=update_id, where=where)
        return None
    return update


def _number(text: str) -> int:
    number = int(text)
    if abs(number) > LARGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} digits")
    return number
