"""The bot and its dispatcher, made from the settings. No work at import."""

from __future__ import annotations

import time
from functools import partial

import structlog
from aiogram import Bot, Dispatcher
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import AiogramError
from aiogram.types import BotCommand

from config import Settings, SettingsError
from handlers.admin import create_admin_router
from handlers.desk import Desk
from handlers.errors import create_errors_router
from handlers.groups import create_groups_router
from handlers.inbox import Inbox
from handlers.middlewares import LogContext, OnlyOnce, Persons
from handlers.retries import RetryRequests
from handlers.storage import DialogueLocks, StoredDialogues
from handlers.user import create_user_router
from locales.catalogue import DEFAULT_LANGUAGE, Catalogue
from processing.download import TelegramPictures
from processing.folders import Results
from processing.pool import Pool
from processing.queue.base import JobQueue
from processing.shared.locks import SharedLocks
from processing.status_message import StatusMessages
from processing.store import Store
from reporting.logs import redact
from reporting.notices import Notices

COMMANDS = ("start", "options", "help", "cancel")

log = structlog.get_logger(__name__)


def create_bot(settings: Settings) -> Bot:
    """Return a bot that speaks HTML to the settings' Bot API server and waits out what passes."""
    if settings.bot_token is None:
        raise SettingsError("BOT_TOKEN is not set: give the text that BotFather sent, or run the sandbox")
    # A message may be deleted before it is replied to.
    defaults = DefaultBotProperties(parse_mode=ParseMode.HTML, allow_sending_without_reply=True)
    session = AiohttpSession(api=TelegramAPIServer.from_base(settings.telegram_api_url))
    session.middleware(RetryRequests())
    return Bot(settings.bot_token, session=session, default=defaults)


def create_dispatcher(
    settings: Settings,
    bot: Bot,
    *,
    store: Store,
    queue: JobQueue,
    pool: Pool,
    catalogue: Catalogue,
    pictures: TelegramPictures,
    status_messages: StatusMessages,
    results: Results,
    notices: Notices,
    locks: SharedLocks | None = None,
) -> Dispatcher:
    """Return the dispatcher; what the handlers need comes to them by name.

    Args:
        locks: those that hold among all processes, where other bots take updates too.
    """
    storage = StoredDialogues(store)
    dialogue_locks = DialogueLocks(storage, locks)
    desk = Desk(bot, queue, catalogue)
    dispatcher = Dispatcher(
        storage=storage,
        events_isolation=dialogue_locks,
        settings=settings,
        queue=queue,
        pool=pool,
        pictures=pictures,
        status_messages=status_messages,
        results=results,
        notices=notices,
        desk=desk,
        inbox=Inbox(desk, pictures, storage, dialogue_locks, notices),
        started_at=time.monotonic(),
    )
    for middleware in (LogContext(), OnlyOnce(store), Persons(catalogue)):
        dispatcher.update.outer_middleware(middleware)
    dispatcher.include_routers(
        create_errors_router(),
        create_admin_router(settings.admin_id),
        create_user_router(),
        create_groups_router(),
    )
    return dispatcher


async def introduce(bot: Bot, catalogue: Catalogue) -> None:
    """Set menu commands and descriptions in every language; a failure is logged and does not stop the start."""
    for language in catalogue.available_locales:
        say = partial(catalogue.say, language)
        code = None if language == DEFAULT_LANGUAGE else language
        commands = [BotCommand(command=name, description=say(f"command.{name}")) for name in COMMANDS]
        try:
            await bot.set_my_commands(commands, language_code=code)
            await bot.set_my_description(say("bot.description"), language_code=code)
            await bot.set_my_short_description(say("bot.short_description"), language_code=code)
        except AiogramError as error:
            log.warning("the bot could not introduce itself", language=language, reason=redact(str(error)))
