"""A user of the sandbox: what a person does in a Telegram client, for tests and for the chat page."""

from __future__ import annotations

import asyncio
import copy
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sandbox.entities import utf16_length
from sandbox.errors import ChatError
from sandbox.files import StoredFile
from sandbox.pictures import DimensionsError, UndecodableError
from sandbox.state import Entry, Message, Person, World, text_content

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_ALBUM = 10
NOT_A_PHOTO = "This is not a picture that can be sent as a photo. Send it as a file."
NOT_A_PHOTO_SIZE = "This picture is too large or too narrow to be sent as a photo. Send it as a file."


class SandboxUser:
    """One person in a private chat with the bot. A method raises ChatError where a client would not let them."""

    def __init__(self, world: World, person: Person) -> None:
        self._world = world
        self._person = person

    @property
    def id(self) -> int:
        return self._person.id

    @property
    def first_name(self) -> str:
        return self._person.first_name

    @property
    def language_code(self) -> str:
        return self._person.language_code

    @property
    def messages(self) -> list[Message]:
        """The chat, oldest first: copies of the Bot API's Message in its current state, with from_bot and edits."""
        return [_copy(entry) for entry in self._person.entries.values()]

    @property
    def answers(self) -> list[dict[str, Any]]:
        """Answers to pressed buttons: callback_query_id, text, show_alert."""
        return list(self._person.answers)

    @property
    def actions(self) -> list[str]:
        """Chat actions of the bot ("typing", "upload_photo"), oldest first."""
        return list(self._person.actions)

    @property
    def blocked(self) -> bool:
        return self._person.blocked

    async def send_text(self, text: str) -> Message:
        self._check_not_blocked()
        text = text.encode(errors="replace").decode().strip()
        if not text:
            raise ChatError("Write something first.")
        if utf16_length(text) > MAX_TEXT:
            raise ChatError(f"A message has at most {MAX_TEXT} characters.")
        return self._post(text_content("text", text, []))

    async def send_photo(self, data: bytes, caption: str | None = None) -> Message:
        """Send a picture as a photo: it is made into JPEGs of at most 1280 px, as a client does."""
        [message] = await self._send([self._photo(data)], caption)
        return message

    async def send_document(
        self,
        data: bytes,
        file_name: str = "picture.png",
        mime_type: str | None = None,
        caption: str | None = None,
    ) -> Message:
        """Send a file byte for byte."""
        [message] = await self._send([self._document(data, file_name, mime_type)], caption)
        return message

    async def send_album(self, pictures: Sequence[bytes], caption: str | None = None) -> list[Message]:
        """Send 2 to 10 photos as one album: separate messages with one media_group_id, the caption on the first."""
        return await self._send([self._photo(data) for data in pictures], caption, album=True)

    async def send_documents(
        self, files: Sequence[tuple[bytes, str, str | None]], caption: str | None = None
    ) -> list[Message]:
        """Send 2 to 10 files (data, name, mime type) as one album."""
        return await self._send([self._document(*file) for file in files], caption, album=True)

    async def send_video(self, data: bytes = b"video", duration: int = 3) -> Message:
        about = {"width": 320, "height": 240, "duration": duration, "mime_type": "video/mp4"}
        return self._send_file("video", data, about, ".mp4")

    async def send_sticker(self, data: bytes = b"sticker") -> Message:
        about = {"type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False}
        return self._send_file("sticker", data, about, ".webp")

    async def send_voice(self, data: bytes = b"voice", duration: int = 3) -> Message:
        return self._send_file("voice", data, {"duration": duration, "mime_type": "audio/ogg"}, ".oga")

    async def send_location(self, latitude: float = 59.94, longitude: float = 30.31) -> Message:
        self._check_not_blocked()
        return self._post({"location": {"latitude": latitude, "longitude": longitude}})

    async def press(self, message: int | Message, data_or_text: str) -> str:
        """Press a callback button of a message, named by its data or its text; return the callback query's id."""
        entry = self._entry(message)
        rows = entry.message.get("reply_markup", {}).get("inline_keyboard", [])
        buttons = [button for row in rows for button in row]
        for button in buttons:
            if data_or_text in {button.get("callback_data"), button["text"]}:
                if "callback_data" not in button:
                    raise ChatError(f"The button {button['text']!r} does not send anything to the bot.")
                return await self.press_raw(entry.message["message_id"], button["callback_data"])
        there = ", ".join(f"{button['text']!r} ({button.get('callback_data')})" for button in buttons) or "none"
        raise ChatError(f"This message has no button {data_or_text!r}; it has: {there}.")

    async def press_raw(self, message_id: int, data: str) -> str:
        """Send callback data whether or not there is such a button or message: what an altered client can do."""
        self._check_not_blocked()
        entry = self._person.entries.get(message_id)
        gone = {"chat": self._person.as_chat(), "message_id": message_id, "date": 0}
        return self._world.press(self._person, entry.message if entry else gone, data)

    async def block(self, blocked: bool = True) -> None:
        """Block the bot, or let it write again."""
        if blocked != self._person.blocked:
            self._person.blocked = blocked
            states: list[dict[str, Any]] = [
                {"user": self._world.bot, "status": "member"},
                {"user": self._world.bot, "status": "kicked", "until_date": 0},
            ]
            change = {
                "chat": self._person.as_chat(),
                "from": self._person.as_user(),
                "date": int(time.time()),
                "old_chat_member": states[not blocked],
                "new_chat_member": states[blocked],
            }
            self._world.updates.add("my_chat_member", copy.deepcopy(change), self.id)

    async def wait_for(self, predicate: Callable[[Message], bool], timeout_s: float = 10.0) -> Message:
        """Return the first message of the chat for which the predicate holds, now or after it arrives or is edited."""
        with self._world.watch(self._person) as events:
            for message in self.messages:
                if predicate(message):
                    return message
            try:
                async with asyncio.timeout(timeout_s):
                    while True:
                        event = await events.get()
                        if event.entry is not None and predicate(message := _copy(event.entry)):
                            return message
            except TimeoutError as error:
                tail = [each.get("text", each.get("caption", sorted(each))) for each in self.messages[-5:]]
                raise TimeoutError(f"no such message within {timeout_s} s; the chat ends with {tail}") from error

    async def wait_for_answer(self, query_id: str, timeout_s: float = 10.0) -> dict[str, Any]:
        """Return the bot's answer to a pressed button."""
        with self._world.watch(self._person) as events:
            async with asyncio.timeout(timeout_s):
                while True:
                    for answer in self._person.answers:
                        if answer["callback_query_id"] == query_id:
                            return answer
                    await events.get()

    def file(self, file_id: str) -> bytes:
        """Return the contents of a file of this chat; raise ChatError for any other."""
        return self.stored_file(file_id).data

    def stored_file(self, file_id: str) -> StoredFile:
        file = self._world.files.get(file_id)
        if file is None or self.id not in file.chat_ids:
            raise ChatError("There is no such file in this chat.")
        return file

    async def _photo(self, data: bytes) -> Message:
        try:
            file = await self._world.files.add_photo(data)
        except UndecodableError as error:
            raise ChatError(NOT_A_PHOTO) from error
        except DimensionsError as error:
            raise ChatError(NOT_A_PHOTO_SIZE) from error
        self._world.show(self._person, [file])
        return {"photo": [size.describe() for size in file.family]}

    async def _document(self, data: bytes, file_name: str, mime_type: str | None) -> Message:
        if not data:
            raise ChatError("An empty file cannot be sent.")
        file = await self._world.files.add_document(data, file_name, mime_type)
        self._world.show(self._person, [file])
        return {"document": file.describe()}

    async def _send(
        self, contents: Sequence[Awaitable[Message]], caption: str | None, *, album: bool = False
    ) -> list[Message]:
        # All are waited for, so that a refused picture leaves none of the others at work.
        outcomes = await asyncio.gather(*contents, return_exceptions=True)
        made: list[Message] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            made.append(outcome)
        self._check_not_blocked()
        if album and not 2 <= len(made) <= MAX_ALBUM:
            raise ChatError(f"An album has 2 to {MAX_ALBUM} pictures.")
        caption = (caption or "").strip()
        if utf16_length(caption) > MAX_CAPTION:
            raise ChatError(f"A caption has at most {MAX_CAPTION} characters.")
        group = {"media_group_id": str(secrets.randbits(53))} if album else {}
        captions = [text_content("caption", caption, []), *({} for _ in made[1:])]
        return [self._post(group | content | each) for content, each in zip(made, captions, strict=True)]

    def _send_file(self, kind: str, data: bytes, about: dict[str, Any], extension: str) -> Message:
        self._check_not_blocked()
        file = self._world.files.add(kind, data, about, extension)
        self._world.show(self._person, [file])
        return self._post({kind: file.describe()})

    def _post(self, content: Message) -> Message:
        return self._world.post(self._person, content, from_bot=False)

    def _entry(self, message: int | Message) -> Entry:
        message_id = message if isinstance(message, int) else message["message_id"]
        entry = self._person.entries.get(message_id)
        if entry is None:
            raise ChatError("This message is not there any more.")
        return entry

    def _check_not_blocked(self) -> None:
        if self._person.blocked:
            raise ChatError("You have blocked the bot. Unblock it to write to it.")


def _copy(entry: Entry) -> Message:
    return {**copy.deepcopy(entry.message), "from_bot": entry.from_bot, "edits": entry.edits}
