"""Damaged pictures: small files of every format, changed the way that breaks readers."""

from __future__ import annotations

import struct
from functools import cache
from random import Random

import pillow_heif
from PIL import Image, ImageCms

from tests.toy_algorithm import encoded

#: Lengths, offsets and sizes at which arithmetic goes wrong.
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
LONGEST = 60_000


@cache
def sound_pictures() -> tuple[bytes, ...]:
    """Return a small file of each format and kind that the reader takes, metadata among them."""
    pillow_heif.register_heif_opener()
    rgb = Image.linear_gradient("L").resize((48, 32)).convert("RGB")
    frames = [rgb.rotate(angle) for angle in (90, 180)]
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rich: dict[str, object] = {"exif": exif, "icc_profile": profile}
    kinds: list[tuple[Image.Image, str, dict[str, object]]] = [
        (rgb, "JPEG", rich),
        (rgb, "JPEG", {"progressive": True, "comment": b"words"}),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgb, "PNG", rich),
        (rgb.convert("RGBA"), "PNG", {"save_all": True, "append_images": [frame.convert("RGBA") for frame in frames]}),
        (rgb.convert("P"), "PNG", {"transparency": 3, "bits": 4}),
        (Image.new("I;16", (48, 32), 999), "PNG", {}),
        (rgb, "WEBP", rich),
        (rgb.convert("RGBA"), "WEBP", {"lossless": True}),
        (rgb, "WEBP", {"save_all": True, "append_images": frames}),
        (rgb, "GIF", {"save_all": True, "append_images": frames, "comment": b"words", "loop": 0}),
        (rgb, "BMP", {}),
        (rgb.convert("1"), "BMP", {}),
        (rgb, "TIFF", rich | {"compression": "tiff_lzw"}),
        (rgb, "TIFF", {"compression": "jpeg"}),
        (rgb.convert("1"), "TIFF", {"compression": "group4"}),
        (Image.new("F", (48, 32), 0.5), "TIFF", {"compression": "tiff_adobe_deflate", "tiffinfo": {322: 16, 323: 16}}),
        (rgb, "HEIF", rich | {"quality": 30}),
        (rgb, "AVIF", rich | {"quality": 30, "speed": 10}),
        (rgb, "AVIF", {"save_all": True, "append_images": frames, "speed": 10}),
    ]
    return tuple(encoded(image, kind, **options) for image, kind, options in kinds)


def damaged_picture(random: Random) -> bytes:
    """Return a file that may or may not be a picture any more."""
    data = bytearray(random.choice(sound_pictures()))
    for _ in range(random.randint(0, 6)):
        _change(data, random)
    return bytes(data[:LONGEST])


def _change(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    # Headers are where it hurts.
    at = min(at, random.choice((16, 64, 256, len(data))))
    length = random.choice((1, 2, 4, 8, random.randint(1, 400)))
    match random.randrange(8):
        case 0 | 1:
            if at < len(data):
                data[at] ^= 1 << random.randrange(8)
        case 2:
            number = struct.pack(random.choice("<>") + "I", random.choice(NUMBERS))
            data[at : at + 4] = number
        case 3:
            data[at : at + 2] = struct.pack(random.choice("<>") + "H", random.choice(NUMBERS) & 0xFFFF)
        case 4:
            del data[at : at + length]
        case 5:
            data[at:at] = data[at : at + length] * random.choice((1, 2, 20))
        case 6:
            other = random.choice(sound_pictures())
            begin = random.randrange(len(other))
            data[at : at + length] = other[begin : begin + length]
        case _:
            if random.randrange(4) == 0:
                del data[at:]
            else:
                data[at:at] = bytes(random.randrange(256) for _ in range(min(length, 40)))
