"""Pictures, as photos or as files, in any state."""

from __future__ import annotations

from pathlib import PurePath

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import Document, Message, PhotoSize

from handlers.captions import shares_text
from handlers.desk import Person
from handlers.draft import Draft, Received
from handlers.inbox import Inbox, Item
from handlers.user.others import awaited
from locales.catalogue import Say
from ml_models.errors import PictureError
from processing import wording
from processing.download import TelegramPictures
from processing.job import Failure, Picture

#: A file without a picture's type may still have its name; what it really is, decoding tells.
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".gif", ".bmp", ".tif", ".tiff", ".avif"})


async def photo(
    message: Message, person: Person, state: FSMContext, say: Say, pictures: TelegramPictures, inbox: Inbox
) -> None:
    """Telegram made this JPEG itself: what it says of it is enough to take it at once."""
    largest = max(message.photo or [], key=_area)
    picture = Picture(largest.file_id, size_bytes=largest.file_size)
    try:
        pictures.check_photo(picture, largest.width, largest.height)
    except PictureError as error:
        await message.reply(wording.failed(say, Failure(error.code, error.details)))
        return
    received = Received(picture, message.message_id, shares_text(message.caption))
    await inbox.take(person, state, Item(received, message.media_group_id))


async def document(
    message: Message, person: Person, state: FSMContext, say: Say, pictures: TelegramPictures, inbox: Inbox
) -> None:
    """A file may be anything: it is fetched and decoded before it is taken, which the update does not wait for."""
    file = message.document
    if file is None or not _may_be_a_picture(file):
        draft = Draft.from_data(await state.get_data())
        await message.reply(say("met.document") + " " + awaited(say, draft))
        return
    picture = Picture(file.file_id, as_file=True, size_bytes=file.file_size)
    try:
        pictures.check_size(file.file_size)
    except PictureError as error:
        await message.reply(wording.failed(say, Failure(error.code, error.details)))
        return
    received = Received(picture, message.message_id, shares_text(message.caption))
    await inbox.take(person, state, Item(received, message.media_group_id, inspected=False))


def _area(size: PhotoSize) -> int:
    return size.width * size.height


def _may_be_a_picture(file: Document) -> bool:
    mime_type = file.mime_type or ""
    extension = PurePath(file.file_name or "").suffix.lower()
    return mime_type.startswith("image/") or extension in EXTENSIONS


def create_router() -> Router:
    router = Router(name="pictures")
    router.message.register(photo, F.photo)
    # Telegram repeats an animation as a document.
    router.message.register(document, F.document & ~F.animation)
    return router
