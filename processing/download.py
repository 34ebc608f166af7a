"""Pictures from Telegram: fetched for a run, and looked at when a file arrives."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from io import BytesIO
from pathlib import Path

import aiohttp
from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest

from ml_models.errors import DownloadError, FileTooLargeError, PictureTooSmallError
from ml_models.images import MIN_SIDE_PX
from processing.inspector import inspect_file
from processing.job import Picture
from reporting.logs import redact

MB = 1_000_000
CHUNK_BYTES = 256 * 1024
#: For one picture in all: asking for its place, waiting out a flood limit, and its bytes.
FETCH_TIMEOUT_S = 120
#: Pictures decoded at a time, each in a process of its own, to see whether they are whole.
INSPECTIONS_AT_A_TIME = 2
#: Files held at a time that are to be looked at; the others wait at Telegram's.
FETCHES_AT_A_TIME = 8


class TelegramPictures:
    """Fetches pictures by their file_id.

    Args:
        limit_mb: largest file that is taken, in megabytes.
        max_megapixels: largest picture that is decoded, in millions of pixels.
    """

    def __init__(self, bot: Bot, *, limit_mb: int, max_megapixels: float) -> None:
        self.bot = bot
        self.limit_mb = limit_mb
        self.max_megapixels = max_megapixels
        self._inspections = asyncio.Semaphore(INSPECTIONS_AT_A_TIME)
        self._fetches = asyncio.Semaphore(FETCHES_AT_A_TIME)

    async def fetch(self, picture: Picture) -> bytes:
        """Return the file's bytes.

        Raises:
            FileTooLargeError: it is larger than limit_mb, or than the server hands out.
            DownloadError: Telegram did not give it within FETCH_TIMEOUT_S; it may later.
        """
        self.check_size(picture.size_bytes)
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                file = await self.bot.get_file(picture.file_id)
                self.check_size(file.file_size)
                path = file.file_path or ""
                # A local Bot API server gives the place on its own disk, which is this one.
                if path.startswith("/") and await asyncio.to_thread(Path(path).is_file):
                    return await asyncio.to_thread(Path(path).read_bytes)
                return await self._download(self.bot.session.api.file_url(self.bot.token, path.lstrip("/")))
        except TimeoutError:
            raise DownloadError(f"it took longer than {FETCH_TIMEOUT_S:g} s") from None
        except TelegramBadRequest as error:
            if "too big" in error.message:
                raise self._too_large(picture.size_bytes) from None
            raise DownloadError(f"getFile: {redact(error.message)}") from None
        # Their texts hold the address, and that the token: they are not passed on.
        except (AiogramError, aiohttp.ClientError, OSError) as error:
            raise DownloadError(f"{type(error).__name__}: {redact(str(error))}") from None

    async def inspect(self, picture: Picture) -> None:
        """Fetch a file that was just sent and decode it once; raise PictureError or DownloadError."""
        async with self._fetches:
            data = await self.fetch(picture)
            async with self._inspections:
                await inspect_file(data, self.max_megapixels)

    def check_photo(self, picture: Picture, width_px: int, height_px: int) -> None:
        """Check a photo by what Telegram says of it: it was made by Telegram itself. Raises PictureError."""
        self.check_size(picture.size_bytes)
        if min(width_px, height_px) < MIN_SIDE_PX:
            raise PictureTooSmallError(
                f"{width_px}x{height_px} px is too small: at least {MIN_SIDE_PX} px on each side",
                width_px=width_px,
                height_px=height_px,
                limit_px=MIN_SIDE_PX,
            )

    async def _download(self, url: str) -> bytes:
        data = BytesIO()
        chunks = self.bot.session.stream_content(url, timeout=FETCH_TIMEOUT_S, chunk_size=CHUNK_BYTES)
        async with aclosing(chunks):
            async for chunk in chunks:
                self.check_size(data.tell() + len(chunk))
                data.write(chunk)
        # Hands its own buffer out, so the file is not held twice.
        return data.getvalue()

    def check_size(self, size_bytes: int | None) -> None:
        """Raise FileTooLargeError for a size over the limit; None, an unknown size, passes."""
        if size_bytes is not None and size_bytes > self.limit_mb * MB:
            raise self._too_large(size_bytes)

    def _too_large(self, size_bytes: int | None) -> FileTooLargeError:
        megabytes = round(size_bytes / MB, 1) if size_bytes else f"> {self.limit_mb}"
        return FileTooLargeError(
            f"the file has {megabytes} MB, up to {self.limit_mb} MB are allowed: send a smaller one",
            megabytes=megabytes,
            limit_megabytes=self.limit_mb,
        )
