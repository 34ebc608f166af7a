"""The desk where orders are taken: from a draft to an accepted job and the message that says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State
from aiogram.types import InlineKeyboardMarkup

from handlers.draft import Draft, Gathering
from handlers.panel import panel, swap_text
from handlers.storage import StoredDialogues
from keyboards.draft import draft_buttons
from keyboards.job import status_buttons
from locales.catalogue import Catalogue, Say
from processing import wording
from processing.job import NewJob, Order, QueueFullError, Status, Ticket, UserQueueFullError
from processing.queue.base import JobQueue
from reporting.logs import redact

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Person:
    """Who is served, and where the answers go."""

    user_id: int
    chat_id: int
    language: str


class Desk:
    """Takes drafts and orders. A job that was stored is accepted, whether or not its user could be told so."""

    def __init__(self, bot: Bot, queue: JobQueue, catalogue: Catalogue) -> None:
        self.bot = bot
        self.queue = queue
        self.catalogue = catalogue

    def say(self, person: Person) -> Say:
        return partial(self.catalogue.say, person.language)

    async def receive(self, person: Person, context: FSMContext, draft: Draft, origin: str) -> bool:
        """Store the draft and ask for what is missing, or take the order when it is complete and not held.

        False: the queue is full, which was said.
        """
        if draft.awaited is None and draft.shares.problem:
            # Painting now would drop what the captions say.
            draft = replace(draft, held=True)
        if draft.held:
            await self.show_options(person, context, draft)
        elif draft.awaited is not None:
            await keep_draft(context, draft, draft.awaited)
            await self.ask(person, draft)
        elif not await self.order(person, context, draft, origin):
            await self._keep_photo(person, context, draft)
            return False
        return True

    async def order(self, person: Person, context: FSMContext, draft: Draft, origin: str) -> bool:
        """Take the complete draft as an order and begin an empty one; False: the queue is full, which was said."""
        if not await self.take(person, draft.next_order(), origin):
            return False
        ordered = max(draft.last_message_id, (await context.get_data()).get("ordered", 0))
        await keep_draft(context, draft.emptied(), None, ordered=ordered)
        return True

    async def show_options(self, person: Person, context: FSMContext, draft: Draft) -> None:
        """Hold the draft and show its options below everything else, in the place of an earlier message of them."""
        held = replace(draft, held=True)
        await keep_draft(context, held, held.state)
        text, buttons = panel(self.say(person), held)
        message = await self.bot.send_message(person.chat_id, text, reply_markup=buttons)
        await keep_draft(context, replace(held, panel_id=message.message_id), held.state)
        await self.discard(person, draft.panel_id)

    async def discard(self, person: Person, message_id: int) -> None:
        """Remove a message of the options that holds no longer, or at least its buttons."""
        if not message_id:
            return
        try:
            await self.bot.delete_message(person.chat_id, message_id)
        except AiogramError:
            # Telegram lets nothing be deleted that is older than two days; or the user has deleted it.
            try:
                await self.bot.edit_message_reply_markup(chat_id=person.chat_id, message_id=message_id)
            except AiogramError as error:
                log.info("an options message stays", reason=redact(str(error)))

    async def ask(self, person: Person, draft: Draft, key: str | None = None) -> None:
        """Ask for the picture that the draft awaits, in the words of the key or the usual ones."""
        text, buttons = question(self.say(person), draft, key)
        await self.bot.send_message(person.chat_id, text, reply_markup=buttons)

    async def take(self, person: Person, order: Order, origin: str) -> bool:
        """Store the order as a job and say so; False: the queue is full, which was said too."""
        ticket = await self._submit(person, order, origin)
        if ticket is None:
            return False
        await self.announce(person, ticket)
        return True

    async def take_once(self, person: Person, order: Order, wish: str) -> str | None:
        """Take what a button under a picture asks for, however often it is pressed.

        What failed or was cancelled is taken anew. Return the key of what to say of a press that changes nothing.

        Args:
            wish: names what is asked for, the same at every press.
        """
        ticket = await self._submit(person, order, wish)
        while ticket and ticket.job.status in (Status.CANCELLED, Status.FAILED):
            ticket = await self._submit(person, order, f"{wish}:{ticket.job.id}")
        if ticket is None:
            return None
        if not ticket.job.status.active:
            return "job.there_already"
        if ticket.job.status_message_id is not None:
            return "job.under_way"
        await self.announce(person, ticket)
        return None

    async def _submit(self, person: Person, order: Order, origin: str) -> Ticket | None:
        """Store the order as a job; None: the queue is full, which was said."""
        say = self.say(person)
        try:
            return await self.queue.submit(NewJob(origin, person.user_id, person.chat_id, person.language, order))
        except QueueFullError as error:
            await self.bot.send_message(person.chat_id, say("queue.full", limit=error.limit))
        except UserQueueFullError as error:
            await self.bot.send_message(person.chat_id, say("queue.user_full", limit=error.limit))
        return None

    async def announce(self, person: Person, ticket: Ticket) -> None:
        """Send the message that shows how the job goes, once a job; a failure does not harm the job."""
        job = ticket.job
        if job.status_message_id is not None or not job.status.active:
            return
        say = self.say(person)
        try:
            message = await self.bot.send_message(
                person.chat_id,
                wording.accepted(say, ticket),
                reply_markup=status_buttons(say, job.id, swap=len(job.order.styles) == 1),
            )
        except AiogramError as error:
            log.warning("an accepted job could not be announced", job_id=job.id, reason=redact(str(error)))
            return
        job = await self.queue.set_status_message(job.id, message.message_id)
        if not job.status.active:
            # It was over before the message was known: nobody else will remove it.
            try:
                await self.bot.delete_message(person.chat_id, message.message_id)
            except AiogramError as error:
                log.info("a status message stays", job_id=job.id, reason=redact(str(error)))

    async def _keep_photo(self, person: Person, context: FSMContext, draft: Draft) -> None:
        """After a refusal: the photo stays, so that only the style has to be sent again."""
        if not draft.mode.min_styles:
            await keep_draft(context, draft.emptied(), None)
            return
        kept = replace(draft.emptied(), content=draft.content, options=draft.options)
        await keep_draft(context, kept, kept.awaited)
        await self.ask(person, kept, "queue.photo_kept")


def question(say: Say, draft: Draft, key: str | None = None) -> tuple[str, InlineKeyboardMarkup]:
    """Return text and buttons of what asks for the next thing: the options while they are open, else a question.

    With a key it is the question of that key, and there is nothing to swap.
    """
    if draft.held:
        return panel(say, draft)
    if draft.awaited is Gathering.style:
        usual = "ask.style"
    else:
        usual = "ask.content_for_style" if draft.styles else "ask.content"
    buttons = draft_buttons(say, draft.last_message_id, None if key else swap_text(draft))
    return say(key or usual, title=draft.mode.title), buttons


async def keep_draft(context: FSMContext, draft: Draft, state: State | None, **more: Any) -> None:
    """Store the draft and what is awaited in one transaction; whatever else lies in the dialogue stays."""
    storage = cast(StoredDialogues, context.storage)
    data = await context.get_data() | {"draft": draft.to_data()} | more
    await storage.set(context.key, state, data)


async def begin_anew(context: FSMContext, draft: Draft) -> None:
    """Store an empty draft, await nothing, and drop the pictures that still wait to be taken."""
    await keep_draft(context, draft, None, inbox=None)


async def was_ordered(context: FSMContext, message_id: int) -> bool:
    """That picture went into an order, or came before one that did: Telegram sent its update again."""
    return message_id <= int((await context.get_data()).get("ordered", 0))
