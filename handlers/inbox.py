"""Pictures that cannot be taken at once: albums, which come as single messages, and files, which have to be looked at.

They are stored in the dialogue as they come, so that the update can be acknowledged and a restart loses none, and
taken a moment later by one task a dialogue, in the order in which they were sent.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import structlog
from aiogram.exceptions import AiogramError
from aiogram.fsm.context import FSMContext
from aiogram.fsm.storage.base import BaseEventIsolation, BaseStorage, StorageKey
from aiogram.types import ReplyParameters

from handlers.desk import Desk, Person, was_ordered
from handlers.draft import Draft, Received
from handlers.storage import dialogue_key, storage_key
from ml_models.errors import DownloadError, PictureError, StyleTransferError
from processing import wording
from processing.download import TelegramPictures
from processing.job import FETCH_PAUSES_S, Failure
from processing.store import Store
from reporting.notices import Notices

#: Telegram sends an album's messages within a few tenths of a second.
ALBUM_PAUSE_S = 0.8
INSPECTION_TIMEOUT_S = 90.0
#: After so long a look at a file the user is told that it goes on: the last try may end much later.
SLOW_AFTER_S = 5.0
#: Pauses before another try to take what is here; after the last the user is told and it is dropped.
RETRY_PAUSES_S = (1.0, 5.0, 20.0)

#: A picture that lies in an inbox for so long was left there by a bot that is gone.
LEFT_AFTER_S = INSPECTION_TIMEOUT_S
LOOK_EVERY_S = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """One picture in the inbox.

    Attributes:
        album_id: media_group_id, or None for a single picture.
        inspected: it is known to be a picture that can be read.
        arrived_at: seconds since 1970.
    """

    received: Received
    album_id: str | None = None
    inspected: bool = True
    arrived_at: float = field(default_factory=time.time)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        received = Received.from_data(data["received"])
        return cls(received, data["album_id"], bool(data["inspected"]), data.get("arrived_at", 0.0))


class Inbox:
    """The inboxes of all dialogues."""

    def __init__(
        self,
        desk: Desk,
        pictures: TelegramPictures,
        storage: BaseStorage,
        locks: BaseEventIsolation,
        notices: Notices,
    ) -> None:
        self.desk = desk
        self.pictures = pictures
        self.storage = storage
        self.locks = locks
        self.notices = notices
        self._looking: asyncio.Task[None] | None = None
        self._tasks: dict[StorageKey, asyncio.Task[None]] = {}

    async def take(self, person: Person, context: FSMContext, item: Item) -> None:
        """Take a picture: at once where that is possible, through the inbox otherwise. The caller holds the lock."""
        received = item.received
        if await was_ordered(context, received.message_id):
            return
        data = await context.get_data()
        items = items_of(data)
        if item.inspected and item.album_id is None and not items:
            if left_out := await self._add(person, context, [item]):
                await self._tell(person, left_out)
            return
        if all(other.received.message_id != received.message_id for other in items):
            await _store(context, person, [*items, item])
        self._start(context.key)

    async def resume(self, store: Store) -> None:
        """Go on with what a stopped bot left behind."""
        for key, _ in await store.dialogues_with("inbox"):
            self._start(storage_key(key))

    def look_after(self, store: Store) -> None:
        """Go on, from now on, with what other bots leave behind while this one runs."""
        self._looking = asyncio.create_task(self._look(store), name="inboxes of others")

    async def _look(self, store: Store) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                for key, data in await store.dialogues_with("inbox"):
                    newest = max((item.arrived_at for item in items_of(data)), default=0.0)
                    if time.time() - newest > LEFT_AFTER_S:
                        self._start(storage_key(key))
            except Exception as error:
                log.warning("the inboxes of others could not be looked at", error=str(error))

    async def close(self) -> None:
        """Stop; what is here is stored and goes on at the next start."""
        tasks = [*self._tasks.values(), *filter(None, [self._looking])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: StorageKey) -> None:
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._empty(key), name=f"inbox {dialogue_key(key)}")

    async def _empty(self, key: StorageKey) -> None:
        context = FSMContext(self.storage, key)
        pauses = iter(RETRY_PAUSES_S)
        while True:
            try:
                while await self._step(key, context):
                    pass
            except Exception as error:
                log.exception("an inbox could not be emptied", dialogue=dialogue_key(key))
                await self.notices.error(error, where="inbox")
                pause_s = next(pauses, None)
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
                    continue
                await self._give_up(context)
            return

    async def _step(self, key: StorageKey, context: FSMContext) -> bool:
        """Do the next thing; False: the inbox is empty, and this task no longer minds it."""
        async with self.locks.lock(key):
            data = await context.get_data()
            items = items_of(data)
            pause_s = 0.0
            if albums := [item for item in items if item.album_id]:
                # Not longer than that by another machine's clock, which may be ahead.
                arrived_at = max(item.arrived_at for item in albums)
                pause_s = min(ALBUM_PAUSE_S, arrived_at + ALBUM_PAUSE_S - time.time())
            unknown = next((item for item in items if not item.inspected), None)
            if not items:
                # Under the lock, so that whoever adds next starts a new task.
                self._tasks.pop(key, None)
                return False
            person = Person(**data["inbox"]["person"])
            if unknown is None and pause_s <= 0:
                await self._settle(person, context, items)
                return True
        # Without the lock: the user's buttons answer meanwhile.
        if unknown is None:
            await asyncio.sleep(pause_s)
            return True
        problem = await self._inspect_and_tell(person, context, unknown)
        async with self.locks.lock(key):
            await self._note(person, context, unknown, problem)
        return True

    async def _inspect_and_tell(self, person: Person, context: FSMContext, item: Item) -> StyleTransferError | None:
        """Inspect the file, and say once that it takes long, unless it was cancelled meanwhile; return as _inspect."""
        inspecting = asyncio.create_task(self._inspect(item), name="inspection")
        try:
            _, slow = await asyncio.wait([inspecting], timeout=SLOW_AFTER_S)
            if slow and item in items_of(await context.get_data()):
                await self._tell(person, self.desk.say(person)("inbox.slow"), _reply_to(item))
            return await inspecting
        finally:
            inspecting.cancel()
            await asyncio.wait([inspecting])

    async def _inspect(self, item: Item) -> StyleTransferError | None:
        """Return what is wrong with the file, or None; one that cannot be fetched is tried again a few times."""
        problem: DownloadError | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(INSPECTION_TIMEOUT_S):
                for pause_s in (0.0, *FETCH_PAUSES_S):
                    await asyncio.sleep(pause_s)
                    try:
                        await self.pictures.inspect(item.received.picture)
                    except PictureError as error:
                        return error
                    except DownloadError as error:
                        log.warning("a file could not be fetched", error=str(error))
                        problem = error
                    else:
                        return None
        return problem or DownloadError("it took too long")

    async def _note(self, person: Person, context: FSMContext, item: Item, problem: StyleTransferError | None) -> None:
        """Keep the item as inspected, or say what is wrong with it and drop it; a cancelled one is gone already."""
        items = items_of(await context.get_data())
        if item not in items:
            return
        index = items.index(item)
        items[index : index + 1] = [] if problem else [replace(item, inspected=True)]
        await _store(context, person, items)
        if problem:
            text = wording.failed(self.desk.say(person), Failure(problem.code, problem.details))
            await self._tell(person, text, _reply_to(item))

    async def _settle(self, person: Person, context: FSMContext, items: list[Item]) -> None:
        """Take the pictures of the first message and of its album, if it is one."""
        first = min(items, key=lambda item: item.received.message_id)
        taken = [item for item in items if item is first or (first.album_id and item.album_id == first.album_id)]
        left_out = await self._add(person, context, taken)
        await _store(context, person, [item for item in items_of(await context.get_data()) if item not in taken])
        if left_out:
            await self._tell(person, left_out)

    async def _add(self, person: Person, context: FSMContext, items: list[Item]) -> str | None:
        """Add the pictures to the draft; return what is to be said of those that are too many."""
        before = Draft.from_data(await context.get_data())
        # Known already: a restart or a failure came between taking them and emptying the inbox.
        new = [
            item.received
            for item in items
            if not before.has(item.received.message_id) and not await was_ordered(context, item.received.message_id)
        ]
        if not before.mode.max_styles and not before.held:
            return await self._add_each(person, context, new)
        draft = before.add(*new)
        if new:
            await self.desk.receive(person, context, draft, origin(person, new))
        if len(draft.pictures) < len(before.pictures) + len(new):
            limit = draft.mode.max_styles
            return self.desk.say(person)("album.too_many" if limit else "album.one_photo", limit=limit)
        return None

    async def _add_each(self, person: Person, context: FSMContext, photos: list[Received]) -> str | None:
        """In a mode without styles every picture is an order of its own, until the queue is full."""
        for taken, photo in enumerate(sorted(photos, key=lambda each: each.message_id)):
            draft = Draft.from_data(await context.get_data()).add(photo)
            if not await self.desk.receive(person, context, draft, origin(person, [photo])):
                say = self.desk.say(person)
                return say("album.photos_left", taken=taken, sent=len(photos)) if len(photos) > 1 else None
        return None

    async def _give_up(self, context: FSMContext) -> None:
        try:
            async with self.locks.lock(context.key):
                self._tasks.pop(context.key, None)
                data = await context.get_data()
                if data.get("inbox"):
                    person = Person(**data["inbox"]["person"])
                    await _store(context, person, [])
                    await self._tell(person, self.desk.say(person)("errors.unexpected"))
        except Exception:
            log.exception("an inbox is left as it is", dialogue=dialogue_key(context.key))

    async def _tell(self, person: Person, text: str, reply: ReplyParameters | None = None) -> None:
        try:
            await self.desk.bot.send_message(person.chat_id, text, reply_parameters=reply)
        except AiogramError as error:
            log.warning("a sentence could not be sent", reason=type(error).__name__, user_id=person.user_id)


def _reply_to(item: Item) -> ReplyParameters:
    return ReplyParameters(message_id=item.received.message_id, allow_sending_without_reply=True)


def items_of(data: dict[str, Any]) -> list[Item]:
    return [Item.from_data(item) for item in (data.get("inbox") or {}).get("items", ())]


def origin(person: Person, pictures: list[Received]) -> str:
    """Return what names the order that these pictures may complete: the same however often they come."""
    return f"message:{person.chat_id}:{max(picture.message_id for picture in pictures)}"


async def _store(context: FSMContext, person: Person, items: list[Item]) -> None:
    data = {name: value for name, value in (await context.get_data()).items() if name != "inbox"}
    if items:
        data["inbox"] = {"person": asdict(person), "items": [asdict(item) for item in items]}
    await context.set_data(data)
