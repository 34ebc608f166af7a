"""The other side of the sandbox: what the chat page in the browser calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from sandbox.body import Body, read_body
from sandbox.client import SandboxUser
from sandbox.errors import ApiError, ChatError
from sandbox.faults import Faults
from sandbox.rendering import render
from sandbox.state import Event, Person, World

PAGE = Path(__file__).parent / "page"
KEEP_ALIVE_S = 15.0
LANGUAGES = ("en", "ru")
SAFE_TO_SHOW = ("image/jpeg", "image/png", "image/webp", "image/gif")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MakeUser = Callable[..., SandboxUser]


class ChatApi:
    """Routes of the page; errors are {"error": a sentence} with 400, or 404 for what is not there."""

    def __init__(self, world: World, faults: Faults, make_user: MakeUser) -> None:
        self._world = world
        self._faults = faults
        self._make_user = make_user
        self._closing = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/chat/users", self._users),
            web.post("/chat/users", _spoken(self._add_user)),
            web.get(r"/chat/{user_id:\d+}/events", _spoken(self._events)),
            web.post(r"/chat/{user_id:\d+}/messages", _spoken(self._send)),
            web.post(r"/chat/{user_id:\d+}/buttons", _spoken(self._press)),
            web.post(r"/chat/{user_id:\d+}/blocked", _spoken(self._block)),
            web.get(r"/chat/{user_id:\d+}/files/{file_id}", self._file),
            web.get("/chat/faults", self._pending_faults),
            web.post("/chat/faults", _spoken(self._add_fault)),
            web.get("/{path:.*}", self._page),
        ]

    def close(self) -> None:
        """End the streams of events."""
        self._closing = True
        for person in self._world.people.values():
            self._world.emit(person, Event("end"))

    async def _users(self, request: web.Request) -> web.Response:
        return web.json_response([_describe(person) for person in self._world.people.values()])

    async def _add_user(self, request: web.Request) -> web.Response:
        given = (await read_body(request)).fields
        name, language = given.get("first_name"), given.get("language_code")
        if not isinstance(name, str) or not 1 <= len(name.strip()) <= 64:
            raise ChatError("A name has 1 to 64 characters.")
        if not isinstance(language, str) or not (2 <= len(language) <= 8 and language.isascii()):
            raise ChatError(f"A language is a code such as {' or '.join(LANGUAGES)}.")
        user = self._make_user(first_name=name.strip(), language_code=language)
        return web.json_response(_describe(self._world.people[user.id]))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        person = self._person(request)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        # A page that is closed or reloaded leaves in the middle of a line.
        with contextlib.suppress(ConnectionResetError), self._world.watch(person) as events:
            await response.prepare(request)
            await response.write(b"retry: 500\n\n" + self._snapshot(person, events))
            while not self._closing:
                try:
                    event = await asyncio.wait_for(events.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    await response.write(b": still here\n\n")
                    continue
                if event.kind in {"end", "overrun"}:
                    break
                if event.kind == "bot":
                    await response.write(self._snapshot(person, events))
                elif event.entry is not None:
                    await response.write(_sse(event.kind, render(person.id, event.entry)))
                else:
                    await response.write(_sse(event.kind, event.details))
        return response

    def _snapshot(self, person: Person, events: asyncio.Queue[Event]) -> bytes:
        """Return the chat as it is now; what waits in the queue is in it already, but for answers and actions."""
        waiting = [events.get_nowait() for _ in range(events.qsize())]
        for event in waiting:
            if event.kind in {"answer", "action", "end", "overrun"}:
                events.put_nowait(event)
        profile, language = self._world.profile, person.language_code
        bot = {
            "first_name": profile.text("name", language) or self._world.bot["first_name"],
            "username": self._world.bot["username"],
            "description": profile.text("description", language),
            "short_description": profile.text("short_description", language),
            "commands": profile.commands_for(person.id, language),
        }
        messages = [render(person.id, entry) for entry in person.entries.values()]
        return _sse("snapshot", {"bot": bot, "messages": messages})

    async def _send(self, request: web.Request) -> web.Response:
        user, body = self._user(request), await read_body(request)
        if not body.uploads:
            text = body.fields.get("text", "")
            if not isinstance(text, str):
                raise ChatError("The text of a message is a string.")
            sent = [await user.send_text(text)]
        else:
            sent = await _send_files(user, body)
        return web.json_response({"message_ids": [message["message_id"] for message in sent]})

    async def _press(self, request: web.Request) -> web.Response:
        user, given = self._user(request), (await read_body(request)).fields
        message_id, data = given.get("message_id"), given.get("data")
        if not isinstance(message_id, int) or not isinstance(data, str):
            raise ChatError("A press names message_id, a number, and data, a string.")
        return web.json_response({"callback_query_id": await user.press(message_id, data)})

    async def _block(self, request: web.Request) -> web.Response:
        user, given = self._user(request), (await read_body(request)).fields
        if not isinstance(given.get("blocked"), bool):
            raise ChatError("blocked is true or false.")
        await user.block(given["blocked"])
        return web.json_response(_describe(self._person(request)))

    async def _file(self, request: web.Request) -> web.Response:
        try:
            file = self._user(request).stored_file(request.match_info["file_id"])
        except ChatError as error:
            return _error(404, str(error))
        shown = file.mime_type if file.mime_type in SAFE_TO_SHOW else "application/octet-stream"
        headers = {"Content-Security-Policy": "sandbox", "Cache-Control": "private, max-age=86400, immutable"}
        response = web.Response(body=file.data, content_type=shown, headers=headers)
        if file.kind != "photo":
            # A page that someone sends as a file must not open as a page of this origin.
            name = str(file.about.get("file_name", file.path.rpartition("/")[2]))
            response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        return response

    async def _pending_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._faults.pending())

    async def _add_fault(self, request: web.Request) -> web.Response:
        """{kind, method, times, seconds}; {"kind": "duplicate", times, copies}; {"kind": "clear"}."""
        given = (await read_body(request)).fields
        try:
            kind, times = str(given.get("kind")), int(given.get("times", 1))
            if kind == "clear":
                self._faults.clear()
            elif kind == "duplicate":
                self._faults.duplicate(times, copies=int(given.get("copies", 2)))
            else:
                self._faults.add(kind, str(given.get("method", "*")), times, float(given.get("seconds", 1)))
        except (TypeError, ValueError) as error:
            raise ChatError(f"No such fault: {error}.") from error
        return web.json_response(self._faults.pending())

    async def _page(self, request: web.Request) -> web.StreamResponse:
        try:
            wanted = (PAGE / (request.match_info["path"] or "index.html")).resolve()
            found = wanted.is_relative_to(PAGE.resolve()) and wanted.is_file()
        except (OSError, ValueError):
            # A name that no file can have.
            found = False
        if not found:
            return web.Response(status=404, text="Not found")
        return web.FileResponse(wanted, headers={"Cache-Control": "no-cache"})

    def _person(self, request: web.Request) -> Person:
        person = self._world.people.get(int(request.match_info["user_id"]))
        if person is None:
            raise web.HTTPNotFound(
                text=json.dumps({"error": "There is no such user."}), content_type="application/json"
            )
        return person

    def _user(self, request: web.Request) -> SandboxUser:
        return self._make_user(self._person(request).id)


async def _send_files(user: SandboxUser, body: Body) -> list[dict[str, Any]]:
    files = [upload for name, upload in body.uploads if name == "file"]
    caption = body.fields.get("caption")
    if body.fields.get("as", "photo") not in {"photo", "file"} or not files:
        raise ChatError("Send one or more `file`, `as` photo or file.")
    if body.fields.get("as", "photo") == "photo":
        if len(files) == 1:
            return [await user.send_photo(files[0].data, caption)]
        return await user.send_album([file.data for file in files], caption)
    given = [(file.data, file.file_name or "file", file.mime_type) for file in files]
    if len(given) == 1:
        return [await user.send_document(*given[0], caption=caption)]
    return await user.send_documents(given, caption)


def _spoken(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ChatError as error:
            return _error(400, str(error))
        except ApiError as error:
            return _error(error.code, f"{error.description}.")

    return answer


def _describe(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "first_name": person.first_name,
        "language_code": person.language_code,
        "blocked": person.blocked,
    }


def _sse(kind: str, data: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def _error(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)
