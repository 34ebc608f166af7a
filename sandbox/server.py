"""The sandbox: a Bot API server on loopback with users of its own, and the chat page for the browser.

Nothing leaves the machine. The server is stricter than Telegram's where that finds mistakes earlier: unknown fields and
unused uploads are refused. Not everything is there: private chats only, and the methods that the bot uses.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler

from sandbox.body import MAX_BODY_BYTES
from sandbox.bot_api import ApiCall, BotApi
from sandbox.chat_api import HEADERS, ChatApi
from sandbox.client import SandboxUser
from sandbox.faults import Faults
from sandbox.methods.receiving import LOOPBACK, is_loopback
from sandbox.push import PushStats
from sandbox.state import QUERY_LIFETIME_S, Person, World

__all__ = ["SANDBOX_TOKEN", "ApiCall", "Faults", "Sandbox", "SandboxUser"]

# It opens nothing but this sandbox.
SANDBOX_TOKEN = "12345:AAAA-sandbox-token-of-no-value-whatsoever"  # noqa: S105
FIRST_USER_ID = 100
SHUTDOWN_TIMEOUT_S = 2.0


class Sandbox:
    """The server. `async with Sandbox() as sandbox:` starts it on a free port of 127.0.0.1."""

    def __init__(self, token: str = SANDBOX_TOKEN, *, query_lifetime_s: float = QUERY_LIFETIME_S) -> None:
        self.token = token
        self.faults = Faults()
        self.url = ""
        self._world = World(int(token.partition(":")[0]), query_lifetime_s=query_lifetime_s)
        self._api = BotApi(token, self._world, self.faults)
        self._users: dict[int, SandboxUser] = {}
        self._runner: web.AppRunner | None = None

    @property
    def requests(self) -> deque[ApiCall]:
        """The calls that the bot made, oldest first; the oldest are forgotten."""
        return self._api.requests

    @property
    def pushes(self) -> PushStats:
        """How the bot acknowledged what was pushed to its webhook."""
        return self._api.pusher.stats

    @property
    def pending_updates(self) -> int:
        """Updates that the bot has not acknowledged yet."""
        return len(self._world.updates)

    def user(self, user_id: int | None = None, *, first_name: str = "Ann", language_code: str = "en") -> SandboxUser:
        """Return the user of that id, made with this name and language where there is none; a new one without id."""
        if user_id is None:
            user_id = max(self._users, default=FIRST_USER_ID - 1) + 1
        if user_id not in self._users:
            person = Person(user_id, first_name, language_code)
            self._world.people[user_id] = person
            self._users[user_id] = SandboxUser(self._world, person)
        return self._users[user_id]

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises ValueError for a host that others could reach, OSError for a port
        that is taken."""
        if host not in LOOPBACK:
            raise ValueError(f"the sandbox listens on loopback only, not on {host!r}: give 127.0.0.1")
        chat = ChatApi(self._world, self.faults, self.user)
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_loopback_only])
        app.add_routes([*self._api.routes(), *chat.routes()])

        async def end_streams(_: web.Application) -> None:
            chat.close()
            self._world.updates.end_poll()

        app.on_shutdown.append(end_streams)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self.stop()
            raise
        await self._api.pusher.start()
        bound = self._runner.addresses[0]
        self.url = f"http://{'[::1]' if ':' in bound[0] else bound[0]}:{bound[1]}"

    async def stop(self) -> None:
        """Stop listening and pushing. Chats, waiting updates and the webhook stay: start() goes on with them."""
        await self._api.pusher.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


@web.middleware
async def _loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what another site's page could make a browser send: a foreign Host (rebinding) or a foreign Origin."""
    origin = request.headers.get("Origin")
    if not is_loopback(f"http://{request.host}") or origin not in {None, f"http://{request.host}"}:
        return web.json_response({"ok": False, "error": "Only this computer's own page may ask."}, status=403)
    response = await handler(request)
    if not response.prepared:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
    return response
