"""Pictures, as photos or as files, in any state."""

from __future__ import annotations

from pathlib import PurePath

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import Document, Message, PhotoSize

from handlers.albums import Albums
from handlers.desk import Desk, Person, was_ordered
from handlers.draft import Draft, Received
from handlers.user.others import awaited_picture
from locales.catalogue import Say
from ml_models.errors import DownloadError, PictureError
from processing import wording
from processing.download import TelegramPictures
from processing.job import Failure, Picture

#: A file without a picture's type may still have its name; what it really is, decoding tells.
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".gif", ".bmp", ".tif", ".tiff", ".avif"})


async def photo(
    message: Message,
    person: Person,
    state: FSMContext,
    say: Say,
    pictures: TelegramPictures,
    desk: Desk,
    albums: Albums,
    origin: str,
) -> None:
    """Telegram made this JPEG itself: what it says of it is enough to take it at once."""
    largest = max(message.photo or [], key=_area)
    picture = Picture(largest.file_id, size_bytes=largest.file_size)
    try:
        pictures.check_photo(picture, largest.width, largest.height)
    except PictureError as error:
        await message.reply(wording.failed(say, Failure(error.code, error.details)))
        return
    await _receive(message, person, state, picture, desk, albums, origin)


async def document(
    message: Message,
    person: Person,
    state: FSMContext,
    say: Say,
    pictures: TelegramPictures,
    desk: Desk,
    albums: Albums,
    origin: str,
) -> None:
    """A file may be anything: it is fetched and decoded before it is taken."""
    file = message.document
    if file is None or not _may_be_a_picture(file):
        draft = Draft.from_data(await state.get_data())
        await message.reply(say("met.document") + " " + awaited_picture(say, draft))
        return
    picture = Picture(file.file_id, as_file=True, size_bytes=file.file_size)
    try:
        await pictures.inspect(picture)
    except (PictureError, DownloadError) as error:
        await message.reply(wording.failed(say, Failure(error.code, error.details)))
        return
    await _receive(message, person, state, picture, desk, albums, origin)


async def _receive(
    message: Message, person: Person, state: FSMContext, picture: Picture, desk: Desk, albums: Albums, origin: str
) -> None:
    received = Received(picture, message.message_id)
    if message.media_group_id:
        await albums.add(person, state, message.media_group_id, received)
        return
    await albums.settle(state)
    if await was_ordered(state, message.message_id):
        return
    await desk.receive(person, state, [received], origin)


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
