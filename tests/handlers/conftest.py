"""The dialogue's tests share one bot, with a toy mode that paints at once or as slowly as the test wants."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from ml_models import registry
from sandbox.server import Sandbox, SandboxUser
from service import Service
from tests import toy_algorithm
from tests.bots import ADMIN_ID, bot_in
from tests.toy_algorithm import TOY, Behaviour

Message = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """What a dialogue is played on."""

    sandbox: Sandbox
    service: Service
    behave: Callable[[Behaviour], None]

    async def person(self, language_code: str = "en") -> SandboxUser:
        """A new user who has chosen the toy mode."""
        user = self.sandbox.user(first_name="Ann", language_code=language_code)
        await user.send_text("/start")
        menu = await user.wait_for(has_button("mode:toy"))
        await user.press(menu, "mode:toy")
        await user.wait_for(says("Toy"))
        return user


@pytest.fixture(scope="module")
def behave(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Behaviour], None]]:
    file = tmp_path_factory.mktemp("toy") / "behaviour"

    def set_behaviour(behaviour: Behaviour) -> None:
        file.write_text(behaviour.name)

    set_behaviour(Behaviour.PAINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(toy_algorithm.BEHAVIOUR_FILE, str(file))
        patch.setitem(registry.ALGORITHMS, TOY.key, TOY)
        yield set_behaviour


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_stage(
    behave: Callable[[Behaviour], None], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    async with Sandbox() as sandbox:
        sandbox.user(ADMIN_ID, first_name="Admin")
        await sandbox.user(ADMIN_ID).send_text("/start")
        data_dir: Path = tmp_path_factory.mktemp("data")
        limits = {"queue_limit": 4, "user_queue_limit": 2, "job_timeout_s": 20, "max_image_megapixels": 20}
        async with bot_in(sandbox, data_dir, admin_id=ADMIN_ID, **limits) as service:
            yield Stage(sandbox, service, behave)


@pytest.fixture
def stage(shared_stage: Stage) -> Stage:
    shared_stage.behave(Behaviour.PAINT)
    return shared_stage


def picture(width: int = 90, height: int = 60, form: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, form)
    return out.getvalue()


def words(message: Message) -> str:
    return str(message.get("text") or message.get("caption") or "")


def says(*texts: str) -> Callable[[Message], bool]:
    """A message of the bot's that holds all of the texts."""
    return lambda message: message["from_bot"] and all(text in words(message) for text in texts)


def buttons(message: Message) -> list[str]:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [button["callback_data"] for row in rows for button in row]


def has_button(start: str) -> Callable[[Message], bool]:
    return lambda message: message["from_bot"] and any(data.startswith(start) for data in buttons(message))


def is_result(message: Message) -> bool:
    return "photo" in message and has_button("job:file")(message)


def after(message: Message, condition: Callable[[Message], bool]) -> Callable[[Message], bool]:
    """The condition, for messages later than this one."""
    return lambda other: other["message_id"] > message["message_id"] and condition(other)
