"""Everything that can go wrong with a picture, picklable, so that it crosses the worker's pipe.

StyleTransferError
├── PictureError                 the picture itself: the user can send another
│   ├── UnreadablePictureError
│   ├── PictureTooLargeError     megapixels
│   ├── PictureTooSmallError     pixels
│   └── FileTooLargeError        bytes
├── InvalidRequestError          a field of the request is out of its range
├── NotEnoughMemoryError         the run would not fit, or did not
├── CancelledError               its owner stopped it
├── JobTimeoutError              it ran longer than allowed
├── WorkerLostError              its process died
├── DownloadError                Telegram did not give the picture
└── WeightsError                 a weights file is missing, damaged or of other shapes
"""

from __future__ import annotations

from typing import ClassVar


class StyleTransferError(Exception):
    """Base. `code` names the error in locales/ and in stored jobs; `details` fill the blanks of its sentence."""

    code: ClassVar[str] = "failed"

    def __init__(self, message: str = "", **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message or self.code

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.details))


def _rebuild(kind: type[StyleTransferError], message: str, details: dict[str, object]) -> StyleTransferError:
    return kind(message, **details)


class PictureError(StyleTransferError):
    code = "picture"


class UnreadablePictureError(PictureError):
    code = "unreadable"


class PictureTooLargeError(PictureError):
    """Details: megapixels, limit_megapixels."""

    code = "too_large"


class PictureTooSmallError(PictureError):
    """Details: width_px, height_px, limit_px."""

    code = "too_small"


class FileTooLargeError(PictureError):
    """Details: megabytes, limit_megabytes."""

    code = "file_too_large"


class InvalidRequestError(StyleTransferError):
    code = "invalid_request"


class NotEnoughMemoryError(StyleTransferError):
    """Details: needed_mb, limit_mb, size_px, largest_px.

    needed_mb is absent where the process was stopped at its limit, largest_px (a size that would do) where none is
    known.
    """

    code = "not_enough_memory"


class CancelledError(StyleTransferError):
    code = "cancelled"


class JobTimeoutError(StyleTransferError):
    """Details: limit_s."""

    code = "timeout"


class WorkerLostError(StyleTransferError):
    code = "worker_lost"


class DownloadError(StyleTransferError):
    code = "download"


class WeightsError(StyleTransferError):
    code = "weights"


ERRORS: dict[str, type[StyleTransferError]] = {
    kind.code: kind
    for kind in (
        StyleTransferError,
        PictureError,
        UnreadablePictureError,
        PictureTooLargeError,
        PictureTooSmallError,
        FileTooLargeError,
        InvalidRequestError,
        NotEnoughMemoryError,
        CancelledError,
        JobTimeoutError,
        WorkerLostError,
        DownloadError,
        WeightsError,
    )
}
