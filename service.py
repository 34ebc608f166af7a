"""The running bot: all that one process holds, opened in order and closed in the reverse."""

from __future__ import annotations

import asyncio
import hmac
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from aiogram import Bot, Dispatcher
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramUnauthorizedError,
)
from aiogram.methods import TelegramMethod
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

from bot_init import create_bot, create_dispatcher, introduce
from config import Settings, SettingsError
from handlers.inbox import Inbox
from handlers.polling import Polling
from handlers.webhook import MAX_UPDATE_BYTES, read_update
from locales.catalogue import Catalogue
from processing.children import child_environment
from processing.delivery import TelegramDelivery
from processing.download import TelegramPictures
from processing.folders import JobFolders, Results
from processing.lanes import SHORT_SLOTS
from processing.places import PlacesInLine
from processing.pool import Pool
from processing.queue.local import LocalQueue
from processing.queue.shared import SharedQueue
from processing.retention import Retention
from processing.runner import Runner
from processing.shared.locks import SharedLocks
from processing.shared.results import StoredResults
from processing.shared.store import SharedStore, create_store
from processing.status_message import StatusMessages
from processing.store import Store
from reporting.logs import redact
from reporting.metrics import Metrics
from reporting.notices import Notices
from reporting.private_server import PrivateServer
from reporting.readiness import Check, Telegram, database, workers

#: Telegram opens at most this many connections to the webhook; one user's updates wait for one another anyhow.
MAX_CONNECTIONS = 40
DRAIN_TIMEOUT_S = 20.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """A bot that takes updates.

    Attributes:
        url: where its server listens, or None with long polling.
        private_url: where its private port is, or None.
    """

    settings: Settings
    bot: Bot
    dispatcher: Dispatcher
    store: Store
    pool: Pool
    url: str | None
    private_url: str | None


class WebhookHandler(SimpleRequestHandler):
    """Answers an update after it was handled, so that what Telegram believes delivered is stored."""

    def __init__(self, dispatcher: Dispatcher, bot: Bot, secret: str, metrics: Metrics) -> None:
        super().__init__(dispatcher, bot, handle_in_background=False, secret_token=secret)
        self.metrics = metrics

    async def _handle_request(self, bot: Bot, request: web.Request) -> web.Response:
        with self.metrics.acknowledging():
            update = await read_update(request, bot)
            if update is None:
                return web.json_response({})
            result: TelegramMethod[Any] | None = await self.dispatcher.feed_webhook_update(bot, update, **self.data)
            return web.Response(body=self._build_response_writer(bot=bot, result=result))

    def verify_secret(self, telegram_secret_token: str, bot: Bot) -> bool:
        # On bytes: compare_digest raises for text that is not ASCII.
        return hmac.compare_digest(
            telegram_secret_token.encode("utf-8", "surrogateescape"), (self.secret_token or "").encode()
        )


