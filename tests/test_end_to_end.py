"""The main job with everything real: two photos in a chat, the packaged weights, a draft back and a painting of 512 px.

Once over the Bot API alone, and once in a real Chromium with files picked by a person.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Page, expect

from ml_models.registry import ALGORITHMS
from sandbox.server import Sandbox
from service import Service
from tests.bots import bot_in
from tests.browsers import chromium
from tests.chat import choose, is_result, results, words
from tests.painting import (
    DRAFT_TIMEOUT_S,
    PAINTING_TIMEOUT_S,
    check_painting,
    largest_photo,
    paint_two_photos,
)
from tests.toy_algorithm import encoded

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Sandbox, Service]]:
    async with Sandbox() as sandbox, bot_in(sandbox, tmp_path_factory.mktemp("data")) as service:
        yield sandbox, service


async def test_two_photos_over_http(real: tuple[Sandbox, Service], photo: Image.Image, style: Image.Image) -> None:
    sandbox, _ = real
    await paint_two_photos(sandbox, photo, style)


@pytest.mark.parametrize("key", [mode.key for mode in ALGORITHMS.values() if not mode.max_styles])
async def test_a_photo_alone_over_http(real: tuple[Sandbox, Service], photo: Image.Image, key: str) -> None:
    sandbox, _ = real
    user = sandbox.user(first_name="Cy")
    assert "Send the photo" in words(await choose(user, ALGORITHMS[key]))
    await user.send_photo(encoded(photo, "JPEG"))
    result = largest_photo(user, await user.wait_for(is_result, DRAFT_TIMEOUT_S))
    assert result.size == (512, 341)
    pixels = [np.asarray(image.resize(result.size), float) for image in (result, photo)]
    assert np.abs(pixels[0] - pixels[1]).mean() > 5


@pytest_asyncio.fixture(loop_scope="module")
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        yield await browser.new_page(viewport={"width": 1100, "height": 900}, locale="en-GB")


async def test_two_files_in_a_real_browser(
    real: tuple[Sandbox, Service], page: Page, photo: Image.Image, style: Image.Image, tmp_path: Path
) -> None:
    sandbox, _ = real
    paths = [tmp_path / "cat.png", tmp_path / "orchard.jpg"]
    paths[0].write_bytes(encoded(photo, "PNG"))
    paths[1].write_bytes(encoded(style, "JPEG"))
    user = sandbox.user(first_name="Bo")
    await page.goto(f"{sandbox.url}/#/{user.id}")
    await page.get_by_test_id("start").click()
    await expect(page.get_by_text("I turn photos into paintings.").last).to_be_visible()
    # The first progress may take the place of "Accepted" before anybody has seen it.
    answers = (re.compile("Now send the picture whose style"), re.compile("Accepted|An instant draft"))
    for path, answer in zip(paths, answers, strict=True):
        await page.get_by_test_id("file-input").set_input_files(path)
        await page.get_by_test_id("send").click()
        await expect(page.get_by_text(answer).last).to_be_visible(timeout=20_000)
    buttons = page.get_by_test_id("button")
    paint = buttons.filter(has_text="Paint it properly")
    await expect(paint).to_be_visible(timeout=1000 * DRAFT_TIMEOUT_S)
    await buttons.filter(has_text="Other strength").click()
    await expect(buttons.filter(has_text="25%")).to_be_visible()
    await paint.click()
    await expect(buttons.filter(has_text="Again")).to_be_visible(timeout=1000 * PAINTING_TIMEOUT_S)
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / "painted.png")
    draft, result = results(user)
    for message in (draft, result):
        check_painting(largest_photo(user, message), photo, style)
