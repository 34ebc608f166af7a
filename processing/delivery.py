"""The one answer that ends a job: the picture, or the sentence that says why there is none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

import structlog
from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.types import InputFile

from keyboards.job import failure_buttons, result_buttons
from locales.catalogue import Catalogue, Say
from ml_models.contract import Progress
from processing import wording
from processing.folders import Results
from processing.job import Failure, Job, NotYetError, RefusedError
from processing.offers import offers
from processing.status_message import StatusMessages
from reporting.logs import redact
from reporting.notices import Notices

#: Telegram may take the answer later; anything else it refuses for good. 401, 404 and 409 are about the bot: its token
#: was revoked or mistyped.
PASSING = (
    TelegramNetworkError,
    TelegramServerError,
    ClientDecodeError,
    TelegramUnauthorizedError,
    TelegramNotFound,
    TelegramConflictError,
)
#: What a 400 says where there is nobody to write to any more. Who has blocked the bot or left Telegram gives a 403.
GONE = ("chat not found", "user not found", "user is deactivated", "peer_id_invalid")

log = structlog.get_logger(__name__)


class StoredFile(InputFile):
    """A stored picture, read anew for every try to send it: of a user who was forgotten in between nothing is sent."""

    def __init__(self, get: Callable[[], Awaitable[bytes | None]], name: str) -> None:
        super().__init__(name)
        self._get = get

    async def read(self, bot: Bot) -> AsyncGenerator[bytes, None]:
        content = await self._get()
        if content is None:
            # The runner looks once more, and then says so.
            raise FileNotFoundError(f"{self.filename} is gone")
        yield content


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
        """Send the stored picture and return True; False: there is nobody to send it to any more.

        Raises:
            NotYetError: Telegram may take it later.
            RefusedError: Telegram never will.
        """
        await self.status_messages.stop_showing(job.id)
        return await self._end(job, self._send_picture(job))

    async def tell_failure(self, job: Job) -> bool:
        """Send the sentence of a failed job; returns and raises as deliver does."""
        await self.status_messages.stop_showing(job.id)
        return await self._end(job, self._send_failure(job, job.failure or Failure("failed", {})))

    async def late(self, job: Job) -> None:
        """Say in the status message that the outcome comes later."""
        await self.status_messages.show_late(job)

    async def clear(self, job: Job) -> None:
        """Remove the status message."""
        await self.status_messages.remove(job)

    async def report(self, job: Job, error: BaseException) -> None:
        """Tell the admin of an error that is not the user's doing."""
        await self.notices.error(error, job_id=job.id)

    async def _end(self, job: Job, sending: Awaitable[None]) -> bool:
        try:
            await sending
        except TelegramRetryAfter as error:
            raise NotYetError(redact(str(error)), wait_s=error.retry_after) from error
        except TelegramEntityTooLarge as error:
            raise RefusedError(redact(str(error))) from error
        except PASSING as error:
            raise NotYetError(redact(str(error))) from error
        except AiogramError as error:
            if _is_gone(error):
                log.info("the user cannot be reached any more", job_id=job.id, reason=redact(str(error)))
                return False
            raise RefusedError(redact(str(error))) from error
        return True

    async def _send_picture(self, job: Job) -> None:
        say = self._say(job)
        caption = wording.done(say, job)
        buttons = result_buttons(say, job.id, offers(job.order))
        photo = StoredFile(partial(self.results.get_photo, job.id), "photo.jpg")
        try:
            await self.bot.send_photo(job.chat_id, photo, caption=caption, reply_markup=buttons)
        except (TelegramBadRequest, TelegramEntityTooLarge) as error:
            if _is_gone(error):
                raise
            # Telegram takes no photo of such a shape or size; as a file it takes more.
            log.warning("a picture was refused as a photo", job_id=job.id, reason=redact(str(error)))
            picture = StoredFile(partial(self.results.get_picture, job.id), "picture.png")
            await self.bot.send_document(job.chat_id, picture, caption=caption, reply_markup=buttons)

    async def _send_failure(self, job: Job, failure: Failure) -> None:
        say = self._say(job)
        buttons = failure_buttons(say, job.id, styles=offers(job.order).styles)
        await self.bot.send_message(job.chat_id, wording.failed(say, failure), reply_markup=buttons)

    def _say(self, job: Job) -> Say:
        return partial(self.catalogue.say, job.language)


def _is_gone(error: AiogramError) -> bool:
    """Whether the error says that there is nobody to write to any more."""
    if isinstance(error, TelegramBadRequest):
        return any(words in error.message.lower() for words in GONE)
    return isinstance(error, TelegramForbiddenError)
