"""Buttons under a job: stop it, keep what is there, swap; under its result: a file, options, another style, again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, FSInputFile

from handlers.answers import acknowledge, refuse
from handlers.desk import Desk, Person, keep_draft
from handlers.draft import Draft, Received
from handlers.options import Options, another_variant
from keyboards.callback_data import JobButton, JobStep
from locales.catalogue import Say
from ml_models.registry import ALGORITHMS
from processing import wording
from processing.folders import JobFolders
from processing.job import Job, JobEndedError, NewJob, NothingToKeepError, Order, Status
from processing.queue.base import JobQueue
from processing.status_message import StatusMessages


async def cancel(
    query: CallbackQuery,
    callback_data: JobButton,
    person: Person,
    say: Say,
    queue: JobQueue,
    status_messages: StatusMessages,
) -> None:
    job = await queue.cancel(callback_data.job_id, person.user_id)
    if job.status is not Status.CANCELLED:
        await acknowledge(query, say("cancel.too_late"))
        return
    await acknowledge(query, say("cancel.toast"))
    await status_messages.show_cancelled(job)


async def keep(query: CallbackQuery, callback_data: JobButton, person: Person, say: Say, queue: JobQueue) -> None:
    """End the run with the picture so far; it comes as any other."""
    try:
        is_news = await queue.keep(callback_data.job_id, person.user_id)
    except NothingToKeepError:
        await acknowledge(query, say("keep.nothing_yet"))
    except JobEndedError:
        await acknowledge(query, say("keep.too_late"))
    else:
        await acknowledge(query, say("keep.toast" if is_news else "keep.again"))


async def swap(
    query: CallbackQuery,
    callback_data: JobButton,
    person: Person,
    say: Say,
    queue: JobQueue,
    status_messages: StatusMessages,
    desk: Desk,
) -> None:
    """Put an order with photo and style exchanged in the job's place; its origin makes that happen once."""
    job = await queue.job(callback_data.job_id, person.user_id)
    if len(job.order.styles) != 1:
        # The button is not shown then; an altered client may press it all the same.
        await refuse(query, say("button.unknown"))
        return
    new = NewJob(f"swap:{job.id}", person.user_id, person.chat_id, person.language, swapped(job.order))
    try:
        ticket = await queue.replace(job.id, person.user_id, new)
    except JobEndedError:
        await acknowledge(query, say("cancel.too_late"))
        return
    await acknowledge(query)
    await status_messages.show_cancelled(job)
    await desk.announce(person, ticket)


async def send_file(
    query: CallbackQuery,
    callback_data: JobButton,
    person: Person,
    say: Say,
    queue: JobQueue,
    folders: JobFolders,
    desk: Desk,
) -> None:
    job = await queue.job(callback_data.job_id, person.user_id)
    picture = folders.picture(job.id)
    if job.outcome is None or not picture.is_file():
        await refuse(query, say("file.gone"))
        return
    await acknowledge(query)
    about = say("job.file_caption", width_px=job.outcome.width_px, height_px=job.outcome.height_px)
    caption = "\n".join(filter(None, [about, ", ".join(wording.unusual(say, job.order))]))
    await desk.bot.send_document(
        person.chat_id, FSInputFile(picture, filename=f"painting-{job.id}.png"), caption=caption
    )


async def another_style(
    query: CallbackQuery,
    callback_data: JobButton,
    person: Person,
    state: FSMContext,
    say: Say,
    queue: JobQueue,
    desk: Desk,
) -> None:
    job = await _orderable(query, callback_data, person, say, queue)
    if job is None:
        return
    await acknowledge(query)
    before = Draft.from_data(await state.get_data())
    draft = Draft(
        job.order.algorithm,
        Received(job.order.content, _message_id(query)),
        options=Options.of_order(job.order).lasting(),
        usual=before.usual,
    )
    await keep_draft(state, draft, draft.awaited)
    await desk.ask(person, draft, "ask.style_again")
    await desk.discard(person, before.panel_id)


async def change_options(
    query: CallbackQuery,
    callback_data: JobButton,
    person: Person,
    state: FSMContext,
    say: Say,
    queue: JobQueue,
    desk: Desk,
) -> None:
    """Open the options of that order: its pictures, weights and variant too, until it is painted or cancelled."""
    job = await _orderable(query, callback_data, person, say, queue)
    if job is None:
        return
    await acknowledge(query)
    before = Draft.from_data(await state.get_data())
    draft = Draft.of_order(job.order, _message_id(query), before.usual)
    await desk.show_options(person, state, replace(draft, panel_id=before.panel_id))


async def again(
    query: CallbackQuery,
    callback_data: JobButton,
    person: Person,
    say: Say,
    queue: JobQueue,
    desk: Desk,
    update_id: int,
    origin: str,
) -> None:
    job = await _orderable(query, callback_data, person, say, queue)
    if job is None:
        return
    await acknowledge(query, say("job.again_toast"))
    # Another seed, and the same one should Telegram send this press twice.
    await desk.take(person, replace(job.order, seed=another_variant(job.order.seed, update_id)), origin)


async def _orderable(
    query: CallbackQuery, callback_data: JobButton, person: Person, say: Say, queue: JobQueue
) -> Job | None:
    """Return the person's job of the button; None, and the press refused: its algorithm is there no more."""
    job = await queue.job(callback_data.job_id, person.user_id)
    if job.order.algorithm in ALGORITHMS:
        return job
    await refuse(query, say("button.unknown"))
    return None


def _message_id(query: CallbackQuery) -> int:
    """Return the button's message, which stands for the photo of a draft made from a job: it tells it from others."""
    return query.message.message_id if query.message else 0


def swapped(order: Order) -> Order:
    """Return the order with the photo and its one style exchanged."""
    style = order.styles[0]
    return replace(order, content=style.picture, styles=(replace(style, picture=order.content),))


def create_router() -> Router:
    router = Router(name="jobs")
    steps: dict[JobStep, Callable[..., Awaitable[None]]] = {
        JobStep.CANCEL: cancel,
        JobStep.KEEP: keep,
        JobStep.SWAP: swap,
        JobStep.FILE: send_file,
        JobStep.STYLE: another_style,
        JobStep.AGAIN: again,
        JobStep.OPTIONS: change_options,
    }
    for step, handler in steps.items():
        router.callback_query.register(handler, JobButton.filter(F.step == step))
    return router
