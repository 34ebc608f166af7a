"""Files made to exhaust the reader: each is read or refused in bounded memory, and to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from ml_models.errors import UnreadablePictureError
from ml_models.images import MAX_JPEG_SCANS, inspect_picture, read_picture
from ml_models.inspection import memory_limit_mb
from tests.ml_models.bombs import BOMBS, jpeg_of_many_scans

ROOT = Path(__file__).parents[2]
#: What the reader may take besides the file itself, three times over; the bombs want hundreds of times as much.
ALLOWED_MB = 160
#: Of processor time; the bombs want minutes or hours.
ALLOWED_CPU_S = 20
MEGAPIXELS = 50

READ = f"""
import json, resource, sys
from benchmarks.machine import peak_mb
from ml_models.errors import PictureError
from ml_models.images import inspect_picture, read_picture

resource.setrlimit(resource.RLIMIT_CPU, ({ALLOWED_CPU_S}, {ALLOWED_CPU_S}))
before = peak_mb()
data = sys.stdin.buffer.read()
outcomes = []
for read in (inspect_picture, read_picture):
    try:
        read(data, {MEGAPIXELS}, *([512] if read is read_picture else []))
        outcomes.append("read")
    except PictureError as error:
        outcomes.append(error.code)
print(json.dumps([outcomes, peak_mb() - before]))
"""
REFUSED_BY_SIZE = {name for name in BOMBS if "megapixels" in name} - {"webp of 268 megapixels"}


def in_a_process(code: str, data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, input=data, capture_output=True, cwd=ROOT, timeout=150, check=False)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_neither_memory_nor_time(name: str) -> None:
    data = BOMBS[name]()
    done = in_a_process(READ, data)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    outcomes, taken_mb = json.loads(done.stdout)
    assert taken_mb < ALLOWED_MB + 3 * len(data) / 1e6
    assert set(outcomes) <= {"read", "unreadable", "too_large"}
    if name in REFUSED_BY_SIZE:
        assert outcomes == ["too_large", "too_large"]


def test_what_a_jpeg_may_have_of_scans_it_may_have_to_the_last() -> None:
    most = jpeg_of_many_scans(64, 40, MAX_JPEG_SCANS - 1)
    assert inspect_picture(most, MEGAPIXELS) == (64, 40)
    assert read_picture(most, MEGAPIXELS).size == (64, 40)
    with pytest.raises(UnreadablePictureError, match="more parts"):
        inspect_picture(jpeg_of_many_scans(64, 40, MAX_JPEG_SCANS), MEGAPIXELS)


def test_parts_cannot_be_hidden_behind_an_early_end() -> None:
    many = BOMBS["jpeg of many segments"]()
    with pytest.raises(UnreadablePictureError, match="more parts"):
        inspect_picture(many[:2] + b"\xff\xd9\xff\xd0" + many[2:], MEGAPIXELS)


def test_metadata_and_what_a_phone_appends_do_no_harm() -> None:
    out = BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "\u00ff\u00da" * 5000
    Image.linear_gradient("L").convert("RGB").save(out, "JPEG", exif=exif, comment=b"\xff\xda" * 200, progressive=True)
    appended = out.getvalue() + b"\xff\xda\xff\xe1" * 100_000
    assert inspect_picture(appended, MEGAPIXELS) == (256, 256)


def test_a_tile_may_be_larger_than_its_picture() -> None:
    out = BytesIO()
    Image.linear_gradient("L").resize((64, 40)).save(out, "TIFF", tiffinfo={322: 256, 323: 256})
    assert inspect_picture(out.getvalue(), MEGAPIXELS) == (64, 40)


# --- the process in which files are looked at


def test_the_process_ends_where_memory_does() -> None:
    eat = "import sys, ml_models.inspection as i; i.inspect_picture = lambda *_: bytearray(10**11); i.main(1)"
    done = in_a_process(eat, b"x")
    assert json.loads(done.stdout)["code"] == "unreadable"
    assert memory_limit_mb(1_000_000, 50) == 500 + 16 * 50 + 4


def test_the_process_ends_when_its_time_is_up() -> None:
    spin = """
import ml_models.inspection as inspection
def forever(*_):
    while True:
        pass
inspection.inspect_picture = forever
inspection.CPU_LIMIT_S = 1
inspection.main(1)
"""
    assert in_a_process(spin, b"x").returncode < 0
