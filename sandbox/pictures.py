"""What Telegram does to a picture that is sent as a photo: JPEG in several sizes, without metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from PIL import Image, ImageOps

# The boxes of Telegram's photo sizes s, m, x and y. The real server also keeps w (2560) from clients that send HD.
SIZES_PX = (90, 320, 800, 1280)
THUMBNAIL_PX = 320
MAX_SIDES_PX = 10_000
MAX_RATIO = 20
MAX_THUMBNAIL_MEGAPIXELS = 50
JPEG_QUALITY = 87


class UndecodableError(Exception):
    """The bytes are no picture that Telegram decodes."""


class DimensionsError(Exception):
    """Width and height add up to more than 10,000, or one is more than 20 times the other."""


@dataclass(frozen=True, slots=True)
class EncodedSize:
    """One JPEG of a photo."""

    data: bytes = field(repr=False)
    width: int
    height: int


def encode_photo(data: bytes) -> list[EncodedSize]:
    """Return the photo's JPEGs, smallest first. CPU work: call it in a thread.

    Raises UndecodableError or DimensionsError.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            width, height = opened.size
            if width + height > MAX_SIDES_PX or max(width, height) > MAX_RATIO * min(width, height):
                raise DimensionsError
            # Decoding to the largest size kept is several times faster than decoding all of a large JPEG.
            opened.draft("RGB", (SIZES_PX[-1], SIZES_PX[-1]))
            image = _opaque(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UndecodableError from error
    image.info.clear()
    sizes: list[EncodedSize] = []
    for box_px in SIZES_PX:
        sizes.append(_fitted(image, box_px))
        if max(width, height) <= box_px:
            break
    return sizes


def encode_thumbnail(data: bytes) -> EncodedSize | None:
    """Return the small JPEG that accompanies a picture sent as a file, or None where the file is no picture."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > MAX_THUMBNAIL_MEGAPIXELS * 1e6:
                return None
            opened.draft("RGB", (THUMBNAIL_PX, THUMBNAIL_PX))
            image = _opaque(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    return _fitted(image, THUMBNAIL_PX)


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = image.point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        image = Image.new("RGB", with_alpha.size, "white")
        image.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return image.convert("RGB")


def _fitted(image: Image.Image, box_px: int) -> EncodedSize:
    fitted = image.copy()
    fitted.thumbnail((box_px, box_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    fitted.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return EncodedSize(buffer.getvalue(), fitted.width, fitted.height)
