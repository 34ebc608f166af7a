"""/start, /options, /help and /cancel."""

from __future__ import annotations

from aiogram import Router
from aiogram.filters import Command, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.types import Message, User

from config import Settings
from handlers.desk import Desk, Person, begin_anew
from handlers.draft import Draft
from handlers.inbox import items_of
from keyboards.menu import menu
from keyboards.options import sizes_px
from locales.catalogue import Markup, Say, duration
from ml_models.contract import DEFAULT_SIZE_PX
from ml_models.registry import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm
from processing.instant_draft import drafting
from processing.job import Job
from processing.queue.base import JobQueue
from processing.status_message import StatusMessages


async def start(
    message: Message, event_from_user: User, person: Person, state: FSMContext, say: Say, desk: Desk
) -> None:
    """Begin from nothing: the mode, the pictures and the options are the usual ones of everybody."""
    before = Draft.from_data(await state.get_data())
    await begin_anew(state, Draft())
    await desk.discard(person, before.panel_id)
    styles = ALGORITHMS[DEFAULT_ALGORITHM].max_styles
    what = Markup(say("start.photo_and_style" if styles else "start.photo"))
    text = say("start.greeting", name=event_from_user.first_name, what=what, modes=mode_lines(say))
    await message.answer(text, reply_markup=menu(say, ALGORITHMS.values()))


async def show_help(message: Message, say: Say, settings: Settings) -> None:
    await message.answer(help_text(say, settings))


async def show_options(message: Message, person: Person, state: FSMContext, desk: Desk) -> None:
    await desk.show_options(person, state, Draft.from_data(await state.get_data()))


async def cancel(
    message: Message,
    person: Person,
    state: FSMContext,
    say: Say,
    queue: JobQueue,
    status_messages: StatusMessages,
    desk: Desk,
) -> None:
    """End what was begun; with nothing begun, stop the user's jobs. The person's options stay."""
    data = await state.get_data()
    draft = Draft.from_data(data)
    # Options alone are nothing begun: they close, and the jobs are meant.
    begun = draft.pictures or items_of(data) or (await state.get_state() is not None and not draft.held)
    await begin_anew(state, draft.emptied())
    await desk.discard(person, draft.panel_id)
    if begun:
        await message.answer(say("cancel.dialogue"))
        return
    jobs: list[Job] = await queue.active_jobs(person.user_id)
    for job in jobs:
        await queue.cancel(job.id, person.user_id)
        await status_messages.show_cancelled(job)
    await message.answer(say("cancel.jobs" if jobs else "cancel.nothing"))


def help_text(say: Say, settings: Settings) -> str:
    """How it works, what is taken, the modes of the registry."""
    modes = ALGORITHMS.values()
    # What no mode does is not told.
    extras = [
        say("help.photo_alone") if any(not mode.max_styles for mode in modes) else "",
        say("help.draft") if any(drafting(mode.key) for mode in modes) else "",
    ]
    return say(
        "help.text",
        limit_mb=settings.file_limit_mb,
        megapixels=settings.max_image_megapixels,
        size_px=DEFAULT_SIZE_PX,
        largest_px=max(max(sizes_px(mode)) for mode in modes),
        extras=Markup("".join(f"{extra}\n" for extra in extras if extra)),
        modes=mode_lines(say),
    )


def mode_lines(say: Say) -> Markup:
    """Return a line about each mode of the registry."""
    lines = [
        say(
            "help.mode",
            title=mode.title,
            kind=say(f"kind.{mode.kind}"),
            styles=styles_taken(say, mode),
            duration=duration(say, mode.seconds_at_512),
            size_px=DEFAULT_SIZE_PX,
            largest_px=max(sizes_px(mode)),
        )
        for mode in ALGORITHMS.values()
    ]
    return Markup("\n".join(lines))


def styles_taken(say: Say, mode: Algorithm) -> str:
    low, high = mode.min_styles, mode.max_styles
    return say("help.styles", styles=str(low) if low == high else f"{low}–{high}") if high else say("help.no_style")


def create_router() -> Router:
    router = Router(name="commands")
    router.message.register(start, CommandStart())
    router.message.register(show_help, Command("help"))
    router.message.register(show_options, Command("options"))
    router.message.register(cancel, Command("cancel"))
    return router
