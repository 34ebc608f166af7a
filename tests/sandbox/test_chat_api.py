"""What the chat page calls: users, messages, live events, files, and who may ask at all."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiogram import Bot
from aiogram.types import BotCommand, BufferedInputFile, InlineKeyboardButton, InlineKeyboardMarkup
from PIL import Image

from sandbox import chat_api
from sandbox.server import Sandbox, SandboxUser
from tests.sandbox.helpers import Hook, picture

KEYBOARD = InlineKeyboardMarkup(
    inline_keyboard=[
        [InlineKeyboardButton(text="Go", callback_data="go"), InlineKeyboardButton(text="Site", url="https://a.org")]
    ]
)


class Page:
    """A browser's side of the chat API."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.get(self.sandbox.url + path, **options) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        if body is not None:
            options["json"] = body
        async with self.session.post(self.sandbox.url + path, **options) as response:
            return response.status, await response.json()

    async def send_files(
        self, user: SandboxUser, kind: str, *files: tuple[bytes, str], **fields: str
    ) -> tuple[int, Any]:
        form = aiohttp.FormData({"as": kind, **fields})
        for data, name in files:
            form.add_field("file", data, filename=name, content_type="application/octet-stream")
        return await self.post(f"/chat/{user.id}/messages", data=form)

    @asynccontextmanager
    async def events(self, user: SandboxUser) -> AsyncIterator[Events]:
        async with self.session.get(f"{self.sandbox.url}/chat/{user.id}/events") as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            yield Events(response)


