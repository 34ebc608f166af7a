"""The main job over the Bot API alone: two photos, a draft back, a painting of 512 px, and the file of it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ml_models.registry import ALGORITHMS
from sandbox.server import Sandbox, SandboxUser
from tests.chat import Message, after, choose, has_button, is_result, says, words
from tests.toy_algorithm import encoded

PAINTING_TIMEOUT_S = 400
DRAFT_TIMEOUT_S = 60


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


async def paint_two_photos(sandbox: Sandbox, photo: Image.Image, style: Image.Image) -> None:
    """Have a bot that is there paint the photo, with a user beside who wants a draft."""
    user = sandbox.user(first_name="Ann")
    assert "Send the photo" in words(await choose(user, ALGORITHMS["nst_gatys"]))
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