@dataclass(frozen=True, slots=True)
class Parts:
    """What a bot and a worker have in common."""

    store: Store
    bot: Bot
    notices: Notices
    catalogue: Catalogue
    results: Results
    pictures: TelegramPictures
    status_messages: StatusMessages
    pool: Pool
    queue: LocalQueue
    metrics: Metrics
    private: PrivateServer


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    """Open everything, take updates while the block runs, and close in good order.

    By webhook where the settings name an address, by long polling otherwise. On the way out no new update is taken and
    no new job begun, updates under way are finished, jobs that run have the grace of the settings and go back into the
    queue then, and no process is left.
    """
    async with AsyncExitStack() as stack:
        parts = await _parts(stack, settings)
        store, bot, notices, pool, queue = parts.store, parts.bot, parts.notices, parts.pool, parts.queue
        metrics, private = parts.metrics, parts.private
        retention = Retention(store, parts.results, hours=settings.retention_hours)
        retention.start()
        stack.push_async_callback(retention.close)
        locks = None
        if isinstance(store, SharedStore):
            locks = SharedLocks(store.conninfo)
            stack.push_async_callback(locks.close)
        dispatcher = create_dispatcher(
            settings,
            bot,
            store=store,
            queue=queue,
            pool=pool,
            catalogue=parts.catalogue,
            pictures=parts.pictures,
            status_messages=parts.status_messages,
            results=parts.results,
            notices=notices,
            locks=locks,
        )
        inbox = cast(Inbox, dispatcher["inbox"])
        await inbox.resume(store)
        if settings.is_shared:
            inbox.look_after(store)
        stack.push_async_callback(inbox.close)
        if settings.webhook_url:
            url = await _listen(stack, settings, bot, dispatcher, metrics)
        else:
            url = None
            await _poll(stack, bot, dispatcher, metrics)
        introduction = asyncio.create_task(introduce(bot, parts.catalogue), name="introduction")
        stack.push_async_callback(_ended, introduction)
        _ready(stack, parts, Telegram(bot, settings.webhook_url or ""))
        log.info("the bot takes updates", by="webhook" if url else "long polling", slots=pool.slots, url=url)
        await notices.started(f"{'webhook' if url else 'long polling'}, {pool.slots} worker processes")
        yield Service(settings, bot, dispatcher, store, pool, url, private.url)
        log.info("the bot stops")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the bot until stop is set."""
    async with running(settings):
        await stop.wait()


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Paint and deliver the jobs of bots that have the same database, until stop is set."""
    async with AsyncExitStack() as stack:
        parts = await _parts(stack, settings)
        _ready(stack, parts, Telegram(parts.bot, None))
        log.info("the worker takes jobs", slots=parts.pool.slots)
        await parts.notices.started(f"worker, {parts.pool.slots} worker processes")
        await stop.wait()
        log.info("the worker stops")


async def _parts(stack: AsyncExitStack, settings: Settings) -> Parts:
    """Open what bots and workers have in common, the queue last; the stack closes it in the reverse order."""
    await _check_device(settings.device)
    metrics = Metrics()
    private = await _private_server(stack, settings, metrics)
    folders = JobFolders(settings.data_dir)
    try:
        if not settings.is_shared:
            await asyncio.to_thread(folders.make_private)
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR={str(settings.data_dir)!r} cannot be used ({error.strerror}): give a folder of the bot's own"
        ) from error
    store = create_store(settings.database)
    await store.open()
    stack.push_async_callback(store.close)
    bot = create_bot(settings, metrics)
    stack.push_async_callback(bot.session.close)
    await _check_token(bot, settings)
    notices = Notices(bot, settings.admin_id)
    catalogue = Catalogue()
    results = StoredResults(store) if isinstance(store, SharedStore) else folders
    pictures = TelegramPictures(bot, limit_mb=settings.file_limit_mb, max_megapixels=settings.max_image_megapixels)
    status_messages = StatusMessages(bot, store, catalogue)
    stack.push_async_callback(status_messages.close)
    pool = Pool(
        settings.pool_size,
        memory_mb=settings.worker_memory_mb,
        spare=SHORT_SLOTS if settings.pool_size else 0,
        metrics=metrics,
    )
    await pool.start()
    stack.push_async_callback(pool.close)
    runner = Runner(
        store,
        pool,
        pictures,
        TelegramDelivery(bot, status_messages, catalogue, results, notices),
        results,
        timeout_s=settings.job_timeout_s,
        max_megapixels=settings.max_image_megapixels,
        memory_mb=settings.worker_memory_mb,
        device=settings.device,
        metrics=metrics,
    )
    limits = {"queue_limit": settings.queue_limit, "user_queue_limit": settings.user_queue_limit}
    if isinstance(store, SharedStore):
        quiet = status_messages.stop_showing
        queue: LocalQueue = SharedQueue(store, runner, slots=settings.pool_size, quiet=quiet, metrics=metrics, **limits)
    else:
        queue = LocalQueue(store, runner, slots=settings.pool_size, metrics=metrics, **limits)
    # On the way out after the queue has given its jobs back.
    stack.push_async_callback(notices.stopped)
    await queue.start()
    stack.push_async_callback(queue.close, settings.shutdown_grace_s)
    # In workers too: where there are many processes the oldest does it, and that may be one of them.
    places = PlacesInLine(store, status_messages, queue.estimator, is_ours=lambda: queue.leads)
    places.start()
    stack.push_async_callback(places.close)
    return Parts(store, bot, notices, catalogue, results, pictures, status_messages, pool, queue, metrics, private)


