"""Pictures fetched from a real server: whole, in time, held once."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiogram import Bot

from ml_models.errors import DownloadError, FileTooLargeError
from processing import download
from processing.download import CHUNK_BYTES, FETCHES_AT_A_TIME, INSPECTIONS_AT_A_TIME, MB, TelegramPictures
from processing.job import Picture
from sandbox.server import Sandbox
from tests.chat import picture
from tests.waiting import until

CHUNKS = 48


async def sent(sandbox: Sandbox, data: bytes) -> Picture:
    user = sandbox.user(1001)
    await user.send_text("/start")
    message = await user.send_document(data, "picture.png", "image/png")
    return Picture(message["document"]["file_id"], as_file=True)


async def test_a_file_comes_whole(sandbox: Sandbox, bot: Bot) -> None:
    data = picture(600, 400, "PNG")
    assert await TelegramPictures(bot, limit_mb=20, max_megapixels=1).fetch(await sent(sandbox, data)) == data


async def test_a_fetch_that_hangs_ends(sandbox: Sandbox, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = await sent(sandbox, picture())
    monkeypatch.setattr(download, "FETCH_TIMEOUT_S", 0.1)
    sandbox.faults.delay("getFile", seconds=1.0)
    with pytest.raises(DownloadError, match=r"longer than 0\.1 s"):
        await TelegramPictures(bot, limit_mb=20, max_megapixels=1).fetch(asked)


class Stream:
    """Stands in for a session: a file of CHUNKS chunks whose size nobody told."""

    def __init__(self) -> None:
        self.given = 0
        self.closed = False
        self.api = SimpleNamespace(file_url=lambda token, path: path)

    async def stream_content(self, url: str, **_: Any) -> AsyncIterator[bytes]:
        try:
            for _number in range(CHUNKS):
                self.given += 1
                yield bytes(CHUNK_BYTES)
        finally:
            self.closed = True


class Server:
    """Stands in for a bot at the two things that a download uses."""

    token = "1:x"

    def __init__(self) -> None:
        self.session = Stream()

    async def get_file(self, file_id: str) -> object:
        return SimpleNamespace(file_size=None, file_path="photo")


async def test_a_file_is_held_once() -> None:
    pictures = TelegramPictures(cast(Bot, Server()), limit_mb=20, max_megapixels=1)
    tracemalloc.start()
    try:
        data = await pictures.fetch(Picture("a"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(data) == CHUNKS * CHUNK_BYTES
    assert peak < 1.5 * len(data)


async def test_a_file_that_turns_out_too_large_is_not_read_to_its_end() -> None:
    server = Server()
    with pytest.raises(FileTooLargeError):
        await TelegramPictures(cast(Bot, server), limit_mb=1, max_megapixels=1).fetch(Picture("a"))
    assert server.session.given == MB // CHUNK_BYTES + 1
    assert server.session.closed


async def test_however_many_files_come_at_once_only_so_many_are_held(
    sandbox: Sandbox, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = most = fetched = 0
    gates = asyncio.Event()

    async def inspected(data: bytes, max_megapixels: float) -> None:
        nonlocal held, most
        held += 1
        most = max(most, held)
        await gates.wait()
        held -= 1

    real = TelegramPictures.fetch

    async def counted(self: TelegramPictures, asked: Picture) -> bytes:
        nonlocal fetched
        fetched += 1
        return await real(self, asked)

    monkeypatch.setattr(download, "inspect_file", inspected)
    monkeypatch.setattr(TelegramPictures, "fetch", counted)
    pictures = TelegramPictures(bot, limit_mb=20, max_megapixels=1)
    asked = await sent(sandbox, picture())
    inspections = [asyncio.create_task(pictures.inspect(asked)) for _ in range(30)]
    await until(lambda: fetched == FETCHES_AT_A_TIME and held == INSPECTIONS_AT_A_TIME)
    await asyncio.sleep(0.1)
    assert (fetched, held) == (FETCHES_AT_A_TIME, INSPECTIONS_AT_A_TIME)
    gates.set()
    await asyncio.gather(*inspections)
    assert fetched == 30
    assert most == INSPECTIONS_AT_A_TIME