class Events:
    """A stream of server-sent events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self, wanted: str | None = None) -> tuple[str, Any]:
        """Return the next event, or the next of that kind."""
        async with asyncio.timeout(10):
            while True:
                kind, data = "", ""
                while line := (await self._response.content.readline()).decode().rstrip("\n"):
                    name, _, value = line.partition(": ")
                    kind, data = (value, data) if name == "event" else (kind, value if name == "data" else data)
                if self._response.content.at_eof() and not kind:
                    return "end", None
                if kind and wanted in {None, kind}:
                    return kind, json.loads(data)

    async def comment(self) -> str:
        async with asyncio.timeout(10):
            while not (line := (await self._response.content.readline()).decode()).startswith(":"):
                pass
            return line


@pytest.fixture
async def page(sandbox: Sandbox) -> AsyncIterator[Page]:
    async with aiohttp.ClientSession() as session:
        yield Page(sandbox, session)


async def test_users_are_added_and_listed(page: Page) -> None:
    assert await page.get("/chat/users") == (200, [])
    status, ann = await page.post("/chat/users", {"first_name": "Ann", "language_code": "en"})
    assert status == 200
    assert ann == {"id": ann["id"], "first_name": "Ann", "language_code": "en", "blocked": False}
    _, bob = await page.post("/chat/users", {"first_name": " Боб ", "language_code": "ru"})
    assert bob["first_name"] == "Боб"
    assert (await page.get("/chat/users"))[1] == [ann, bob]
    assert page.sandbox.user(bob["id"]).language_code == "ru"


@pytest.mark.parametrize(
    "body",
    [{}, {"first_name": "", "language_code": "en"}, {"first_name": "Ann"}, {"first_name": 5, "language_code": "en"}],
)
async def test_bad_users_are_refused_with_a_sentence(page: Page, body: Any) -> None:
    status, answer = await page.post("/chat/users", body)
    assert status == 400
    assert answer["error"].endswith(".")


async def test_the_snapshot_then_live_events(page: Page, bot: Bot, user: SandboxUser) -> None:
    async with page.events(user) as events:
        kind, snapshot = await events.next()
        assert kind == "snapshot"
        assert [message["text"] for message in snapshot["messages"]] == ["/start"]
        assert snapshot["bot"]["username"] == (await bot.get_me()).username

        await bot.send_chat_action(user.id, "typing")
        assert await events.next() == ("action", {"action": "typing"})

        sent = await bot.send_message(user.id, "<b>Hi</b> &amp; <i>you</i>", parse_mode="HTML", reply_markup=KEYBOARD)
        kind, message = await events.next()
        assert kind == "message"
        assert (message["text"], message["html"]) == ("Hi & you", "<b>Hi</b> &amp; <i>you</i>")
        assert message["buttons"] == [[{"text": "Go", "data": "go"}, {"text": "Site", "url": "https://a.org"}]]
        assert (message["from_bot"], message["edited"], message["photo"], message["document"]) == (
            True,
            False,
            None,
            None,
        )

        await bot.edit_message_text("Bye", chat_id=user.id, message_id=sent.message_id)
        kind, edited = await events.next()
        assert kind == "edited"
        assert (edited["message_id"], edited["text"], edited["edited"], edited["buttons"]) == (
            sent.message_id,
            "Bye",
            True,
            None,
        )

        await bot.delete_message(user.id, sent.message_id)
        assert await events.next() == ("deleted", {"message_id": sent.message_id})


async def test_the_profile_of_the_bot_in_the_users_language(page: Page, bot: Bot) -> None:
    ann, boris = page.sandbox.user(), page.sandbox.user(language_code="ru")
    async with page.events(boris) as events:
        await events.next("snapshot")
        await bot.set_my_description("Paints")
        await bot.set_my_description("Рисует", language_code="ru")
        await bot.set_my_commands([BotCommand(command="start", description="Begin")])
        await bot.set_my_commands([BotCommand(command="start", description="Начать")], language_code="ru")
        commands: list[Any] = []
        while commands != [{"command": "start", "description": "Начать"}]:
            _, snapshot = await events.next("snapshot")
            commands = snapshot["bot"]["commands"]
        assert snapshot["bot"]["description"] == "Рисует"
    async with page.events(ann) as events:
        _, snapshot = await events.next("snapshot")
        assert snapshot["bot"]["commands"] == [{"command": "start", "description": "Begin"}]
        assert snapshot["bot"]["description"] == "Paints"


async def test_a_second_user_sees_nothing_of_the_first(page: Page, bot: Bot, user: SandboxUser) -> None:
    other = page.sandbox.user()
    async with page.events(other) as events:
        assert (await events.next())[1]["messages"] == []
        sent = await bot.send_photo(user.id, BufferedInputFile(picture(30, 30), "a.jpg"))
        await user.send_text("secret")
        await other.send_text("mine")
        assert (await events.next())[1]["text"] == "mine"
    assert sent.photo is not None
    url = f"/files/{sent.photo[-1].file_id}"
    assert (await page.get(f"/chat/{other.id}{url}"))[0] == 404
    async with page.session.get(f"{page.sandbox.url}/chat/{user.id}{url}") as response:
        assert response.status == 200


async def test_a_text_from_the_page_reaches_the_bot(page: Page, bot: Bot, hook: Hook) -> None:
    user = page.sandbox.user()
    await bot.set_webhook(hook.url)
    assert (await page.post(f"/chat/{user.id}/messages", {"text": "/start"}))[0] == 200
    assert (await hook.received(1))[0]["message"]["text"] == "/start"


async def test_a_photo_and_a_file_from_the_page(page: Page, user: SandboxUser) -> None:
    data = picture(2000, 1000, "PNG")
    async with page.events(user) as events:
        await events.next("snapshot")
        assert (await page.send_files(user, "photo", (data, "a.png"), caption="<hi>"))[0] == 200
        _, photo = await events.next()
        assert (photo["photo"]["width"], photo["photo"]["height"]) == (1280, 640)
        assert (photo["caption"], photo["html"]) == ("<hi>", "&lt;hi&gt;")
        assert (await page.send_files(user, "file", (data, "a.png")))[0] == 200
        _, file = await events.next()
        assert file["photo"] is None
        assert file["document"]["file_name"] == "a.png"
        assert (file["document"]["file_size"], file["document"]["mime_type"]) == (len(data), "image/png")
    async with page.session.get(page.sandbox.url + photo["photo"]["url"]) as response:
        assert response.content_type == "image/jpeg"
        with Image.open(io.BytesIO(await response.read())) as image:
            assert image.size == (1280, 640)
    async with page.session.get(page.sandbox.url + file["document"]["url"]) as response:
        assert await response.read() == data
        assert "attachment" in response.headers["Content-Disposition"]


async def test_several_photos_are_one_album(page: Page, user: SandboxUser) -> None:
    one = (picture(30, 30), "a.jpg")
    status, answer = await page.send_files(user, "photo", one, one, one, caption="three")
    assert status == 200
    album = user.messages[-3:]
    assert [message["message_id"] for message in album] == answer["message_ids"]
    assert len({message["media_group_id"] for message in album}) == 1
    assert [message.get("caption") for message in album] == ["three", None, None]


async def test_what_the_page_cannot_send(page: Page, user: SandboxUser) -> None:
    one = (picture(30, 30), "a.jpg")
    for sending in (
        page.send_files(user, "photo", (b"junk", "a.jpg")),
        page.send_files(user, "photo", one, (b"junk", "b.jpg")),
        page.send_files(user, "photo", *[one] * 11),
        page.send_files(user, "sculpture", one),
        page.send_files(user, "photo", one, caption="x" * 1025),
        page.send_files(user, "file", (b"", "a.jpg")),
        page.post(f"/chat/{user.id}/messages", {"text": "  "}),
        page.post(f"/chat/{user.id}/messages", {"text": "x" * 4097}),
        page.post(f"/chat/{user.id}/messages", {"text": 7}),
        page.post(f"/chat/{user.id}/messages", data="{", headers={"Content-Type": "application/json"}),
        page.post(f"/chat/{user.id}/buttons", {"message_id": 99, "data": "x"}),
        page.post(f"/chat/{user.id}/buttons", {"message_id": "1", "data": "x"}),
        page.post(f"/chat/{user.id}/blocked", {"blocked": "yes"}),
    ):
        status, answer = await sending
        assert status == 400
        assert answer["error"].endswith(".")
    assert len(user.messages) == 1


async def test_an_unknown_user_is_not_there(page: Page) -> None:
    for path in ("messages", "buttons", "blocked"):
        assert (await page.post(f"/chat/999/{path}", {}))[0] == 404
    for path in ("events", "files/x"):
        assert (await page.get(f"/chat/999/{path}"))[0] == 404


async def test_a_button_is_pressed_and_answered(page: Page, bot: Bot, user: SandboxUser) -> None:
    sent = await bot.send_message(user.id, "x", reply_markup=KEYBOARD)
    async with page.events(user) as events:
        await events.next("snapshot")
        status, pressed = await page.post(f"/chat/{user.id}/buttons", {"message_id": sent.message_id, "data": "go"})
        assert status == 200
        await bot.answer_callback_query(pressed["callback_query_id"], "Going", show_alert=True)
        assert await events.next() == (
            "answer",
            {"callback_query_id": pressed["callback_query_id"], "text": "Going", "show_alert": True},
        )


async def test_blocking(page: Page, user: SandboxUser) -> None:
    _, described = await page.post(f"/chat/{user.id}/blocked", {"blocked": True})
    assert described["blocked"]
    assert (await page.post(f"/chat/{user.id}/messages", {"text": "x"}))[0] == 400
    await page.post(f"/chat/{user.id}/blocked", {"blocked": False})
    assert (await page.post(f"/chat/{user.id}/messages", {"text": "x"}))[0] == 200


async def test_faults_from_the_page(page: Page) -> None:
    fault = {"kind": "flood", "method": "sendMessage", "times": 2, "seconds": 3}
    assert (await page.post("/chat/faults", fault))[0] == 200
    taken = page.sandbox.faults.take("sendMessage")
    assert taken is not None
    assert (taken.kind, taken.seconds, taken.times) == ("flood", 3, 1)
    assert (await page.post("/chat/faults", {"kind": "clear"}))[1] == []
    assert (await page.post("/chat/faults", {"kind": "duplicate", "copies": 3}))[0] == 200
    assert page.sandbox.faults.copies_of_next_update() == 3
    for wrong in ({"kind": "gremlins"}, {"kind": "flood", "times": "many"}, {}):
        assert (await page.post("/chat/faults", wrong))[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "["},
    ],
)
async def test_other_sites_are_refused(page: Page, user: SandboxUser, headers: dict[str, str]) -> None:
    status, _ = await page.post(f"/chat/{user.id}/messages", {"text": "x"}, headers=headers)
    assert status in {400, 403}
    assert (await page.get(f"/bot{page.sandbox.token}/getMe", headers=headers))[0] in {400, 403}
    assert len(user.messages) == 1


async def test_the_page_itself_may_ask(page: Page, user: SandboxUser) -> None:
    headers = {"Origin": page.sandbox.url}
    assert (await page.post(f"/chat/{user.id}/messages", {"text": "x"}, headers=headers))[0] == 200


async def test_a_file_that_is_a_page_does_not_open_as_one(page: Page, user: SandboxUser) -> None:
    message = await user.send_document(b"<script>alert(1)</script>", 'evil".html', "text/html")
    url = f"{page.sandbox.url}/chat/{user.id}/files/{message['document']['file_id']}"
    async with page.session.get(url) as response:
        assert response.content_type == "application/octet-stream"
        assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''evil%22.html"
        assert response.headers["Content-Security-Policy"] == "sandbox"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_folder_of_the_page_is_served_and_nothing_beside_it(page: Page) -> None:
    async with page.session.get(page.sandbox.url + "/") as response:
        assert response.content_type == "text/html"
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    for path in ("/server.py", "/%2e%2e/server.py", "/..%2fserver.py", "/nothing.js", "/%00", "/" + "x" * 300):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(page.sandbox.url.rpartition(":")[2]))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), path


async def test_an_idle_stream_is_kept_alive(page: Page, user: SandboxUser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_api, "KEEP_ALIVE_S", 0.05)
    async with page.events(user) as events:
        await events.next("snapshot")
        assert await events.comment() == ": still here\n"
        await user.send_text("x")
        assert (await events.next())[1]["text"] == "x"


async def test_stopping_ends_the_streams(page: Page, user: SandboxUser) -> None:
    async with page.events(user) as events:
        await events.next("snapshot")
        await asyncio.wait_for(page.sandbox.stop(), 1.5)
        assert await events.next() == ("end", None)


async def test_only_loopback_is_listened_on() -> None:
    sandbox = Sandbox()
    with pytest.raises(ValueError, match="loopback only"):
        await sandbox.start("0.0.0.0")  # noqa: S104
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            await sandbox.start(port=taken.getsockname()[1])
