"""Buttons under a job: stop it, keep what is there, swap; the swap under an instant result too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiogram import F, Router
from aiogram.types import CallbackQuery

from handlers.answers import acknowledge, refuse
from handlers.desk import Desk, Person
from keyboards.callback_data import JobButton, JobStep
from locales.catalogue import Say
from ml_models.registry import Kind
from processing.instant_draft import is_known
from processing.job import JobEndedError, NewJob, NothingToKeepError, Order, Status
from processing.lanes import kind_of
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
    """Put an order with photo and style exchanged in the job's place, or beside an instant one that is there already.

    The origin makes that happen once.
    """
    job = await queue.job(callback_data.job_id, person.user_id)
    if len(job.order.styles) != 1 or not is_known(job.order):
        # The button is not shown then; an altered client may press it all the same.
        await refuse(query, say("button.unknown"))
        return
    new = NewJob(f"swap:{job.id}", person.user_id, person.chat_id, person.language, swapped(job.order))
    instant = kind_of(job.order.algorithm) is Kind.INSTANT
    try:
        ticket = None if instant and not job.status.active else await queue.replace(job.id, person.user_id, new)
    except JobEndedError:
        ticket = None
    if ticket is None:
        toast = await desk.take_once(person, new.order, new.origin) if instant else "cancel.too_late"
        await acknowledge(query, toast and say(toast))
        return
    await acknowledge(query)
    await status_messages.show_cancelled(job)
    await desk.announce(person, ticket)


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
    }
    for step, handler in steps.items():
        router.callback_query.register(handler, JobButton.filter(F.step == step))
    return router
