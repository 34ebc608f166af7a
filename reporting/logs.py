"""Logging: structlog for this project and the standard library's loggers alike, as text or JSON, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from types import TracebackType
from typing import TextIO

import structlog

#: A bot token, wherever it stands: in an address, where the colon may be escaped, a traceback, an exception's text.
TOKEN = re.compile(r"\d{3,}(?::|%3A)[A-Za-z0-9_-]{30,}", re.IGNORECASE)
REDACTED = "<token>"


def redact(text: str) -> str:
    """Return the text without bot tokens."""
    return TOKEN.sub(REDACTED, text)


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Redacts the finished line, so that no field and no traceback is forgotten."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Stand in for the interpreter's own last words, which would repeat whatever the error says."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger(__name__).critical("the process ends", exc_info=(kind, error, trace))


def set_up_logging(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send all logs to the stream (standard error by default), what ends the process among them.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        form: text or json.
    """
    out = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        final += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        plain = structlog.dev.plain_traceback
        final.append(structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain))
    handler = logging.StreamHandler(out)
    handler.setFormatter(_RedactingFormatter(foreign_pre_chain=shared, processors=final))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    sys.excepthook = _log_uncaught
    for chatty in ("aiohttp.access", "aiogram.event", "PIL", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
