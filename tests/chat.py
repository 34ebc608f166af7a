"""What the dialogue's tests have in common: the stage that they play on, and words for messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from ml_models.registry import Algorithm
from sandbox.server import Sandbox, SandboxUser
from service import Service
from tests.toy_algorithm import TOY, Behaviour, encoded

Message = dict[str, Any]


class Behave(Protocol):
    """Tells the toys how to behave from now on: the painted ones, and the instant ones."""

    def __call__(self, behaviour: Behaviour, quick: Behaviour = Behaviour.PAINT) -> None: ...


@dataclass(frozen=True)
class Stage:
    """What a dialogue is played on."""

    sandbox: Sandbox
    service: Service
    behave: Behave

    async def person(self, language_code: str = "en", mode: Algorithm = TOY) -> SandboxUser:
        """A new user who has chosen the mode."""
        user = self.sandbox.user(first_name="Ann", language_code=language_code)
        await choose(user, mode)
        return user


async def choose(user: SandboxUser, mode: Algorithm = TOY) -> Message:
    """Begin anew, choose the mode and return the message that asks for its first picture."""
    sent = await user.send_text("/start")
    await user.press(await user.wait_for(after(sent, has_button("mode:"))), f"mode:{mode.key}")
    return await user.wait_for(after(sent, says(f"{mode.title}.")))


async def order(user: SandboxUser) -> Message:
    """Send two photos and return the message that accepts the job."""
    first = await user.send_photo(picture())
    await user.wait_for(after(first, says("Now send the picture whose style")))
    await user.send_photo(picture(40, 40))
    return await user.wait_for(after(first, says("Accepted")))


async def begun(user: SandboxUser) -> None:
    """Wait for the bar of a job that is painted."""
    await user.wait_for(lambda message: "▱" in words(message) or "▰" in words(message))


def results(user: SandboxUser) -> list[Message]:
    return [message for message in user.messages if is_result(message)]


def picture(width: int = 90, height: int = 60, form: str = "JPEG") -> bytes:
    return encoded(Image.linear_gradient("L").resize((width, height)).convert("RGB"), form)


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
