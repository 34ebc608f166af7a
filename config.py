"""The settings: read once from the environment and `.env`, typed, frozen.

A missing or bad value raises SettingsError with the variable's name, what was given and what is allowed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

TELEGRAM_API_URL = "https://api.telegram.org"
TELEGRAM_DOWNLOAD_LIMIT_MB = 20
#: What such a server can give out, and what is taken from it unless the operator wants more: a file is held in memory.
LOCAL_SERVER_LARGEST_MB = 2000
LOCAL_SERVER_DOWNLOAD_LIMIT_MB = 200


class SettingsError(ValueError):
    """A setting is missing or not allowed; the text is complete and for the operator."""


def _fail(name: str, given: str, allowed: str) -> SettingsError:
    return SettingsError(f"{name}={given!r} is not allowed: give {allowed}")


def _integer(low: int, high: int) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text) or not low <= int(text) <= high:
            raise _fail(name, text, f"a whole number from {low} to {high}")
        return int(text)

    return read


def _choice(*allowed: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        for choice in allowed:
            if text.lower() == choice.lower():
                return choice
        raise _fail(name, text, "one of " + ", ".join(allowed))

    return read


def _token(name: str, text: str) -> str:
    if not re.fullmatch(r"\d+:[A-Za-z0-9_-]{30,}", text):
        # The value is a secret: it is not repeated.
        raise SettingsError(f"{name} is not a bot token: give the text that BotFather sent, like 123456:ABC-DEF...")
    return text


def _url(*schemes: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not parts.netloc:
            raise _fail(name, text, "a full address that starts with " + " or ".join(f"{s}://" for s in schemes))
        return text.rstrip("/") if name == "TELEGRAM_API_URL" else text

    return read


def _database(name: str, text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        return text
    if scheme in ("postgresql", "postgres") and urlsplit(text).path.strip("/"):
        return f"postgresql://{rest}"
    user, at, place = rest.rpartition("@")
    raise _fail(
        name,
        f"{scheme}://{'***' if user else ''}{at}{place}" if rest else text,
        "sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME, or leave it unset for DATA_DIR/bot.sqlite3",
    )


def _path_part(name: str, text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", text):
        raise _fail(name, text, "a path that starts with / and holds letters, digits and . _ ~ / -")
    return text


def _secret(name: str, text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,256}", text):
        raise SettingsError(f"{name} is not allowed: give 16 to 256 characters of A-Z, a-z, 0-9, _ and -")
    return text


def _text(name: str, text: str) -> str:
    return text


def _folder(name: str, text: str) -> Path:
    return Path(text)


def _setting(read: Callable[[str, str], Any], default: Any, about: str) -> Any:
    return field(default=default, metadata={"read": read, "about": about})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings; the names in the environment are the same in upper case."""

    bot_token: str | None = field(
        default=None,
        repr=False,
        metadata={"read": _token, "about": "the token from BotFather; unset: the sandbox only"},
    )
    admin_id: int | None = _setting(
        _integer(1, 2**52), None, "Telegram user id that gets start, stop and error notices; unset: nobody"
    )
    webhook_url: str | None = _setting(
        _url("https", "http"), None, "full public address given to Telegram; unset: long polling"
    )
    webhook_path: str = _setting(_path_part, "/webhook", "path under which the bot's server takes updates")
    host: str = _setting(_text, "127.0.0.1", "address the bot's server listens on")
    port: int = _setting(_integer(0, 65535), 8080, "port the bot's server listens on; 0: any free one")
    webhook_secret: str | None = field(
        default=None,
        repr=False,
        metadata={
            "read": _secret,
            "about": "secret that Telegram sends with each update; unset: derived from the token",
        },
    )
    telegram_api_url: str = _setting(
        _url("https", "http"), TELEGRAM_API_URL, "Bot API server; a local one raises the 20 MB limit of downloads"
    )
    download_limit_mb: int | None = _setting(
        _integer(1, LOCAL_SERVER_LARGEST_MB),
        None,
        "megabytes of the largest file that is taken; unset: 20 from Telegram's server, 200 from another",
    )
    database_url: str | None = field(
        default=None,
        repr=False,
        metadata={
            "read": _database,
            "about": "sqlite:///PATH, or postgresql://USER:PASSWORD@HOST/NAME for many machines; "
            "unset: bot.sqlite3 in DATA_DIR",
        },
    )
    data_dir: Path = field(
        default=Path("data"), metadata={"read": _folder, "about": "folder of the database and of pictures"}
    )
    pool_size: int = _setting(
        _integer(0, 64),
        max(1, (os.cpu_count() or 1) // 2),
        "paintings at a time, a worker process each, and one more for drafts; the default is half the processors, and "
        "0, beside workers on other machines, none",
    )
    queue_limit: int = _setting(_integer(1, 100_000), 100, "jobs that wait or run, of all users")
    user_queue_limit: int = _setting(_integer(1, 1000), 3, "jobs that wait or run, of one user")
    job_timeout_s: int = _setting(_integer(1, 86_400), 900, "seconds after which a running job is stopped")
    worker_memory_mb: int = _setting(_integer(256, 1_000_000), 3072, "megabytes that one worker process may hold")
    device: str = _setting(
        _choice("auto", "cpu", "cuda", "mps"),
        "auto",
        "where it paints: auto (the fastest that is there), cpu, cuda or mps",
    )
    max_image_megapixels: int = _setting(_integer(1, 1000), 50, "largest picture that is read, in millions of pixels")
    log_level: str = _setting(_choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "DEBUG, INFO, WARNING or ERROR")
    log_format: str = _setting(_choice("text", "json"), "text", "text or json")

    @property
    def secret(self) -> str:
        """The webhook secret: the one given, or one derived from the token, the same after every restart."""
        if self.webhook_secret:
            return self.webhook_secret
        return hmac.new((self.bot_token or "").encode(), b"webhook secret", hashlib.sha256).hexdigest()

    @property
    def database(self) -> str:
        """The SQLAlchemy address of the database."""
        given = self.database_url or f"sqlite:///{self.data_dir / 'bot.sqlite3'}"
        return given.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def is_shared(self) -> bool:
        """The database is one that many machines can reach."""
        return (self.database_url or "").startswith("postgresql://")

    @property
    def file_limit_mb(self) -> int:
        """Largest file that is taken, in megabytes: the one given, or what the Bot API server hands out."""
        if self.download_limit_mb:
            return self.download_limit_mb
        own_server = self.telegram_api_url != TELEGRAM_API_URL
        return LOCAL_SERVER_DOWNLOAD_LIMIT_MB if own_server else TELEGRAM_DOWNLOAD_LIMIT_MB


def load_settings(environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings; the environment goes before the file, an empty value counts as unset.

    Raises:
        SettingsError: naming the variable, what was given and what is allowed.
    """
    values: dict[str, str | None] = dict(dotenv_values(env_file)) if env_file else {}
    values.update(os.environ if environment is None else environment)
    given: dict[str, Any] = {}
    for setting in fields(Settings):
        name = setting.name.upper()
        text = (values.get(name) or "").strip()
        if text:
            given[setting.name] = setting.metadata["read"](name, text)
    settings = Settings(**given)
    if not settings.pool_size and not settings.is_shared:
        raise _fail("POOL_SIZE", "0", "1 to 64; 0 needs DATABASE_URL=postgresql://... and workers on other machines")
    return settings
