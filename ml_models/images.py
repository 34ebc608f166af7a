"""Encoded pictures, as people send them, to upright RGB and back. Free of torch, so that the bot itself can use it."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO

import pillow_heif

# Importing a plugin registers its opener. The others are never asked: EPS runs Ghostscript, PDF is no picture.
from PIL import (
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageCms,
    ImageFile,
    ImageOps,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from ml_models.errors import PictureTooLargeError, PictureTooSmallError, StyleTransferError, UnreadablePictureError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF")
MIN_SIDE_PX = 16
#: Encoders write a dozen scans at most; one without a word in it costs as much as a whole picture.
MAX_JPEG_SCANS = 64
#: A profile or an EXIF block of 20 MB fills 320 segments; Pillow copies all of a kind again for each that follows.
MAX_JPEG_SEGMENTS = 1000
#: Between the segments of its header; Pillow reads it byte by byte.
MAX_JPEG_FILLING_BYTES = 100_000
#: A TIFF's tile is decoded whole, however little of it the picture shows.
MAX_TILE_MEGAPIXELS = 16.8
#: Telegram takes photos of up to 10 MB.
JPEG_LIMIT_BYTES = 10_000_000
#: A marker; not a stuffed byte of the picture itself, a restart, or filling.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_JPEG_QUALITIES = (95, 90, 85, 75, 60, 40)
# One picture is decoded at a time: threads that inspect pictures together would multiply the memory, and
# warnings.catch_warnings is not safe among threads.
_decoding = threading.Lock()


def read_picture(data: bytes, max_megapixels: float, fit_px: int | None = None) -> Image.Image:
    """Return the picture upright as RGB, its transparent parts over white, the first frame of an animation.

    Args:
        max_megapixels: a larger picture is refused by its header, before anything is decoded.
        fit_px: reduce the picture to this longer side; a smaller one is left as it is.

    Raises:
        UnreadablePictureError: it is no picture of a known format, or a damaged one.
        PictureTooLargeError, PictureTooSmallError: by its header.
    """
    with _opened(data, max_megapixels) as image:
        if fit_px and image.format in ("JPEG", "MPO"):
            # libjpeg decodes a half, a quarter or an eighth in a fraction of time and memory.
            image.draft(None, scaled_size(*image.size, min(fit_px, max(image.size))))
        profile = image.info.get("icc_profile")
        rgb = _to_rgb(_upright(image), fit_px)
        return _to_srgb(rgb, profile) if profile else rgb.convert("RGB")


def inspect_picture(data: bytes, max_megapixels: float) -> tuple[int, int]:
    """Decode the whole picture and return its (width_px, height_px) when upright; raise what read_picture raises."""
    with _opened(data, max_megapixels) as image:
        width_px, height_px = image.size
        if image.format in ("JPEG", "MPO"):
            # All of the file is read at the smallest scale too.
            image.draft(None, (1, 1))
        image.load()
        return (height_px, width_px) if _orientation(image) >= 5 else (width_px, height_px)


def scaled_size(width_px: int, height_px: int, longer_px: int, shortest_px: int = 1) -> tuple[int, int]:
    """Return the size of the same proportions with the longer side given.

    Raises PictureTooSmallError where the shorter side would fall below shortest_px.
    """
    scale = longer_px / max(width_px, height_px)
    size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    if min(size) < shortest_px:
        raise PictureTooSmallError(
            f"a picture of {width_px}x{height_px} px is too narrow: at {longer_px} px it would be {size[0]}x{size[1]}, "
            f"and at least {shortest_px} px are needed on each side",
            width_px=size[0],
            height_px=size[1],
            limit_px=shortest_px,
        )
    return size


def encode_png(image: Image.Image) -> bytes:
    """Return PNG bytes, without loss and without metadata."""
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def encode_jpeg(image: Image.Image, limit_bytes: int = JPEG_LIMIT_BYTES) -> bytes:
    """Return JPEG bytes at quality 95 without subsampling of colours; lower where limit_bytes would be passed."""
    data = b""
    for quality in _JPEG_QUALITIES:
        out = BytesIO()
        image.save(out, "JPEG", quality=quality, subsampling=0 if quality >= 85 else 2)
        data = out.getvalue()
        if len(data) <= limit_bytes:
            break
    return data


def encode_preview(image: Image.Image, longer_px: int) -> bytes:
    """Return a small JPEG of the picture, its longer side at most longer_px."""
    out = BytesIO()
    _reduced(image, longer_px).save(out, "JPEG", quality=82)
    return out.getvalue()


@cache
def _register_heif() -> None:
    pillow_heif.register_heif_opener(thumbnails=False, decode_threads=1)


@contextmanager
def _opened(data: bytes, max_megapixels: float) -> Iterator[ImageFile.ImageFile]:
    """Open the picture, check its size and turn whatever a damaged file makes Pillow raise into one error."""
    try:
        with _decoding, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(data) as image:
                _check_size(image.width, image.height, max_megapixels)
                yield image
    except (StyleTransferError, MemoryError):
        raise
    except Exception as error:
        raise UnreadablePictureError(
            "the file is not a picture that can be read: give an undamaged JPEG, PNG, WebP, HEIC, GIF, BMP or TIFF"
        ) from error


def _open(data: bytes) -> ImageFile.ImageFile:
    """Read the header alone.

    As Image.open does, less its own bomb check, which would hide the size from the message and refuse above 178
    megapixels whatever the settings allow; _check_size follows at once.
    """
    _register_heif()
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(data[:16])
        if accepted and not isinstance(accepted, str):
            if name == "JPEG":
                _check_jpeg(data)
            image = factory(BytesIO(data), "")
            if name == "TIFF":
                _check_tiles(image)
            return image
    raise UnreadablePictureError(
        "the file is no picture of a known format: give a JPEG, PNG, WebP, HEIC, GIF, BMP or TIFF"
    )


def _check_jpeg(data: bytes) -> None:
    """Refuse a JPEG whose parts are too many to be read in reasonable time; raise UnreadablePictureError."""
    at, filling, segments, scans = 2, 0, 0, 0
    while match := _JPEG_MARKER.search(data, at):
        marker = data[match.start() + 1]
        if scans == 0:
            filling += match.start() - at
        if marker == _END_OF_IMAGE and scans:
            return
        scans += marker == _START_OF_SCAN
        segments += 1
        if scans > MAX_JPEG_SCANS or segments > MAX_JPEG_SEGMENTS or filling > MAX_JPEG_FILLING_BYTES:
            raise UnreadablePictureError("the JPEG has more parts than any picture needs: save it anew")
        # Start and end of an image stand alone, everything else tells its length.
        alone = marker in (_START_OF_IMAGE, _END_OF_IMAGE)
        at = match.end() + (0 if alone else int.from_bytes(data[match.end() : match.end() + 2], "big"))


def _check_tiles(image: ImageFile.ImageFile) -> None:
    tags = getattr(image, "tag_v2", {})
    width_px, height_px = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
    if width_px * height_px > 1e6 * MAX_TILE_MEGAPIXELS:
        raise UnreadablePictureError(f"the TIFF has tiles of {width_px}x{height_px} px: save it with smaller ones")


def _check_size(width_px: int, height_px: int, max_megapixels: float) -> None:
    megapixels = width_px * height_px / 1e6
    if megapixels > max_megapixels:
        raise PictureTooLargeError(
            f"the picture has {megapixels:.0f} megapixels ({width_px}x{height_px}), "
            f"{max_megapixels:g} are allowed: send a smaller one",
            megapixels=round(megapixels, 1),
            limit_megapixels=max_megapixels,
        )
    if min(width_px, height_px) < MIN_SIDE_PX:
        raise PictureTooSmallError(
            f"the picture has {width_px}x{height_px} px, at least {MIN_SIDE_PX} on each side are needed: "
            "send a larger one",
            width_px=width_px,
            height_px=height_px,
            limit_px=MIN_SIDE_PX,
        )


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1..8; 1 where the EXIF block is damaged: the picture itself may be sound."""
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    return ImageOps.exif_transpose(image) if _orientation(image) != 1 else image


