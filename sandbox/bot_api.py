"""The Bot API over HTTP: /bot<token>/METHOD and /file/bot<token>/PATH."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.body import Body, read_body
from sandbox.errors import ApiError
from sandbox.faults import Fault, Faults
from sandbox.methods import all_methods
from sandbox.parameters import read_call
from sandbox.push import WebhookPusher
from sandbox.state import World

MAX_CALLS_KEPT = 10_000
BAD_GATEWAY = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx/1.18.0</body>\r\n</html>\r\n"


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call that the bot made.

    Attributes:
        method: as the bot wrote it.
        parameters: by type where the call was well formed, as they came where not; uploads are "attach://…".
        code: of the response; 0 where the connection was dropped.
        at: seconds of time.monotonic().
        description: of the error, "" where there was none.
    """

    method: str
    parameters: Mapping[str, Any]
    code: int
    at: float
    description: str = ""


class BotApi:
    """Carries out calls on the world and keeps a record of them."""

    def __init__(self, token: str, world: World, faults: Faults) -> None:
        self.requests: deque[ApiCall] = deque(maxlen=MAX_CALLS_KEPT)
        self.pusher = WebhookPusher(world.updates, faults, self.execute)
        self._token = token
        self._world = world
        self._faults = faults
        self._methods = all_methods(self.pusher)

    def routes(self) -> list[web.RouteDef]:
        # The token stays out of the patterns, so that a wrong one gets 401 and not 404.
        return [
            web.route("*", r"/bot{token:[^/]+}/{method}", self._call),
            web.get(r"/file/bot{token:[^/]+}/{path:.+}", self._download),
        ]

    async def execute(self, name: str, body: Body) -> Any:
        """Carry out one call; raise ApiError where it fails."""
        parameters: Mapping[str, Any] = body.fields
        code, description = 200, ""
        try:
            method = self._methods.get(name.lower())
            if method is None:
                raise ApiError(404, "Not Found: method not found")
            call = read_call(method.name, body, method.parameters)
            parameters = call.parameters
            return await method.handle(self._world, call)
        except ApiError as error:
            code, description = error.code, error.description
            raise
        finally:
            self._record(name, parameters, code, description)

    def _record(self, name: str, parameters: Mapping[str, Any], code: int, description: str = "") -> None:
        self.requests.append(ApiCall(name, dict(parameters), code, time.monotonic(), description))

    async def _call(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check_token(request)
            name = request.match_info["method"]
            fault = self._faults.take(name)
            if fault is not None and fault.kind == "half":
                await request.content.readany()
                self._record(name, {}, 0, fault.kind)
                return _broken(request)
            # Read in any case: a client that still sends would not see an early answer.
            body = await read_body(request)
            if fault is not None and (response := await self._trouble(request, fault, name, body)) is not None:
                return response
            result = await self.execute(name, body)
            if fault is not None and fault.kind == "lost_answer":
                return _broken(request)
            return _json(200, {"ok": True, "result": result})
        except ApiError as error:
            return _json(error.code, error.payload())

    async def _download(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check_token(request)
            fault = self._faults.take("file")
            if fault is not None and (response := await self._trouble(request, fault, "file", Body())) is not None:
                return response
        except ApiError as error:
            return _json(error.code, error.payload())
        file = self._world.files.at_path(request.match_info["path"])
        if file is None:
            return _json(404, ApiError(404, "Not Found").payload())
        if fault is not None and fault.kind == "half":
            return await _half_of(request, file.data)
        return web.Response(body=file.data, content_type="application/octet-stream")

    def _check_token(self, request: web.Request) -> None:
        if request.match_info["token"] != self._token:
            raise ApiError(401, "Unauthorized")

    async def _trouble(self, request: web.Request, fault: Fault, name: str, body: Body) -> web.StreamResponse | None:
        """Do what the fault says; None where the call is to be carried out."""
        if fault.kind in {"delay", "silence"}:
            await asyncio.sleep(fault.seconds)
        if fault.kind in {"delay", "half", "lost_answer"}:
            return None
        code = {"flood": 429, "error": 500, "bad_gateway": 502}.get(fault.kind, 0)
        self._record(name, body.fields, code, fault.kind)
        if fault.kind == "flood":
            seconds = max(1, round(fault.seconds))
            raise ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
        if fault.kind == "error":
            raise ApiError(500, "Internal Server Error")
        if fault.kind == "bad_gateway":
            return web.Response(status=502, text=BAD_GATEWAY, content_type="text/html")
        return _broken(request)


def _broken(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half_of(request: web.Request, data: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = len(data)
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    return _broken(request)


def _json(status: int, payload: object) -> web.Response:
    return web.Response(status=status, text=json.dumps(payload), content_type="application/json")
