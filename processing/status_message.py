"""The message that shows how a job goes: one a job, edited in place, gone when the outcome is there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest, TelegramForbiddenError
from aiogram.types import BufferedInputFile, InlineKeyboardMarkup, InputMediaPhoto

from keyboards.job import status_buttons
from locales.catalogue import Catalogue, Say
from ml_models.contract import Progress
from processing import wording
from processing.job import Job, Ticket
from processing.store import Store
from reporting.logs import redact

SECONDS_BETWEEN_EDITS = 3.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Showing:
    """The progress of one job that is on its way to the chat.

    Attributes:
        newest: what is to be shown next, or None once it is shown.
        preview: the newest picture not shown yet; a later progress without one must not drop it.
    """

    newest: Progress | None
    preview: bytes | None
    task: asyncio.Task[None] | None = None


class StatusMessages:
    """Edits the status messages of jobs. Nothing here raises for Telegram's sake."""

    def __init__(
        self, bot: Bot, store: Store, catalogue: Catalogue, seconds_between_edits: float = SECONDS_BETWEEN_EDITS
    ) -> None:
        self.bot = bot
        self.store = store
        self.catalogue = catalogue
        self.seconds_between_edits = seconds_between_edits
        self._showing: dict[int, _Showing] = {}

    def show(self, job: Job, progress: Progress) -> None:
        """Show the progress soon: at most one edit in three seconds, always the newest."""
        showing = self._showing.get(job.id)
        if showing is None:
            showing = self._showing[job.id] = _Showing(progress, progress.preview)
            showing.task = asyncio.create_task(self._keep_showing(job, showing))
        else:
            showing.newest = progress
            showing.preview = progress.preview or showing.preview

    async def show_place(self, ticket: Ticket) -> None:
        """Bring the message of a waiting job up to date."""
        await self._show(ticket.job, wording.accepted(self._say(ticket.job), ticket), None)

    async def show_cancelled(self, job: Job) -> None:
        """Say that the job was stopped, and take the buttons away."""
        await self.stop_showing(job.id)
        now = await self.store.get(job.id)
        await self._edit(now, self._say(job)("cancel.done"), None, None)

    async def stop_showing(self, job_id: int) -> None:
        """Return when no edit of this job's message is under way any more."""
        showing = self._showing.pop(job_id, None)
        if showing and showing.task:
            showing.task.cancel()
            await asyncio.wait([showing.task])

    async def remove(self, job: Job) -> None:
        """Delete the message: the outcome was told."""
        message_id = (await self.store.get(job.id)).status_message_id
        if message_id is not None:
            try:
                await self.bot.delete_message(job.chat_id, message_id)
            except AiogramError as error:
                log.info("a status message stays", job_id=job.id, reason=redact(str(error)))

    async def close(self) -> None:
        for job_id in list(self._showing):
            await self.stop_showing(job_id)

    async def _keep_showing(self, job: Job, showing: _Showing) -> None:
        try:
            while showing.newest is not None:
                progress, preview = showing.newest, showing.preview
                showing.newest = showing.preview = None
                if not await self._show(job, wording.progress(self._say(job), job, progress), preview):
                    # It stays in the table as it is, so that no later progress tries again.
                    return
                await asyncio.sleep(self.seconds_between_edits)
            self._showing.pop(job.id, None)
        except Exception:
            # A progress that cannot be shown must not harm the job.
            log.exception("progress could not be shown", job_id=job.id)

    async def _show(self, job: Job, text: str, preview: bytes | None) -> bool:
        """Edit the message while the job is active; False where there is no message to edit any more."""
        now = await self.store.get(job.id)
        if not now.status.active:
            return True
        return await self._edit(
            now, text, preview, status_buttons(self._say(job), job.id, swap=len(job.order.styles) == 1)
        )

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
            # The user may have deleted it; "not modified" is no loss.
            return "not modified" in error.message
        except TelegramForbiddenError:
            return False
        except AiogramError as error:
            log.info("a status message could not be edited", job_id=job.id, reason=redact(str(error)))
        return True

    def _say(self, job: Job) -> Say:
        return partial(self.catalogue.say, job.language)
