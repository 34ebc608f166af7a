"""Every kind of picture that people send, made here with Pillow, and every kind of damage."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from contextlib import suppress

import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageDraw

from ml_models.errors import PictureError, PictureTooLargeError, PictureTooSmallError, UnreadablePictureError
from ml_models.images import encode_jpeg, encode_png, encode_preview, inspect_picture, read_picture, scaled_size
from tests.toy_algorithm import encoded

pillow_heif.register_heif_opener()
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def two_halves(mode: str = "RGB", size: tuple[int, int] = (64, 40)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    ImageDraw.Draw(image).rectangle((size[0] // 2, 0, *size), fill=BLUE)
    return image.convert(mode)


def assert_near(colour: object, expected: tuple[int, int, int], tolerance: int = 14) -> None:
    assert isinstance(colour, tuple)
    assert all(abs(one - other) <= tolerance for one, other in zip(colour, expected, strict=True)), colour


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("JPEG", {"quality": 95, "progressive": True, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"quality": 95}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("HEIF", {"quality": 95}),
        ("AVIF", {"quality": 95}),
    ],
)
def test_every_format_is_read(kind: str, options: dict[str, object]) -> None:
    data = encoded(two_halves(), kind, **options)
    image = read_picture(data, 50)
    assert (image.mode, image.size) == ("RGB", (64, 40))
    assert_near(image.getpixel((8, 20)), RED)
    assert_near(image.getpixel((56, 20)), BLUE)
    assert inspect_picture(data, 50) == (64, 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(kind: str, orientation: int) -> None:
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how a camera held that way stores the picture
    upright = two_halves()
    stored = upright.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif)
    image = read_picture(data, 50)
    assert image.size == inspect_picture(data, 50) == (64, 40)
    assert_near(image.getpixel((8, 20)), RED, 40)
    assert_near(image.getpixel((56, 20)), BLUE, 40)


def test_a_rotated_heic_is_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(two_halves().transpose(Image.Transpose.ROTATE_90), "HEIF", exif=exif.tobytes(), quality=95)
    image = read_picture(data, 50)
    assert image.size == inspect_picture(data, 50) == (64, 40)
    assert_near(image.getpixel((8, 20)), RED)


def test_damaged_exif_does_not_spoil_a_sound_picture() -> None:
    data = encoded(two_halves(), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff garbage")
    assert read_picture(data, 50).size == (64, 40)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_over_white(kind: str) -> None:
    image = two_halves("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda value: 255 if value > 127 else 0))
    picture = read_picture(encoded(image, kind), 50)
    assert_near(picture.getpixel((8, 4)), WHITE)
    assert_near(picture.getpixel((8, 36)), RED)


def test_palette_with_transparency() -> None:
    image = two_halves("P")
    index = image.getpixel((8, 8))
    for kind in ("PNG", "GIF"):
        picture = read_picture(encoded(image, kind, transparency=index), 50)
        assert_near(picture.getpixel((8, 8)), WHITE)
        assert_near(picture.getpixel((56, 8)), BLUE)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P"])
def test_grayscale_and_palette(mode: str) -> None:
    gray = Image.linear_gradient("L").resize((48, 48)).convert(mode)
    picture = read_picture(encoded(gray, "PNG"), 50)
    assert picture.mode == "RGB"
    assert_near(picture.getpixel((24, 1)), (0, 0, 0))
    assert_near(picture.getpixel((24, 46)), WHITE)


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I"), ("TIFF", "F")])
def test_more_than_8_bits_are_scaled_not_clipped(kind: str, mode: str) -> None:
    ramp = struct.pack("<" + "H" * 1024, *(round(65535 * index / 1023) for index in range(1024)))
    image = Image.frombytes("I;16", (1024, 1), ramp).resize((1024, 16), Image.Resampling.NEAREST)
    if mode != "I;16":
        image = image.convert("I").convert(mode)
    picture = read_picture(encoded(image, kind), 50)
    for x, gray in ((0, 0), (256, 64), (512, 128), (1023, 255)):
        assert_near(picture.getpixel((x, 8)), (gray, gray, gray), 1)


def test_a_float_tiff_from_0_to_1() -> None:
    image = Image.linear_gradient("L").convert("F").point(lambda value: value * (1 / 255) + 0)
    picture = read_picture(encoded(image, "TIFF"), 50)
    assert_near(picture.getpixel((0, 128)), (128, 128, 128), 1)


def test_cmyk() -> None:
    for kind in ("JPEG", "TIFF"):
        picture = read_picture(encoded(two_halves("CMYK"), kind), 50)
        assert_near(picture.getpixel((8, 20)), RED, 30)
        assert_near(picture.getpixel((56, 20)), BLUE, 30)


def test_an_embedded_profile_is_converted_and_a_broken_one_ignored() -> None:
    image = Image.new("RGB", (32, 32), (200, 60, 30))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (b"nonsense", lab):
        assert_near(read_picture(encoded(image, "PNG", icc_profile=profile), 50).getpixel((9, 9)), (200, 60, 30), 0)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The red and blue primaries exchanged: a profile whose effect is seen at once.
    exchanged = srgb.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")
    renamed = exchanged.replace(b"s\0R\0G\0B", b"t\0e\0s\0t")
    assert_near(read_picture(encoded(image, "PNG", icc_profile=renamed), 50).getpixel((9, 9)), (30, 60, 200), 60)


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, BLUE)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert_near(read_picture(data, 50).getpixel((9, 9)), RED)


def test_fit_px_reduces_and_never_enlarges() -> None:
    data = encoded(two_halves(size=(1000, 500)), "JPEG", quality=95)
    assert read_picture(data, 50, fit_px=300).size == (300, 150)
    assert read_picture(data, 50, fit_px=3000).size == (1000, 500)
    assert read_picture(encoded(two_halves(size=(1000, 500)), "PNG"), 50, fit_px=300).size == (300, 150)


def one_colour_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("read", [read_picture, inspect_picture])
def test_a_bomb_is_refused_by_its_header(read) -> None:  # type: ignore[no-untyped-def]
    data = one_colour_png(30_000, 30_000)
    assert len(data) < 2_000_000
    tracemalloc.start()
    with pytest.raises(PictureTooLargeError, match="900 megapixels") as caught:
        read(data, 50)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.details == {"megapixels": 900.0, "limit_megapixels": 50}
    assert peak < 10_000_000


def test_a_large_picture_within_the_limit_is_read() -> None:
    assert inspect_picture(one_colour_png(14_000, 13_500), 200) == (14_000, 13_500)


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_too_small(size: tuple[int, int]) -> None:
    with pytest.raises(PictureTooSmallError) as caught:
        inspect_picture(encoded(Image.new("RGB", size), "PNG"), 50)
    assert caught.value.details == {"width_px": size[0], "height_px": size[1], "limit_px": 16}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff",
        b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n",
        b"P6 64 64 255\n" + bytes(64 * 64 * 3),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        bytes(1000),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    for read in (read_picture, inspect_picture):
        with pytest.raises(UnreadablePictureError, match="give a"):
            read(data, 50)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF"])
def test_truncated_and_disturbed_files_never_raise_anything_else(kind: str) -> None:
    noise = random.Random(7)
    data = encoded(Image.effect_noise((64, 48), 80).convert("RGB"), kind)
    for read in (read_picture, inspect_picture):
        with pytest.raises(UnreadablePictureError):
            read(data[: len(data) // 2], 50)
    for _ in range(40):
        damaged = bytearray(data)
        for _ in range(noise.randint(1, 20)):
            damaged[noise.randrange(len(damaged) if noise.random() < 0.5 else 64)] = noise.randrange(256)
        with suppress(PictureError):
            assert read_picture(bytes(damaged), 50).mode == "RGB"


def test_scaled_size() -> None:
    assert scaled_size(4000, 3000, 512) == (512, 384)
    assert scaled_size(3000, 4001, 512) == (384, 512)
    assert scaled_size(100, 50, 200) == (200, 100)
    assert scaled_size(10_000, 2, 512) == (512, 1)
    with pytest.raises(PictureTooSmallError, match="512x5") as caught:
        scaled_size(10_000, 100, 512, shortest_px=16)
    assert caught.value.details == {"width_px": 512, "height_px": 5, "limit_px": 16}


def test_encoders() -> None:
    image = two_halves(size=(1000, 500))
    assert read_picture(encode_png(image), 50).tobytes() == image.tobytes()
    assert read_picture(encode_jpeg(image), 50).size == (1000, 500)
    preview = encode_preview(image, 100)
    assert read_picture(preview, 50).size == (100, 50)
    assert len(preview) < 10_000


def test_the_worst_picture_still_fits_a_photo() -> None:
    noise = Image.frombytes("RGB", (2048, 2048), random.Random(1).randbytes(2048 * 2048 * 3))
    data = encode_jpeg(noise)
    assert len(data) <= 10_000_000
    assert read_picture(data, 50).size == (2048, 2048)
