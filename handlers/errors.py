"""What a handler raised: a sentence for the user, a notice for the admin, nothing lost."""

from __future__ import annotations

from typing import Any

import structlog
from aiogram import Bot, Router
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.exceptions import AiogramError, TelegramForbiddenError
from aiogram.filters import ExceptionTypeFilter
from aiogram.types import ErrorEvent

from handlers.answers import refuse
from handlers.desk import Person
from locales.catalogue import Say
from processing.job import UnknownJobError
from processing.store import StoreError
from reporting.notices import Notices

log = structlog.get_logger(__name__)


async def not_stored(event: ErrorEvent, notices: Notices) -> Any:
    """The database failed: the update is not acknowledged, so that Telegram sends it again."""
    log.error("an update could not be stored", update_id=event.update.update_id, exc_info=event.exception)
    await notices.error(event.exception, where="database")
    return UNHANDLED


async def unknown_job(event: ErrorEvent, say: Say) -> None:
    """A button of a job that is gone, or of somebody else's."""
    if event.update.callback_query:
        await refuse(event.update.callback_query, say("button.not_yours"))


async def blocked(event: ErrorEvent) -> None:
    """The user blocked the bot while it was answering: there is nobody to tell."""
    log.info("the user has blocked the bot")


async def unexpected(
    event: ErrorEvent, notices: Notices, bot: Bot, say: Say | None = None, person: Person | None = None
) -> None:
    log.error("a handler failed", update_id=event.update.update_id, exc_info=event.exception)
    if say and person:
        try:
            await bot.send_message(person.chat_id, say("errors.unexpected"))
        except AiogramError as error:
            log.warning("an error could not be told", reason=type(error).__name__)
    await notices.error(event.exception, where=f"update {event.update.update_id} ({event.update.event_type})")


def create_errors_router() -> Router:
    router = Router(name="errors")
    router.errors.register(not_stored, ExceptionTypeFilter(StoreError))
    router.errors.register(unknown_job, ExceptionTypeFilter(UnknownJobError))
    router.errors.register(blocked, ExceptionTypeFilter(TelegramForbiddenError))
    router.errors.register(unexpected)
    return router
