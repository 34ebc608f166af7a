"""Every request to Telegram: flood limits, broken connections and a proxy's error pages are waited out."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import structlog
from aiogram import Bot
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramEntityTooLarge,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import Response, TelegramMethod
from aiogram.methods.base import TelegramType

from reporting.logs import redact
from reporting.metrics import Metrics

PAUSES_S = (0.5, 1.0, 2.0, 4.0)
#: Telegram waits 60 s for a webhook's answer; a handler must not sleep longer than a good part of that.
LONGEST_FLOOD_WAIT_S = 30.0

log = structlog.get_logger(__name__)


@cache
def _keep_response_model(method: type[TelegramMethod[Any]]) -> object:
    """Hold the model that aiogram reads this method's answers with.

    pydantic remembers such a model only while somebody holds it, and aiogram holds it for one answer: without this it
    is built anew for every request, which was an eighth of the bot's time.
    """
    return Response[method.__returning__]  # type: ignore[name-defined]


class RetryRequests(BaseRequestMiddleware):
    """Repeats what may succeed later and raises the last error when it does not.

    A request whose answer was lost may have been carried out: a message can then come twice, but never not at all.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        _keep_response_model(type(method))
        # Long polling has a loop of its own that waits.
        pauses_s = () if method.__api_method__ == "getUpdates" else PAUSES_S
        waited_s = 0.0
        for attempt in range(len(pauses_s) + 1):
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as error:
                self.metrics.telegram_failures.labels("flood").inc()
                pause_s = float(error.retry_after)
                if attempt == len(pauses_s) or waited_s + pause_s > LONGEST_FLOOD_WAIT_S:
                    raise
                reason = "flood limit"
                self.metrics.flood_wait_seconds.inc(pause_s)
            except (TelegramNetworkError, TelegramServerError, ClientDecodeError) as error:
                self.metrics.telegram_failures.labels(_kind(error)).inc()
                # What is too large stays so, though aiogram counts it among the troubles of the network.
                if attempt == len(pauses_s) or isinstance(error, TelegramEntityTooLarge):
                    raise
                pause_s, reason = pauses_s[attempt], redact(str(error))[:200]
            log.warning("a request is repeated", method=method.__api_method__, pause_s=pause_s, reason=reason)
            waited_s += pause_s
            await asyncio.sleep(pause_s)
        raise AssertionError  # the last attempt returns or raises


def _kind(error: TelegramNetworkError | TelegramServerError | ClientDecodeError) -> str:
    if isinstance(error, TelegramServerError):
        return "server"
    return "not_json" if isinstance(error, ClientDecodeError) else "network"
