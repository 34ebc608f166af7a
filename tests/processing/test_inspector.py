"""Looking at a file in another process: its verdicts, and what becomes of one that goes wrong."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from ml_models.errors import PictureTooLargeError, PictureTooSmallError, UnreadablePictureError
from processing import inspector
from processing.inspector import inspect_file
from tests.chat import picture
from tests.waiting import until


async def test_a_picture_passes_and_what_is_wrong_with_another_comes_back_whole() -> None:
    await inspect_file(picture(form="PNG"), 1)
    with pytest.raises(UnreadablePictureError, match="no picture of a known format"):
        await inspect_file(b"not a picture", 1)
    with pytest.raises(PictureTooSmallError) as small:
        await inspect_file(picture(5, 5), 1)
    assert small.value.details == {"width_px": 5, "height_px": 5, "limit_px": 16}
    out = io.BytesIO()
    Image.new("1", (2000, 1000)).save(out, "PNG")
    with pytest.raises(PictureTooLargeError) as large:
        await inspect_file(out.getvalue(), 1.5)
    assert large.value.details == {"megapixels": 2.0, "limit_megapixels": 1.5}


@pytest.mark.parametrize("ending", ["os.kill(os.getpid(), 11)", "sys.exit(1)", "raise SystemError"])
async def test_a_process_that_dies_means_that_the_file_is_no_picture(
    monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(inspector, "COMMAND", (sys.executable, "-c", f"import os, sys; {ending}"))
    with pytest.raises(UnreadablePictureError, match="within reason"):
        await inspect_file(bytes(1_000_000), 1)


@pytest.mark.parametrize("kills", [1, 2])
async def test_one_that_is_killed_from_outside_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kills: int
) -> None:
    code = (
        "import os, pathlib, sys; tries = pathlib.Path(sys.argv[1]); tries.open('a').write('x')\n"
        f"os.kill(os.getpid(), 9) if tries.stat().st_size <= {kills} else print('{{}}')"
    )
    tries = tmp_path / "tries"
    monkeypatch.setattr(inspector, "COMMAND", (sys.executable, "-c", code, str(tries)))
    if kills == 1:
        await inspect_file(b"x", 1)
    else:
        with pytest.raises(UnreadablePictureError, match="within reason"):
            await inspect_file(b"x", 1)
    assert tries.stat().st_size == 2


async def test_nothing_is_left_of_one_that_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(psutil.Process().children())
    monkeypatch.setattr(inspector, "COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    looking = asyncio.create_task(inspect_file(b"x", 1))
    await until(lambda: set(psutil.Process().children()) > before)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert set(psutil.Process().children()) == before


async def test_it_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", "123456:" + "A" * 35)
    code = "import os, sys; print('{}'); sys.exit('BOT_TOKEN' in os.environ)"
    monkeypatch.setattr(inspector, "COMMAND", (sys.executable, "-c", code))
    await inspect_file(b"x", 1)
