"""What the fuzzed inputs are given to, and what may come of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import aiohttp

from config import Settings
from main import free_port
from ml_models import registry
from ml_models.errors import PictureError
from ml_models.images import inspect_picture, read_picture
from service import Service, running
from tests.bots import HOST
from tests.fuzzing.offline import OfflineSession
from tests.toy_algorithm import TOYS

MAX_MEGAPIXELS = 5
ANSWERS = (200, 400, 413)


def read(data: bytes) -> str:
    """Give the file to both of the reader's ways; return "read" or the code of the refusal, raise what must not be."""
    try:
        size = inspect_picture(data, MAX_MEGAPIXELS)
        image = read_picture(data, MAX_MEGAPIXELS, fit_px=64)
    except PictureError as error:
        return error.code
    if image.mode != "RGB" or max(image.size) > 64 or size[0] * size[1] > 1e6 * MAX_MEGAPIXELS:
        raise AssertionError(f"{image.mode} {image.size} of {size}")
    return "read"


@dataclass(frozen=True)
class Door:
    """The webhook of a running bot."""

    service: Service
    client: aiohttp.ClientSession

    async def knock(self, body: bytes, timeout_s: float = 30.0) -> int:
        """Send the update; return the status of the answer, raise TimeoutError where none comes."""
        headers = {
            "Content-Type": "application/json",
            "X-Telegram-Bot-Api-Secret-Token": self.service.settings.secret,
        }
        url = str(self.service.url)
        async with (
            asyncio.timeout(timeout_s),
            self.client.post(url, data=body, headers=headers) as response,
        ):
            return response.status


@asynccontextmanager
async def open_door(folder: Path) -> AsyncIterator[Door]:
    """A whole bot with toys for algorithms, offline but for its webhook, which looks at files in its own process."""
    port = free_port(HOST)
    settings = Settings(
        bot_token="123456:" + "F" * 35,
        webhook_url=f"http://{HOST}:{port}/webhook",
        port=port,
        data_dir=folder,
        pool_size=1,
        admin_id=7,
        max_image_megapixels=MAX_MEGAPIXELS,
        user_updates_per_minute=100_000,
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(patch.dict(registry.ALGORITHMS, {toy.key: toy for toy in TOYS}))
        stack.enter_context(patch("bot_init.AiohttpSession", OfflineSession))
        stack.enter_context(patch("processing.download.inspect_file", _inspect_here))
        service = await stack.enter_async_context(running(settings))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield Door(service, client)


async def _inspect_here(data: bytes, max_megapixels: float) -> None:
    inspect_picture(data, max_megapixels)
