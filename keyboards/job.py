"""Buttons under a job: while it waits or runs, and under its result."""

from __future__ import annotations

from aiogram.types import InlineKeyboardMarkup
from aiogram.utils.keyboard import InlineKeyboardBuilder

from keyboards.callback_data import JobButton, JobStep
from locales.catalogue import Say


def status_buttons(say: Say, job_id: int, *, swap: bool, keep: bool = False) -> InlineKeyboardMarkup:
    """Cancel; a swap where there is one style to swap with; before them the end with what there is, where there is."""
    builder = InlineKeyboardBuilder()
    if keep:
        builder.button(text=say("button.keep"), callback_data=JobButton(step=JobStep.KEEP, job_id=job_id))
    builder.button(text=say("button.cancel"), callback_data=JobButton(step=JobStep.CANCEL, job_id=job_id))
    if swap:
        builder.button(text=say("button.swap"), callback_data=JobButton(step=JobStep.SWAP, job_id=job_id))
    return InlineKeyboardMarkup(inline_keyboard=builder.adjust(1).export())


def result_buttons(say: Say, job_id: int, *, styles: bool) -> InlineKeyboardMarkup:
    """As a file, again, the options, and another style where the algorithm takes styles."""
    builder = InlineKeyboardBuilder()
    builder.button(text=say("button.as_file"), callback_data=JobButton(step=JobStep.FILE, job_id=job_id))
    builder.button(text=say("button.again"), callback_data=JobButton(step=JobStep.AGAIN, job_id=job_id))
    builder.button(text=say("button.change_options"), callback_data=JobButton(step=JobStep.OPTIONS, job_id=job_id))
    if styles:
        builder.button(text=say("button.another_style"), callback_data=JobButton(step=JobStep.STYLE, job_id=job_id))
    return InlineKeyboardMarkup(inline_keyboard=builder.adjust(2).export())


def failure_buttons(say: Say, job_id: int, *, styles: bool) -> InlineKeyboardMarkup:
    """Again, the options, and another style where the algorithm takes styles."""
    builder = InlineKeyboardBuilder()
    builder.button(text=say("button.again"), callback_data=JobButton(step=JobStep.AGAIN, job_id=job_id))
    builder.button(text=say("button.change_options"), callback_data=JobButton(step=JobStep.OPTIONS, job_id=job_id))
    if styles:
        builder.button(text=say("button.another_style"), callback_data=JobButton(step=JobStep.STYLE, job_id=job_id))
    return InlineKeyboardMarkup(inline_keyboard=builder.adjust(2).export())
