"""The private port: /healthz, /readyz and /metrics, for those who run the bot and nobody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from reporting.metrics import Metrics
from reporting.readiness import Check

SHUTDOWN_TIMEOUT_S = 2.0


class Phase(Enum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class PrivateServer:
    """Answers from the bot's own event loop, so that an answer says that the loop turns.

    It is there before all else and goes last; what it tells is given with open_for.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.url: str | None = None
        self._metrics = metrics
        self._phase = Phase.STARTING
        self._checks: Mapping[str, Check] = {}
        self._look: Callable[[], Awaitable[None]] | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises OSError where that is not possible."""
        app = web.Application()
        app.add_routes(
            [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz), web.get("/metrics", self._scrape)]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    def open_for(self, checks: Mapping[str, Check], look: Callable[[], Awaitable[None]]) -> None:
        """The bot takes updates from now on.

        Args:
            checks: what it needs, by name.
            look: brings the gauges up to date before they are read.
        """
        self._checks, self._look = checks, look
        self._phase = Phase.RUNNING

    def stopping(self) -> None:
        """The bot takes no more updates."""
        self._phase = Phase.STOPPING

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text=f"{self._phase.value}\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._phase is not Phase.RUNNING:
            return web.Response(status=503, text=f"not ready: {self._phase.value}\n")
        found = {name: await check() for name, check in self._checks.items()}
        lines = [f"{name}: {missing or 'ok'}\n" for name, missing in found.items()]
        return web.Response(status=503 if any(found.values()) else 200, text="".join(lines))

    async def _scrape(self, _: web.Request) -> web.Response:
        if self._look:
            await self._look()
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
