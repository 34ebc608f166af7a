"""The main job with everything real: two photos in a chat, the packaged weights, a draft back and a painting of 512 px.

Once over the Bot API alone, and once in a real Chromium with files picked by a person.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Page, expect
from skimage import data

from ml_models.registry import ALGORITHMS
from sandbox.server import Sandbox, SandboxUser
from service import Service
from tests.bots import bot_in
from tests.browsers import chromium
from tests.chat import Message, after, has_button, is_result, says, words

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

PAINTING_TIMEOUT_S = 400
DRAFT_TIMEOUT_S = 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Sandbox, Service]]:
    async with Sandbox() as sandbox, bot_in(sandbox, tmp_path_factory.mktemp("data")) as service:
        yield sandbox, service


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(data.chelsea())


@pytest.fixture(scope="module")
def style() -> Image.Image:
    return Image.open(Path(__file__).parents[1] / "docs" / "pictures" / "style-orchard.jpg")


def encoded(image: Image.Image, form: str) -> bytes:
    out = io.BytesIO()
    image.save(out, form)
    return out.getvalue()


def largest_photo(user: SandboxUser, message: Message) -> Image.Image:
    largest = max(message["photo"], key=lambda size: int(size["width"]))
    return Image.open(io.BytesIO(user.file(largest["file_id"])))


def check_painting(painting: Image.Image, photo: Image.Image, style: Image.Image) -> None:
    """It is the photo, in its own shape, and it is no longer the photo: closer to the style's colours and busier."""
    assert painting.size == (512, round(512 * photo.height / photo.width))
    small = (64, 43)
    shape = [np.asarray(image.convert("L").resize(small), float).ravel() for image in (painting, photo)]
    assert np.corrcoef(*shape)[0, 1] > 0.5
    colours = [np.asarray(image.resize((32, 32)), float).mean((0, 1)) for image in (painting, photo, style)]
    assert np.linalg.norm(colours[0] - colours[2]) < np.linalg.norm(colours[1] - colours[2])
    pixels = [np.asarray(image.resize(painting.size), float) for image in (painting, photo)]
    assert np.abs(pixels[0] - pixels[1]).mean() > 10


async def test_two_photos_over_http(real: tuple[Sandbox, Service], photo: Image.Image, style: Image.Image) -> None:
    sandbox, _ = real
    user = sandbox.user(first_name="Ann")
    await user.send_text("/start")
    await user.press(await user.wait_for(has_button("mode:nst_gatys")), "mode:nst_gatys")
    await user.wait_for(says("Gatys", "Send the photo"))
    await user.send_photo(encoded(photo, "JPEG"))
    await user.wait_for(says("Now send the picture whose style"))
    await user.send_photo(encoded(style, "JPEG"))
    draft = await user.wait_for(is_result, DRAFT_TIMEOUT_S)
    check_painting(largest_photo(user, draft), photo, style)
    await user.press(draft, "🖌 Paint it properly")
    accepted = await user.wait_for(after(draft, says("Accepted", "512 px, starting from the draft")))
    assert "Ready in about" in words(accepted)
    # The draft is the first that is seen of the painting.
    preview = await user.wait_for(after(draft, has_button("job:keep")), 120)
    assert preview["message_id"] == accepted["message_id"]
    # A draft of other pictures waits for no painting.
    bo = sandbox.user(first_name="Bo")
    await bo.send_text("/start")
    await bo.wait_for(has_button("mode:nst_gatys"))
    await bo.send_album([encoded(photo, "JPEG"), encoded(style, "JPEG")])
    await bo.wait_for(is_result, DRAFT_TIMEOUT_S)
    assert not any(map(after(draft, is_result), user.messages))
    result = await user.wait_for(after(draft, is_result), PAINTING_TIMEOUT_S)
    assert "encoder slim" in words(result) or "encoder vgg19" in words(result)
    await user.press(result, "📄 As a file")
    file = await user.wait_for(lambda message: message["from_bot"] and "document" in message, 30)
    check_painting(Image.open(io.BytesIO(user.file(file["document"]["file_id"]))), photo, style)


@pytest.mark.parametrize("key", [mode.key for mode in ALGORITHMS.values() if not mode.max_styles])
async def test_a_photo_alone_over_http(real: tuple[Sandbox, Service], photo: Image.Image, key: str) -> None:
    sandbox, _ = real
    user = sandbox.user(first_name="Cy")
    await user.send_text("/start")
    await user.press(await user.wait_for(has_button(f"mode:{key}")), f"mode:{key}")
    await user.wait_for(says(f"{ALGORITHMS[key].title}.", "Send the photo"))
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
    draft, result = [message for message in user.messages if is_result(message)]
    for message in (draft, result):
        check_painting(largest_photo(user, message), photo, style)
