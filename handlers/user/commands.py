"""/start, /help and /cancel."""

from __future__ import annotations

from aiogram import Router
from aiogram.filters import Command, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.types import Message, User

from config import Settings
from handlers.desk import begin_anew
from handlers.draft import Draft
from handlers.inbox import items_of
from keyboards.menu import menu
from locales.catalogue import Markup, Say, duration
from ml_models.contract import DEFAULT_SIZE_PX
from ml_models.registry import ALGORITHMS
from processing.job import Job
from processing.queue.base import JobQueue
from processing.status_message import StatusMessages


async def start(message: Message, event_from_user: User, state: FSMContext, say: Say) -> None:
    await begin_anew(state, Draft())
    text = say("start.greeting", name=event_from_user.first_name)
    await message.answer(text, reply_markup=menu(say, ALGORITHMS.values()))


async def show_help(message: Message, say: Say, settings: Settings) -> None:
    await message.answer(help_text(say, settings))


async def cancel(
    message: Message,
    event_from_user: User,
    state: FSMContext,
    say: Say,
    queue: JobQueue,
    status_messages: StatusMessages,
) -> None:
    """End what was begun; with nothing begun, stop the user's jobs."""
    data = await state.get_data()
    draft = Draft.from_data(data)
    begun = await state.get_state() is not None or draft.pictures or items_of(data)
    await begin_anew(state, Draft(draft.algorithm))
    if begun:
        await message.answer(say("cancel.dialogue"))
        return
    jobs: list[Job] = await queue.active_jobs(event_from_user.id)
    for job in jobs:
        await queue.cancel(job.id, event_from_user.id)
        await status_messages.show_cancelled(job)
    await message.answer(say("cancel.jobs" if jobs else "cancel.nothing"))


def help_text(say: Say, settings: Settings) -> str:
    """How it works, what is taken, the modes of the registry."""
    modes = [
        say(
            "help.mode",
            title=algorithm.title,
            kind=say(f"kind.{algorithm.kind}"),
            styles=styles_taken(algorithm.min_styles, algorithm.max_styles),
            duration=duration(say, algorithm.seconds_at_512),
        )
        for algorithm in ALGORITHMS.values()
    ]
    return say(
        "help.text",
        limit_mb=settings.file_limit_mb,
        megapixels=settings.max_image_megapixels,
        size_px=DEFAULT_SIZE_PX,
        modes=Markup("\n".join(modes)),
    )


def styles_taken(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}–{high}"


def create_router() -> Router:
    router = Router(name="commands")
    router.message.register(start, CommandStart())
    router.message.register(show_help, Command("help"))
    router.message.register(cancel, Command("cancel"))
    return router
