"""A file at an address, read piece by piece where its server allows that, else fetched whole."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, cast
from urllib.request import Request, urlopen

from ml_models.errors import WeightsError

TIMEOUT_S = 30.0
PIECE_BYTES = 16_384
#: torchvision's file has 0.55 GB; a server that never ends must not fill the disk.
WHOLE_FILE_LIMIT_BYTES = 1_000_000_000


def open_source(source: str, scratch: Path, on_progress: Callable[[int, int], None]) -> BinaryIO:
    """Return a seekable file of an http(s) address or a path; raise WeightsError where it cannot be had.

    Args:
        scratch: folder for a nameless temporary file, used where a server gives no ranges.
        on_progress: (bytes done, bytes in all; 0 where unknown), called while a whole file is fetched.
    """
    if not re.match(r"https?://", source):
        try:
            return open(source, "rb")
        except OSError as error:
            raise WeightsError(f"{source} cannot be read ({error.strerror}): give an address or a file") from error
    with _get(source, 0, PIECE_BYTES) as response:
        total_bytes = _total_of_range(response, 0)
        if total_bytes is None:
            return _fetch_whole(source, response, scratch, on_progress)
    # The cast: a BufferedReader is a BinaryIO in all but its declaration.
    return cast(BinaryIO, io.BufferedReader(_RemoteFile(source, total_bytes), PIECE_BYTES))


class _RemoteFile(io.RawIOBase):
    def __init__(self, url: str, total_bytes: int) -> None:
        self._url = url
        self._total_bytes = total_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._total_bytes}[whence] + offset
        if self._position < 0:
            raise OSError("seek before the start of the file")
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._total_bytes - self._position)
        if wanted <= 0:
            return 0
        with _get(self._url, self._position, wanted) as response:
            if _total_of_range(response, self._position) != self._total_bytes:
                raise WeightsError(f"{self._url} gave other bytes than asked for: try again or give another source")
            body = _read(response, self._url, wanted)
        if len(body) != wanted:
            raise WeightsError(f"{self._url} broke off within a piece: try again or give another source")
        buffer[:wanted] = body
        self._position += wanted
        return wanted


def _get(url: str, start: int, length: int) -> HTTPResponse:
    request = Request(url, headers={"Range": f"bytes={start}-{start + length - 1}", "User-Agent": "style-transfer-bot"})  # noqa: S310 - http(s) only, see open_source
    try:
        return cast(HTTPResponse, urlopen(request, timeout=TIMEOUT_S))  # noqa: S310
    except (OSError, HTTPException, ValueError) as error:
        raise WeightsError(f"{url} cannot be reached ({error}): check the network or give another source") from error


def _total_of_range(response: HTTPResponse, start: int) -> int | None:
    """Return the size of the whole file, or None where the server does not answer with the range asked for."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range") or "")
    if response.status != 206 or not match or int(match[1]) != start:
        return None
    return int(match[2])


def _read(response: HTTPResponse, url: str, length: int) -> bytes:
    try:
        return response.read(length)
    except (OSError, HTTPException) as error:
        raise WeightsError(f"{url} broke off ({error}): try again or give another source") from error


def _fetch_whole(url: str, response: HTTPResponse, scratch: Path, on_progress: Callable[[int, int], None]) -> BinaryIO:
    if response.status != 200:
        raise WeightsError(f"{url} answered {response.status} without its bytes: give another source")
    total_bytes = int(response.headers.get("Content-Length") or 0)
    file = cast(BinaryIO, tempfile.TemporaryFile(dir=scratch))  # noqa: SIM115 - handed to the caller
    try:
        done_bytes = 0
        while chunk := _read(response, url, 1 << 20):
            done_bytes += len(chunk)
            if max(done_bytes, total_bytes) > WHOLE_FILE_LIMIT_BYTES:
                limit = WHOLE_FILE_LIMIT_BYTES // 1_000_000
                raise WeightsError(f"{url} has more than {limit} MB, which is no VGG19: give another source")
            file.write(chunk)
            on_progress(done_bytes, total_bytes)
        if total_bytes and done_bytes != total_bytes:
            raise WeightsError(
                f"{url} broke off after {done_bytes} of {total_bytes} bytes: try again or give another source"
            )
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
