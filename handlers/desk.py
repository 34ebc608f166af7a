"""The desk where orders are taken: from a draft to an accepted job and the message that says so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State

from handlers.draft import Draft, Gathering, Received
from handlers.storage import StoredDialogues
from keyboards.draft import draft_buttons
from keyboards.job import status_buttons
from locales.catalogue import Catalogue, Say
from processing import wording
from processing.job import NewJob, Order, QueueFullError, UserQueueFullError
from processing.queue.base import JobQueue


@dataclass(frozen=True, slots=True)
class Person:
    """Who is served, and where the answers go."""

    user_id: int
    chat_id: int
    language: str


class Desk:
    """Takes pictures and orders; what was stored before an answer is sent is never asked for again."""

    def __init__(self, bot: Bot, queue: JobQueue, catalogue: Catalogue) -> None:
        self.bot = bot
        self.queue = queue
        self.catalogue = catalogue

    def say(self, person: Person) -> Say:
        return partial(self.catalogue.say, person.language)

    async def receive(self, person: Person, context: FSMContext, received: list[Received], origin: str) -> None:
        """Add pictures to the draft, then ask for what is missing or take the order."""
        before = Draft.from_data(await context.get_data())
        draft = before.add(*received)
        if draft.awaited is None and await self.take(person, draft.order(), origin):
            await keep_draft(context, Draft(draft.algorithm), None, ordered=draft.last_message_id)
        elif draft.awaited is not None:
            await keep_draft(context, draft, draft.awaited)
            await self.ask(person, draft)
        else:
            # Refused, and told so: the dialogue stays where it was.
            await keep_draft(context, before, before.awaited)

    async def ask(self, person: Person, draft: Draft, key: str | None = None) -> None:
        """Ask for the picture that the draft awaits, in the words of the key or the usual ones."""
        text, swap = question(draft)
        say = self.say(person)
        await self.bot.send_message(
            person.chat_id,
            say(key or text, title=draft.mode.title),
            reply_markup=draft_buttons(say, draft.last_message_id, None if key else swap),
        )

    async def take(self, person: Person, order: Order, origin: str) -> bool:
        """Store the order as a job and say so; False: the queue is full, which was said too."""
        say = self.say(person)
        try:
            ticket = await self.queue.submit(NewJob(origin, person.user_id, person.chat_id, person.language, order))
        except QueueFullError as error:
            await self.bot.send_message(person.chat_id, say("queue.full", limit=error.limit))
            return False
        except UserQueueFullError as error:
            await self.bot.send_message(person.chat_id, say("queue.user_full", limit=error.limit))
            return False
        job = ticket.job
        if job.status_message_id is not None or not job.status.active:
            return True
        others = [other for other in await self.queue.active_jobs(person.user_id) if other.id < job.id]
        message = await self.bot.send_message(
            person.chat_id,
            wording.accepted(say, ticket, follows=bool(others)),
            reply_markup=status_buttons(say, job.id, swap=len(order.styles) == 1),
        )
        await self.queue.set_status_message(job.id, message.message_id)
        if not (await self.queue.job(job.id, person.user_id)).status.active:
            # It was over before the message was known: nobody else will remove it.
            await remove_message(self.bot, person.chat_id, message.message_id)
        return True


def question(draft: Draft) -> tuple[str, str | None]:
    """Return the keys of the question for what is missing, and of the swap's text where there is one to swap."""
    if draft.awaited is Gathering.style:
        return "ask.style", "button.is_style" if draft.swappable else None
    if draft.styles:
        return "ask.content_for_style", "button.is_content" if draft.swappable else None
    return "ask.content", None


async def keep_draft(context: FSMContext, draft: Draft, state: State | None, **more: Any) -> None:
    """Store the draft and what is awaited in one transaction; whatever else lies in the dialogue stays."""
    storage = cast(StoredDialogues, context.storage)
    data = await context.get_data() | {"draft": draft.to_data()} | more
    await storage.set(context.key, state, data)


async def was_ordered(context: FSMContext, message_id: int) -> bool:
    """That picture went into an order, or came before one that did: Telegram sent its update again."""
    return message_id <= int((await context.get_data()).get("ordered", 0))


async def remove_message(bot: Bot, chat_id: int, message_id: int) -> None:
    try:
        await bot.delete_message(chat_id, message_id)
    except TelegramBadRequest:
        # The runner was quicker, or the user.
        return
