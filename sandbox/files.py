"""The files of the sandbox: in memory, known by file_id, bounded in all."""

from __future__ import annotations

import asyncio
import mimetypes
import secrets
from dataclasses import dataclass, field
from typing import Any

from sandbox.pictures import encode_photo, encode_thumbnail

MAX_STORED_BYTES = 512 * 1024 * 1024
EXTENSIONS = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


@dataclass(slots=True)
class StoredFile:
    """One file.

    Attributes:
        kind: photo, document, video, voice, sticker or thumbnail: a file_id is only good for sending its own kind.
        path: what getFile calls file_path.
        about: the Bot API object without its ids and size (width, height, file_name, mime_type, duration, ...).
        family: for a photo, all its sizes, smallest first.
        chat_ids: the chats in which it may be seen.
    """

    file_id: str
    unique_id: str
    kind: str
    path: str
    data: bytes = field(repr=False)
    about: dict[str, Any]
    family: list[StoredFile] = field(default_factory=list, repr=False)
    chat_ids: set[int] = field(default_factory=set)

    def describe(self) -> dict[str, Any]:
        """Return it as the Bot API shows it: PhotoSize, Document, ..."""
        return {
            "file_id": self.file_id,
            "file_unique_id": self.unique_id,
            "file_size": len(self.data),
            **self.about,
        }

    @property
    def mime_type(self) -> str:
        given = self.about.get("mime_type")
        return given if isinstance(given, str) else "image/jpeg"


class FileStore:
    """Keeps files until their total passes `limit_bytes`; then the oldest are dropped, as if Telegram had lost them."""

    def __init__(self, limit_bytes: int = MAX_STORED_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.total_bytes = 0
        self._by_id: dict[str, StoredFile] = {}
        self._by_path: dict[str, StoredFile] = {}
        self._count = 0

    def get(self, file_id: str) -> StoredFile | None:
        return self._by_id.get(file_id)

    def at_path(self, path: str) -> StoredFile | None:
        return self._by_path.get(path)

    async def add_photo(self, data: bytes) -> StoredFile:
        """Store all sizes of a photo and return the largest; raise UndecodableError or DimensionsError."""
        encoded = await asyncio.to_thread(encode_photo, data)
        family = [
            self.add("photo", size.data, {"width": size.width, "height": size.height}, ".jpg") for size in encoded
        ]
        for file in family:
            file.family = family
        return family[-1]

    async def add_document(self, data: bytes, file_name: str, mime_type: str | None = None) -> StoredFile:
        """Store a file byte for byte, with a thumbnail where it is a picture."""
        # Like the real server, the name's extension is believed before the sender's Content-Type.
        mime_type = mimetypes.guess_type(file_name)[0] or mime_type or "application/octet-stream"
        about: dict[str, Any] = {"file_name": file_name, "mime_type": mime_type}
        if mime_type.startswith("image/") and (thumbnail := await asyncio.to_thread(encode_thumbnail, data)):
            size = {"width": thumbnail.width, "height": thumbnail.height}
            about["thumbnail"] = self.add("thumbnail", thumbnail.data, size, ".jpg").describe()
        extension = mimetypes.guess_extension(mime_type) or ""
        return self.add("document", data, about, EXTENSIONS.get(mime_type, extension))

    def add(self, kind: str, data: bytes, about: dict[str, Any], extension: str) -> StoredFile:
        self._count += 1
        path = f"{kind}s/file_{self._count}{extension}"
        file = StoredFile(secrets.token_urlsafe(36), secrets.token_urlsafe(9), kind, path, data, about)
        self._by_id[file.file_id] = self._by_path[path] = file
        self.total_bytes += len(data)
        while self.total_bytes > self.limit_bytes and len(self._by_id) > 1:
            oldest = self._by_id.pop(next(iter(self._by_id)))
            del self._by_path[oldest.path]
            self.total_bytes -= len(oldest.data)
        return file
