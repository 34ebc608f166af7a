"""The world of the sandbox: people, their chats with the bot, messages, callback queries, and who watches."""

from __future__ import annotations

import asyncio
import copy
import secrets
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox.entities import with_found
from sandbox.errors import ApiError, bad_request
from sandbox.files import FileStore, StoredFile
from sandbox.profile import BOT_FIRST_NAME, BOT_USERNAME, Profile
from sandbox.updates import Updates

Message = dict[str, Any]

MAX_MESSAGES = 1000
MAX_QUERIES = 10_000
MAX_EVENTS = 1000
QUERY_LIFETIME_S = 60.0


@dataclass(slots=True)
class Entry:
    """A message of a chat in its current state."""

    message: Message
    from_bot: bool
    edits: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a chat: message, edited (both with an entry), deleted, answer, action, bot."""

    kind: str
    entry: Entry | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Person:
    """A user and the chat with the bot; `started`: has written to the bot, so that the bot may write back."""

    id: int
    first_name: str
    language_code: str
    blocked: bool = False
    started: bool = False
    entries: dict[int, Entry] = field(default_factory=dict)
    answers: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_MESSAGES))
    actions: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_MESSAGES))
    watchers: set[asyncio.Queue[Event]] = field(default_factory=set)

    def as_user(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "is_bot": False,
            "first_name": self.first_name,
            "language_code": self.language_code,
        }

    def as_chat(self) -> dict[str, Any]:
        return {"id": self.id, "type": "private", "first_name": self.first_name}


@dataclass(slots=True)
class Query:
    """A pressed button that waits for answerCallbackQuery."""

    person: Person
    pressed_at: float


class World:
    """Everything the sandbox knows. Lives in one event loop; nothing here blocks."""

    def __init__(self, bot_id: int, *, query_lifetime_s: float = QUERY_LIFETIME_S) -> None:
        self.bot = {"id": bot_id, "is_bot": True, "first_name": BOT_FIRST_NAME, "username": BOT_USERNAME}
        self.query_lifetime_s = query_lifetime_s
        self.people: dict[int, Person] = {}
        self.files = FileStore()
        self.profile = Profile()
        self.updates = Updates()
        self._queries: dict[str, Query] = {}
        # One numbering for all private chats, as a real account's messages have.
        self._last_message_id = 0

    def chat(self, chat_id: int) -> Person:
        """Return the person the bot may write to; raise ApiError as the real server does."""
        person = self.people.get(chat_id)
        if person is None:
            raise bad_request("chat not found")
        if not person.started:
            raise ApiError(403, "Forbidden: bot can't initiate conversation with a user")
        if person.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        return person

    def post(self, person: Person, content: Message, *, from_bot: bool) -> Message:
        """Add a message to a chat and return it; a user's message becomes an update for the bot."""
        self._last_message_id += 1
        message = {
            "message_id": self._last_message_id,
            "from": self.bot if from_bot else person.as_user(),
            "chat": person.as_chat(),
            "date": int(time.time()),
            **content,
        }
        entry = Entry(message, from_bot)
        person.entries[self._last_message_id] = entry
        while len(person.entries) > MAX_MESSAGES:
            del person.entries[next(iter(person.entries))]
        self.emit(person, Event("message", entry))
        if not from_bot:
            person.started = True
            self.updates.add("message", copy.deepcopy(message), person.id)
        return copy.deepcopy(message)

    def edit(self, person: Person, entry: Entry, content: Message) -> Message:
        """Replace what a message says by `content`; raise ApiError where nothing would change."""
        fixed = {"message_id", "from", "chat", "date", "reply_to_message", "media_group_id"}
        kept = {name: value for name, value in entry.message.items() if name in fixed}
        old = {name: value for name, value in entry.message.items() if name not in {*fixed, "edit_date"}}
        if content == old:
            raise bad_request(
                "message is not modified: specified new message content and reply markup are exactly the same "
                "as a current content and reply markup of the message"
            )
        entry.message = {**kept, "edit_date": int(time.time()), **content}
        entry.edits += 1
        self.emit(person, Event("edited", entry))
        return copy.deepcopy(entry.message)

    def delete(self, person: Person, message_id: int) -> None:
        del person.entries[message_id]
        self.emit(person, Event("deleted", details={"message_id": message_id}))

    def show(self, person: Person, files: list[StoredFile]) -> None:
        """Let files be seen in a chat."""
        for file in files:
            for each in file.family or [file]:
                each.chat_ids.add(person.id)
            thumbnail = self.files.get(file.about.get("thumbnail", {}).get("file_id", ""))
            if thumbnail is not None:
                thumbnail.chat_ids.add(person.id)

    def press(self, person: Person, message: Message, data: str) -> str:
        """Send a callback query to the bot and return its id."""
        query_id = str(secrets.randbits(62))
        self._queries[query_id] = Query(person, time.monotonic())
        while len(self._queries) > MAX_QUERIES:
            del self._queries[next(iter(self._queries))]
        content = {
            "id": query_id,
            "from": person.as_user(),
            "message": copy.deepcopy(message),
            "chat_instance": str(person.id),
            "data": data,
        }
        self.updates.add("callback_query", content, person.id)
        return query_id

    def answer(self, query_id: str, answer: dict[str, Any]) -> None:
        """Show the answer to who pressed. A query is answered once; the real server lets a few seconds pass first."""
        query = self._queries.pop(query_id, None)
        if query is None or time.monotonic() - query.pressed_at > self.query_lifetime_s:
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        query.person.answers.append({"callback_query_id": query_id, **answer})
        self.emit(query.person, Event("answer", details={"callback_query_id": query_id, **answer}))

    def emit(self, person: Person, event: Event) -> None:
        for queue in list(person.watchers):
            if queue.full():
                # Whoever falls so far behind starts again from a fresh snapshot.
                person.watchers.discard(queue)
                queue.get_nowait()
                queue.put_nowait(Event("overrun"))
            else:
                queue.put_nowait(event)

    @contextmanager
    def watch(self, person: Person) -> Iterator[asyncio.Queue[Event]]:
        queue: asyncio.Queue[Event] = asyncio.Queue(MAX_EVENTS)
        person.watchers.add(queue)
        try:
            yield queue
        finally:
            person.watchers.discard(queue)


def text_content(field_name: str, text: str, entities: list[dict[str, Any]]) -> Message:
    """Return the fields of a text or caption with its entities, {} where it is empty."""
    if not text:
        return {}
    entities = with_found(text, entities)
    name = "entities" if field_name == "text" else "caption_entities"
    return {field_name: text, **({name: entities} if entities else {})}
