"""The message that shows how a job goes: one a job, edited in place, gone when the outcome is there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest, TelegramForbiddenError
from aiogram.types import BufferedInputFile, InlineKeyboardMarkup, InputMediaPhoto

from keyboards.job import status_buttons
from locales.catalogue import Catalogue, Say
from ml_models.contract import Progress
from ml_models.registry import Kind
from processing import wording
from processing.job import Job, Status, Ticket, UnknownJobError
from processing.lanes import kind_of
from processing.store import Store
from reporting.logs import redact

SECONDS_BETWEEN_EDITS = 3.0
LAST_EDIT_S = 5.0

SECONDS_TO_READ = 2.0
#: What Telegram says when the text of a photo is to be edited.
NO_TEXT = "there is no text in the message to edit"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Showing:
    """What is on its way to the message of one job.

    Attributes:
        newest: what is to be shown next, a place in the queue or a progress; None once it is shown.
        preview: the newest picture not shown yet; a later progress without one must not drop it.
        stopped: nothing more is to be shown.
    """

    newest: Progress | Ticket | None = None
    preview: bytes | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class StatusMessages:
    """Edits the status messages of jobs. Nothing here raises for Telegram's sake."""

    def __init__(
        self,
        bot: Bot,
        store: Store,
        catalogue: Catalogue,
        seconds_between_edits: float = SECONDS_BETWEEN_EDITS,
        seconds_to_read: float = SECONDS_TO_READ,
    ) -> None:
        self.bot = bot
        self.store = store
        self.catalogue = catalogue
        self.seconds_between_edits = seconds_between_edits
        self.seconds_to_read = seconds_to_read
        self._showing: dict[int, _Showing] = {}

    def show(self, job: Job, progress: Progress) -> None:
        """Show the progress soon: at most one edit in three seconds, always the newest."""
        showing = self._showing_of(job)
        showing.newest = progress
        showing.preview = progress.preview or showing.preview

    def show_place(self, ticket: Ticket) -> None:
        """Bring the message of a waiting job up to date, as soon as show would."""
        showing = self._showing_of(ticket.job)
        if not isinstance(showing.newest, Progress):
            showing.newest = ticket

    async def show_cancelled(self, job: Job) -> None:
        """Say that the job was stopped, and take the buttons away."""
        await self._show_last(job, self._say(job)("cancel.done"))

    async def show_late(self, job: Job) -> None:
        """Say that the job is done and that its outcome comes later, and take the buttons away."""
        await self._show_last(job, self._say(job)("job.late"))

    async def stop_showing(self, job_id: int) -> None:
        """Begin no further edit of this job's message and let the one under way end, so that none comes later."""
        showing = self._showing.get(job_id)
        if showing and showing.task:
            showing.stopped.set()
            _, late = await asyncio.wait([showing.task], timeout=LAST_EDIT_S)
            if late:
                showing.task.cancel()
                await asyncio.wait([showing.task])
            if self._showing.get(job_id) is showing:
                del self._showing[job_id]

    async def remove(self, job: Job) -> None:
        """Delete the message: the outcome was told."""
        message_id = (await self.store.get(job.id)).status_message_id
        if message_id is not None:
            try:
                await self.bot.delete_message(job.chat_id, message_id)
            except AiogramError as error:
                log.info("a status message stays", job_id=job.id, reason=redact(str(error)))

    async def close(self) -> None:
        await asyncio.gather(*(self.stop_showing(job_id) for job_id in list(self._showing)))

    def _showing_of(self, job: Job) -> _Showing:
        showing = self._showing.get(job.id)
        if showing is None:
            showing = self._showing[job.id] = _Showing()
            showing.task = asyncio.create_task(self._keep_showing(job, showing), name=f"status of job {job.id}")
        return showing

    async def _keep_showing(self, job: Job, showing: _Showing) -> None:
        # The message has just said that the job is accepted, and for when.
        await self._pause(showing, self.seconds_to_read)
        while showing.newest is not None and not showing.stopped.is_set():
            newest, preview = showing.newest, showing.preview
            showing.newest = showing.preview = None
            try:
                if not await self._show(job.id, newest, preview):
                    # It stays in the table as it is, so that nothing later tries again.
                    return
            except UnknownJobError:
                # Its user was forgotten.
                break
            except Exception:
                # What cannot be shown must not harm the job.
                log.exception("a status could not be shown", job_id=job.id)
            await self._pause(showing, self.seconds_between_edits)
        if self._showing.get(job.id) is showing:
            del self._showing[job.id]

    async def _pause(self, showing: _Showing, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await showing.stopped.wait()

    async def _show(self, job_id: int, newest: Progress | Ticket, preview: bytes | None) -> bool:
        """Edit the message while that is true; False where there is no message to edit any more."""
        job = await self.store.get(job_id)
        say = self._say(job)
        if isinstance(newest, Progress):
            outdated = not job.status.active
            text = wording.progress(say, job, newest)
        else:
            outdated = job.status is not Status.QUEUED
            text = wording.accepted(say, newest)
        if outdated:
            return True
        # There is something to keep as soon as there is something to see.
        keep = isinstance(newest, Progress) and (job.status_has_picture or preview is not None) and _grows(job)
        buttons = status_buttons(say, job.id, swap=len(job.order.styles) == 1, keep=keep)
        return await self._edit(job, text, preview, buttons)

    async def _edit(self, job: Job, text: str, preview: bytes | None, buttons: InlineKeyboardMarkup | None) -> bool:
        """Edit text or caption, or add the preview, which makes a photo of the message."""
        message_id = job.status_message_id
        if message_id is None:
            # Not sent yet: the next progress looks again.
            return True
        chat_id = job.chat_id
        try:
            if preview is not None:
                media = InputMediaPhoto(media=BufferedInputFile(preview, "preview.jpg"), caption=text)
                await self.bot.edit_message_media(media, chat_id=chat_id, message_id=message_id, reply_markup=buttons)
                if not job.status_has_picture:
                    await self.store.set_status_message(job.id, message_id, has_picture=True)
            elif job.status_has_picture:
                await self.bot.edit_message_caption(
                    chat_id=chat_id, message_id=message_id, caption=text, reply_markup=buttons
                )
            else:
                await self.bot.edit_message_text(text, chat_id=chat_id, message_id=message_id, reply_markup=buttons)
        except TelegramBadRequest as error:
            if NO_TEXT in error.message and not job.status_has_picture:
                # The bot was killed between showing the first picture and remembering it.
                await self.store.set_status_message(job.id, message_id, has_picture=True)
                return await self._edit(replace(job, status_has_picture=True), text, None, buttons)
            # The user may have deleted it; "not modified" is no loss.
            return "not modified" in error.message
        except TelegramForbiddenError:
            return False
        except AiogramError as error:
            log.info("a status message could not be edited", job_id=job.id, reason=redact(str(error)))
        return True

    async def _show_last(self, job: Job, text: str) -> None:
        await self.stop_showing(job.id)
        await self._edit(await self.store.get(job.id), text, None, None)

    def _say(self, job: Job) -> Say:
        return partial(self.catalogue.say, job.language)


def _grows(job: Job) -> bool:
    return kind_of(job.order.algorithm) is Kind.PAINTED
