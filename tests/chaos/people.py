"""The people of the fault suite: they order, cancel, keep, swap, order again, and note what they have asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from sandbox.errors import ChatError
from sandbox.server import SandboxUser
from tests.chat import Message, after, buttons, has_button, results, says
from tests.toy_algorithm import toy_photo

Condition = Callable[[Message], bool]

#: Longer than a bot takes to come back.
PATIENCE_S = 12.0
LONGEST_PAUSE_S = 0.3
#: Between the word that a job is accepted and the wish to cancel it.
LONGEST_DELAY_S = 1.2
SIDES_PX = (60, 240)
#: One for each person: what is mixed of photo and style has it too.
COLOURS = tuple((red, green, blue) for red in (40, 120, 200) for green in (40, 120, 200) for blue in (40, 120, 200))


@dataclass(slots=True)
class Wish:
    """Two pictures that were sent to be painted.

    Attributes:
        file_ids: of the two.
        withdrawn: their sender began anew before he knew that they were accepted.
    """

    file_ids: frozenset[str]
    withdrawn: bool = False


accepted = says("Accepted")


def refused(message: Message) -> bool:
    """The queue holds no more, Telegram did not give the file, or what was begun was cancelled."""
    texts = ("The queue is full", "as many pictures waiting", "could not fetch", "Cancelled.")
    return any(says(text)(message) for text in texts) and not ended(message)


def answered(message: Message) -> bool:
    return accepted(message) or refused(message)


def ended(message: Message) -> bool:
    """A result, or the sentence that tells why there is none."""
    return has_button("job:file")(message) or has_button("job:again")(message)


class Person:
    """One user, who does one thing after the other.

    Attributes:
        wishes: the pairs of pictures that he sent.
        presses: how often he pressed a button that orders anew each time it is pressed.
    """

    def __init__(self, user: SandboxUser, number: int, chance: Random) -> None:
        self.user = user
        self.colour = COLOURS[number % len(COLOURS)]
        self.wishes: list[Wish] = []
        self.presses = 0
        self._chance = chance
        self._lost_the_thread = True

    async def live(self, over: asyncio.Event) -> None:
        """Do things until it is over, and bring the last one to its end."""
        while not over.is_set():
            # A button may be gone by the time that it is pressed.
            with suppress(ChatError):
                await self._do_something()
            await asyncio.sleep(self._chance.uniform(0, LONGEST_PAUSE_S))

    async def _do_something(self) -> None:
        if self._lost_the_thread:
            await self._begin()
        things = [self._two_photos, self._album, self._two_files, self._with_options]
        if painted := results(self.user):
            self._result = painted[-1]
            things += [self._again, self._another_strength, self._as_file]
        await self._chance.choice(things)()

    async def _begin(self) -> None:
        for wish in self.wishes[-1:]:
            wish.withdrawn = True
        mark = self._newest()
        await self.user.send_text("/start")
        self._lost_the_thread = await self._soon(has_button("mode:"), mark) is None

    # --- orders

    async def _two_photos(self) -> None:
        mark = self._newest()
        photo = await self.user.send_photo(self._picture())
        if self._chance.random() < 0.7:
            await self._soon(says("Now send"), mark)
        await self._ordered([photo, await self.user.send_photo(self._picture())], mark)

    async def _album(self) -> None:
        mark = self._newest()
        await self._ordered(await self.user.send_album([self._picture(), self._picture()]), mark)

    async def _two_files(self) -> None:
        mark = self._newest()
        files = [(self._picture(), f"{name}.png", None) for name in ("photo", "style")]
        await self._ordered(await self.user.send_documents(files), mark)

    async def _ordered(self, sent: list[Message], mark: int) -> None:
        self.wishes.append(Wish(frozenset(map(_file_id, sent))))
        self._lost_the_thread = True
        answer = await self._soon(answered, mark)
        if answer is None or refused(answer):
            return
        self._lost_the_thread = False
        await self._chance.choice((self._wait, self._wait, self._cancel, self._swap, self._paint))(answer)

    async def _with_options(self) -> None:
        mark = self._newest()
        self._lost_the_thread = True
        await self.user.send_text("/options")
        panel = await self._soon(has_button("option:"), mark)
        if panel is None:
            return
        with suppress(ChatError):
            await self._press(panel, self._chance.choice(("option:draft:0", "option:strength:50", "option:colours:1")))
        for _ in range(2):
            await self.user.send_photo(self._picture())
        panel = await self._soon(has_button("panel:paint"), mark)
        if panel is None:
            return
        self.presses += 1
        await self._press(panel, "panel:paint")
        answer = await self._soon(answered, panel["message_id"])
        if answer and accepted(answer):
            self._lost_the_thread = False
            await self._wait(answer)

    async def _again(self) -> None:
        mark = self._newest()
        self.presses += 1
        await self._press(self._result, "job:again")
        if answer := await self._soon(accepted, mark):
            await self._chance.choice((self._wait, self._keep, self._keep, self._cancel, self._cancel_all))(answer)

    async def _another_strength(self) -> None:
        await self._press(self._result, "job:strengths")
        shown = await self._soon(has_button("strength:"), self._result["message_id"] - 1)
        if shown:
            await self._ordered_by(shown, f"strength:{self._chance.choice((25, 50, 75))}")

    async def _as_file(self) -> None:
        mark = self._newest()
        await self._press(self._result, "job:file")
        await self._soon(lambda message: message["from_bot"] and "document" in message, mark)

    # --- what follows

    async def _wait(self, answer: Message) -> None:
        await self._soon(ended, answer["message_id"])

    async def _paint(self, answer: Message) -> None:
        draft = await self._soon(ended, answer["message_id"])
        if draft is None or not has_button("job:paint")(draft):
            return
        mark = self._newest()
        await self._press(draft, "job:paint")
        if painting := await self._soon(accepted, mark):
            follow = (self._wait, self._wait, self._cancel, self._cancel_all, self._swap, self._keep, self._keep)
            await self._chance.choice(follow)(painting)

    async def _keep(self, answer: Message) -> None:
        growing = await self._soon(has_button("job:keep"), answer["message_id"] - 1, 3.0)
        if growing:
            await self._press(growing, "job:keep")
        await self._wait(answer)

    async def _cancel(self, answer: Message) -> None:
        await asyncio.sleep(self._chance.uniform(0, LONGEST_DELAY_S))
        await self._press(answer, "job:cancel")

    async def _cancel_all(self, answer: Message) -> None:
        await asyncio.sleep(self._chance.uniform(0, LONGEST_DELAY_S))
        mark = self._newest()
        await self.user.send_text("/cancel")
        await self._soon(lambda message: message["from_bot"], mark)

    async def _swap(self, answer: Message) -> None:
        await asyncio.sleep(self._chance.uniform(0, LONGEST_DELAY_S) / 2)
        await self._ordered_by(answer, "job:swap")

    async def _ordered_by(self, message: Message, start: str) -> None:
        """Press a button that orders, and see the job to its end; a toast says that there is none."""
        mark = self._newest()
        query = await self._press(message, start)
        with suppress(TimeoutError):
            answer = await self.user.wait_for_answer(query, PATIENCE_S)
            if not answer.get("text") and await self._soon(accepted, mark):
                await self._soon(ended, mark)

    # --- hands and eyes

    def _picture(self) -> bytes:
        return toy_photo(self._chance.randint(*SIDES_PX), self._chance.randint(*SIDES_PX), self.colour)

    def _newest(self) -> int:
        """Return the number of the chat's last message."""
        return max((message["message_id"] for message in self.user.messages), default=0)

    async def _press(self, message: Message, start: str) -> str:
        """Press the message's button whose data begins so, and return the press; raise ChatError without one."""
        data = next((data for data in buttons(message) if data.startswith(start)), start)
        return await self.user.press(message["message_id"], data)

    async def _soon(self, condition: Condition, mark: int, patience_s: float = PATIENCE_S) -> Message | None:
        """Return the first message after the mark that meets the condition, or None when patience ends."""
        try:
            return await self.user.wait_for(after({"message_id": mark}, condition), patience_s)
        except TimeoutError:
            return None


def _file_id(message: Message) -> str:
    return str(message["document"]["file_id"] if "document" in message else message["photo"][-1]["file_id"])
