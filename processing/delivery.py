"""The one answer that ends a job: the picture, or the sentence that says why there is none."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

import structlog
from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.types import BufferedInputFile

from keyboards.job import failure_buttons, result_buttons
from locales.catalogue import Catalogue, Say
from ml_models.contract import Progress
from processing import wording
from processing.folders import Results
from processing.job import Failure, Job
from processing.offers import offers
from processing.status_message import StatusMessages
from reporting.logs import redact
from reporting.notices import Notices

#: Telegram may take the answer later; anything else it refuses for good. 401, 404 and 409 are about the bot: its token
#: was revoked or mistyped. A chat that is gone is a 400.
PASSING = (
    TelegramRetryAfter,
    TelegramNetworkError,
    TelegramServerError,
    ClientDecodeError,
    TelegramUnauthorizedError,
    TelegramNotFound,
    TelegramConflictError,
)

log = structlog.get_logger(__name__)


class TelegramDelivery:
    """Delivers outcomes over the Bot API; the runner stores them before and marks them after."""

    def __init__(
        self, bot: Bot, status_messages: StatusMessages, catalogue: Catalogue, results: Results, notices: Notices
    ) -> None:
        self.bot = bot
        self.status_messages = status_messages
        self.catalogue = catalogue
        self.results = results
        self.notices = notices

    def show(self, job: Job, progress: Progress) -> None:
        """Show the progress soon; never blocks and never raises."""
        self.status_messages.show(job, progress)

    async def deliver(self, job: Job) -> bool:
        """Send the stored picture; True: it is sent or can never be, False: Telegram may take it later."""
        await self.status_messages.stop_showing(job.id)
        return await self._end(job, self._send_picture(job))

    async def tell_failure(self, job: Job) -> bool:
        """Send the sentence of a failed job; True and False as with deliver."""
        await self.status_messages.stop_showing(job.id)
        return await self._end(job, self._send_failure(job, job.failure or Failure("failed", {})))

    async def clear(self, job: Job) -> None:
        """Remove the status message."""
        await self.status_messages.remove(job)

    async def report(self, job: Job, error: BaseException) -> None:
        """Tell the admin of an error that is not the user's doing."""
        await self.notices.error(error, job_id=job.id)

    async def _end(self, job: Job, sending: Awaitable[None]) -> bool:
        try:
            await sending
        except PASSING as error:
            log.warning("an outcome could not be sent yet", job_id=job.id, reason=redact(str(error)))
            return False
        except TelegramForbiddenError:
            log.info("the user has blocked the bot", job_id=job.id)
        except AiogramError as error:
            # A chat that is gone; or a fault of ours, which the admin must know.
            log.warning("an outcome was refused", job_id=job.id, reason=redact(str(error)))
            await self.notices.error(error, job_id=job.id)
        return True

    async def _send_picture(self, job: Job) -> None:
        say = self._say(job)
        caption = wording.done(say, job)
        buttons = result_buttons(say, job.id, offers(job.order))
        photo = await self._file(self.results.get_photo(job.id), "photo.jpg")
        try:
            await self.bot.send_photo(job.chat_id, photo, caption=caption, reply_markup=buttons)
        except TelegramBadRequest as error:
            # Telegram takes no photo of such a shape; as a file it takes anything.
            log.warning("a picture was refused as a photo", job_id=job.id, reason=redact(str(error)))
            picture = await self._file(self.results.get_picture(job.id), "picture.png")
            await self.bot.send_document(job.chat_id, picture, caption=caption, reply_markup=buttons)

    async def _file(self, stored: Awaitable[bytes | None], name: str) -> BufferedInputFile:
        content = await stored
        if content is None:
            # The runner looks once more, and then says so.
            raise FileNotFoundError(f"{name} is gone")
        return BufferedInputFile(content, name)

    async def _send_failure(self, job: Job, failure: Failure) -> None:
        say = self._say(job)
        buttons = failure_buttons(say, job.id, styles=offers(job.order).styles)
        await self.bot.send_message(job.chat_id, wording.failed(say, failure), reply_markup=buttons)

    def _say(self, job: Job) -> Say:
        return partial(self.catalogue.say, job.language)