def _to_rgb(image: Image.Image, fit_px: int | None) -> Image.Image:
    """Return RGB, or CMYK for its profile to be applied; reduced before the costly steps."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion to 8 bits clips at 255 instead of scaling.
        image = image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    elif image.mode in ("I", "F"):
        image = _from_wide_range(image)
    if image.has_transparency_data:
        rgba = _reduced(image.convert("RGBA"), fit_px)
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    if image.mode != "CMYK":
        image = image.convert("RGB")
    return _reduced(image, fit_px)


def _from_wide_range(image: Image.Image) -> Image.Image:
    """Return 8 bits of a picture of 32: white is 1, 255 or 65535, whichever the values fit, else their maximum."""
    _, high = (float(bound) for bound in image.getextrema())  # type: ignore[arg-type]
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    scale = 255 / next((white for white in whites if high <= white), high)
    return image.point(lambda value: value * scale + 0.5).convert("L")


def _reduced(image: Image.Image, fit_px: int | None) -> Image.Image:
    if not fit_px or max(image.size) <= fit_px:
        return image
    return image.resize(scaled_size(*image.size, fit_px), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return RGB in sRGB; a profile that is damaged or of another kind of picture is left out."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" not in ImageCms.getProfileDescription(source) or image.mode != "RGB":
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted or image.convert("RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        pass
    return image.convert("RGB")
