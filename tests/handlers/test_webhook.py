"""The webhook's address: who is let in, how much is read, and what is no update."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from handlers import webhook
from handlers.webhook import MAX_UPDATE_BYTES
from tests.chat import Stage, after, has_button, says

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = "application/json"


async def post(
    stage: Stage, body: bytes | BytesIO | AsyncIterator[bytes], content_type: str = JSON, *, secret: str | None = None
) -> int:
    """Return the status of the answer."""
    right = stage.service.settings.secret
    headers = {"Content-Type": content_type, "X-Telegram-Bot-Api-Secret-Token": right if secret is None else secret}
    url = str(stage.service.url)
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status


def update(update_id: int, user_id: int, **more: Any) -> dict[str, Any]:
    message = {
        "message_id": 1,
        "date": 0,
        "chat": {"id": user_id, "type": "private"},
        "from": {"id": user_id, "is_bot": False, "first_name": "Eve"},
        "text": "/start",
    }
    return {"update_id": update_id, "message": message | more}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", JSON),
        (b"{", JSON),
        (b"\xff\xfe", JSON),
        (b"[" * 100_000, JSON),
        (b'{"update_id": ' + b"9" * 5000 + b"}", JSON),
        (json.dumps(update(500_001, 2**63)).encode(), JSON),
        (b"[1]", JSON),
        (b"null", JSON),
        (b"{}", JSON),
        (b'{"update_id": "7"}', JSON),
        (b'{"update_id": true}', JSON),
        (b'{"update_id": -1}', JSON),
        (b'{"update_id": 9223372036854775808}', JSON),
        (json.dumps(update(500_001, 1)).encode(), "text/plain"),
        (json.dumps(update(500_001, 1)).encode(), "multipart/form-data; boundary=x"),
    ],
)
async def test_what_is_no_update_is_refused(stage: Stage, body: bytes, content_type: str) -> None:
    assert await post(stage, body, content_type) == 400
    assert not await stage.service.store.update_seen(500_001)


async def test_a_long_update_is_taken_and_a_longer_body_is_not(stage: Stage) -> None:
    user = await stage.person()
    last = user.messages[-1]
    body = json.dumps(update(500_002, user.id, caption="x" * (MAX_UPDATE_BYTES - 1000))).encode()
    assert await post(stage, body) == 200
    await user.wait_for(after(last, has_button("menu:help")))
    assert await post(stage, BytesIO(body + b" " * 1000)) == 413


async def test_a_body_without_a_length_is_not_read_to_its_end(stage: Stage) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 65_536
            yield b" " * 65_536

    assert await post(stage, endless()) == 413
    assert read < 20 * MAX_UPDATE_BYTES


async def posting(stage: Stage, secret: str, length: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the head of an update that announces a body of so many bytes."""
    address = urlsplit(str(stage.service.url))
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST {address.path} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {length}\r\n"
    writer.write(f"{head}X-Telegram-Bot-Api-Secret-Token: {secret}\r\n\r\n".encode())
    return reader, writer


@pytest.mark.parametrize("secret", ["", "wrong", "ключ"])
async def test_without_the_secret_nothing_is_read(stage: Stage, secret: str) -> None:
    """The answer is there before the body is."""
    reader, writer = await posting(stage, secret, 1_000_000_000)
    assert b" 401 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_a_body_that_breaks_off_is_no_error_of_the_bot(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    _, writer = await posting(stage, stage.service.settings.secret, 1000)
    writer.write(b"{")
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.close()
    await asyncio.sleep(0.3)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_body_that_never_comes_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "READ_TIMEOUT_S", 0.1)

    async def hesitating() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)

    assert await asyncio.wait_for(post(stage, hesitating()), 3) == 408


async def test_other_methods_and_places_are_not_there(stage: Stage) -> None:
    url = str(stage.service.url)
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            assert response.status == 405
        async with session.post(url.removesuffix("webhook") + "elsewhere") as response:
            assert response.status == 404


async def test_half_a_character_is_replaced_and_a_whole_one_stays(stage: Stage) -> None:
    user = await stage.person()
    last = user.messages[-1]
    sender = {"id": user.id, "is_bot": False, "first_name": "\ud800\U0001f600"}
    assert await post(stage, json.dumps(update(500_006, user.id, **{"from": sender})).encode()) == 200
    await user.wait_for(after(last, says("Hello, ?\U0001f600!")))


async def test_an_update_of_an_unknown_form_does_not_come_again(stage: Stage) -> None:
    body = {"update_id": 500_003, "message": {"message_id": "none", "text": "secret words"}}
    assert await post(stage, json.dumps(body).encode()) == 200
    assert await post(stage, b'{"update_id": 500005, "news": {}}') == 200
    deep: dict[str, Any] = update(500_004, 1)["message"]
    for _ in range(300):
        deep = update(0, 1)["message"] | {"reply_to_message": deep}
    assert await post(stage, json.dumps({"update_id": 500_004, "message": deep}).encode()) == 200
