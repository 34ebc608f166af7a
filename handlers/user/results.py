"""Buttons under a result: its painting or another strength of a draft, a file, options, another style, again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import BufferedInputFile, CallbackQuery

from handlers.answers import acknowledge, edit_buttons, refuse
from handlers.desk import Desk, Person, keep_draft
from handlers.draft import Draft, Received
from handlers.options import Options, another_variant
from keyboards.callback_data import JobButton, JobStep, StrengthButton
from keyboards.job import result_buttons
from keyboards.options import STRENGTHS
from locales.catalogue import Say
from ml_models.registry import ALGORITHMS, Kind
from processing import wording
from processing.folders import Results
from processing.instant_draft import is_known, painting_of, wanted
from processing.job import Job
from processing.lanes import kind_of
from processing.offers import offers
from processing.queue.base import JobQueue


async def send_file(
    query: CallbackQuery,
    callback_data: JobButton,
    person: Person,
    say: Say,
    queue: JobQueue,
    results: Results,
    desk: Desk,
) -> None:
    job = await queue.job(callback_data.job_id, person.user_id)
    picture = await results.get_picture(job.id) if job.outcome else None
    if job.outcome is None or picture is None:
        await refuse(query, say("file.gone"))
        return
    await acknowledge(query)
    about = say("job.file_caption", width_px=job.outcome.width_px, height_px=job.outcome.height_px)
    caption = "\n".join(filter(None, [about, ", ".join(wording.unusual(say, job.order))]))
    await desk.bot.send_document(person.chat_id, BufferedInputFile(picture, f"painting-{job.id}.png"), caption=caption)


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
    order = wanted(job.order)
    if not ALGORITHMS[order.algorithm].max_styles:
        await refuse(query, say("button.unknown"))
        return
    await acknowledge(query)
    before = Draft.from_data(await state.get_data())
    draft = Draft(
        order.algorithm,
        Received(order.content, _message_id(query)),
        options=Options.of_order(order, draft_first=before.usual.draft_first).lasting(),
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
    if kind_of(job.order.algorithm) is Kind.INSTANT:
        # Offered where it failed alone: nothing is random in it.
        await acknowledge(query)
        await desk.take(person, job.order, origin)
        return
    await acknowledge(query, say("job.again_toast"))
    # Another seed, and the same one should Telegram send this press twice.
    await desk.take(person, replace(job.order, seed=another_variant(job.order.seed, update_id)), origin)


async def paint_properly(
    query: CallbackQuery, callback_data: JobButton, person: Person, say: Say, queue: JobQueue, desk: Desk
) -> None:
    """Order the painting that starts from this draft."""
    job = await _orderable(query, callback_data, person, say, queue)
    if job is None:
        return
    if job.order.draft_of is None:
        await refuse(query, say("button.unknown"))
        return
    toast = await desk.take_once(person, painting_of(job.order), f"paint:{job.id}")
    await acknowledge(query, toast and say(toast))


async def show_strengths(
    query: CallbackQuery, callback_data: JobButton, person: Person, say: Say, queue: JobQueue
) -> None:
    """Open a row of strengths under an instant result."""
    job = await _orderable(query, callback_data, person, say, queue)
    if job is None:
        return
    await acknowledge(query)
    await edit_buttons(query, result_buttons(say, job.id, offers(job.order), job.order.strength))


async def other_strength(
    query: CallbackQuery, callback_data: StrengthButton, person: Person, say: Say, queue: JobQueue, desk: Desk
) -> None:
    """Make an instant result once more, with another strength."""
    job = await _orderable(query, callback_data, person, say, queue)
    if job is None:
        return
    percent = callback_data.percent
    if percent not in STRENGTHS or kind_of(job.order.algorithm) is not Kind.INSTANT:
        await refuse(query, say("button.unknown"))
        return
    if percent == round(100 * job.order.strength):
        await acknowledge(query, say("job.strength_already", percent=percent))
        return
    order = replace(job.order, strength=percent / 100)
    toast = await desk.take_once(person, order, f"strength:{job.id}:{percent}")
    await acknowledge(query, toast and say(toast))


async def _orderable(
    query: CallbackQuery, callback_data: JobButton | StrengthButton, person: Person, say: Say, queue: JobQueue
) -> Job | None:
    """Return the person's job of the button; None, and the press refused: an algorithm of it is there no more."""
    job = await queue.job(callback_data.job_id, person.user_id)
    if is_known(job.order):
        return job
    await refuse(query, say("button.unknown"))
    return None


def _message_id(query: CallbackQuery) -> int:
    """Return the button's message, which stands for the photo of a draft made from a job: it tells it from others."""
    return query.message.message_id if query.message else 0


def create_router() -> Router:
    router = Router(name="results")
    steps: dict[JobStep, Callable[..., Awaitable[None]]] = {
        JobStep.PAINT: paint_properly,
        JobStep.STRENGTHS: show_strengths,
        JobStep.FILE: send_file,
        JobStep.STYLE: another_style,
        JobStep.AGAIN: again,
        JobStep.OPTIONS: change_options,
    }
    for step, handler in steps.items():
        router.callback_query.register(handler, JobButton.filter(F.step == step))
    router.callback_query.register(other_strength, StrengthButton.filter())
    return router