def _ready(stack: AsyncExitStack, parts: Parts, telegram: Check) -> None:
    """Answer on the private port from now on with what there is."""
    checks: dict[str, Check] = {
        "database": database(parts.store),
        "workers": workers(parts.pool, lambda: parts.queue.estimator.slots),
        "telegram": telegram,
    }
    parts.private.open_for(checks, partial(parts.metrics.look, parts.store, parts.pool))
    stack.callback(parts.private.stopping)


async def _check_device(name: str) -> None:
    """Look for the device before jobs fail for want of it, in another process: torch is none of this one's."""
    if name in ("auto", "cpu"):
        return
    code = "import sys; from ml_models.devices import choose_device; choose_device(sys.argv[1])"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, name),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    _, told = await process.communicate()
    if process.returncode:
        last_line = told.decode(errors="replace").strip().rpartition("\n")[2]
        reason = last_line.partition(": ")[2] or last_line  # without the exception's name
        raise SettingsError(f"DEVICE={name!r} cannot be used ({reason}): give auto or cpu")


async def _check_token(bot: Bot, settings: Settings) -> None:
    try:
        await bot.me()
    except (TelegramUnauthorizedError, TelegramNotFound):
        raise SettingsError(
            f"BOT_TOKEN was refused by {settings.telegram_api_url}: give the text that BotFather sent"
        ) from None
    except TelegramNetworkError as error:
        raise SettingsError(
            f"TELEGRAM_API_URL={settings.telegram_api_url!r} cannot be reached ({redact(str(error))}): "
            "check the address and the network"
        ) from None


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _private_server(stack: AsyncExitStack, settings: Settings, metrics: Metrics) -> PrivateServer:
    """Open the private port where the settings name one."""
    server = PrivateServer(metrics)
    if settings.metrics_port is not None:
        stack.push_async_callback(server.close)
        try:
            await server.start(settings.metrics_host, settings.metrics_port)
        except OSError as error:
            raise SettingsError(
                f"METRICS_HOST={settings.metrics_host!r} with METRICS_PORT={settings.metrics_port} cannot be listened "
                f"on ({error.strerror}): give an address of this machine and a port that is free"
            ) from error
        log.info("health and metrics are served", url=server.url)
    return server


async def _listen(stack: AsyncExitStack, settings: Settings, bot: Bot, dispatcher: Dispatcher, metrics: Metrics) -> str:
    """Open the server, then give its public address to Telegram."""
    app = web.Application(client_max_size=MAX_UPDATE_BYTES)
    app.router.add_post(settings.webhook_path, WebhookHandler(dispatcher, bot, settings.secret, metrics).handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=DRAIN_TIMEOUT_S)
    await runner.setup()
    # Waits for the updates under way before anything they need is closed.
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, settings.host, settings.port)
    try:
        await site.start()
    except OSError as error:
        raise SettingsError(
            f"HOST={settings.host!r} with PORT={settings.port} cannot be listened on ({error.strerror}): "
            "give an address of this machine and a port that is free"
        ) from error
    assert settings.webhook_url is not None  # noqa: S101 - the caller has looked
    if urlsplit(settings.webhook_url).path != settings.webhook_path:
        log.warning("WEBHOOK_URL and WEBHOOK_PATH differ", hint="the proxy between them must map one to the other")
    try:
        await bot.set_webhook(
            settings.webhook_url,
            secret_token=settings.secret,
            max_connections=MAX_CONNECTIONS,
            allowed_updates=dispatcher.resolve_used_update_types(),
            drop_pending_updates=False,
        )
    except TelegramBadRequest as error:
        raise SettingsError(
            f"WEBHOOK_URL={settings.webhook_url!r} was refused by Telegram ({error.message}): "
            "give a public https:// address"
        ) from error
    return f"http://{settings.host}:{runner.addresses[0][1]}{settings.webhook_path}"


async def _poll(stack: AsyncExitStack, bot: Bot, dispatcher: Dispatcher, metrics: Metrics) -> None:
    try:
        await bot.delete_webhook(drop_pending_updates=False)
    except AiogramError as error:
        log.warning("the webhook could not be removed", reason=redact(str(error)))
    polling = Polling(bot, dispatcher, metrics)
    polling.start()
    stack.push_async_callback(polling.close)
