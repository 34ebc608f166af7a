"""What the sandbox's tests share: pictures, a bot's webhook, calls that no client would make."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from PIL import Image

from sandbox.server import Sandbox

Reply = Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]


def picture(width: int, height: int, kind: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    """A picture with a gradient, so that halves and colours can be told apart."""
    image = Image.linear_gradient("L").resize((width, height)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


async def call(sandbox: Sandbox, method: str, body: Any = None, *, token: str = "", **options: Any) -> tuple[int, Any]:
    """Call a method with a JSON body, or with aiohttp's options; return the status and the decoded answer."""
    if body is not None:
        options["json"] = body
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.url}/bot{token or sandbox.token}/{method}", **options) as response,
    ):
        return response.status, await response.json()


async def refusal(sandbox: Sandbox, method: str, body: Any = None, **options: Any) -> str:
    """Return the description of a call that must fail with 400 or 403."""
    status, answer = await call(sandbox, method, body, **options)
    assert answer["ok"] is False
    assert status == answer["error_code"]
    return str(answer["description"])


class Hook:
    """A bot's webhook that keeps what it is sent; `reply` decides the answer."""

    def __init__(self) -> None:
        self.url = ""
        self.updates: list[dict[str, Any]] = []
        self.secrets: list[str | None] = []
        self.reply: Reply | None = None
        self._changed = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        update = await request.json()
        async with self._changed:
            self.updates.append(update)
            self.secrets.append(request.headers.get("X-Telegram-Bot-Api-Secret-Token"))
            self._changed.notify_all()
        return await self.reply(update) if self.reply else web.Response()

    async def received(self, count: int, timeout_s: float = 10.0) -> list[dict[str, Any]]:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: len(self.updates) >= count)
        return self.updates


@asynccontextmanager
async def running_hook(port: int = 0) -> AsyncIterator[Hook]:
    hook = Hook()
    app = web.Application()
    app.router.add_post("/hook", hook.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield hook
    finally:
        await runner.cleanup()
