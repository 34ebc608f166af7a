"""Buttons under a job: while it waits or runs, and under its result."""

from __future__ import annotations

from dataclasses import dataclass

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from aiogram.utils.keyboard import InlineKeyboardBuilder

from keyboards.callback_data import JobButton, JobStep, StrengthButton
from keyboards.options import CHOSEN, STRENGTHS
from locales.catalogue import Say


@dataclass(frozen=True, slots=True)
class Offers:
    """What can be done with a result.

    Attributes:
        paint: it is a draft, and there is a painting to be had.
        instant: it was there at once, so that the same order with another variant would give the same picture, and
            nobody could exchange photo and style before it came.
        swap: there is one style to exchange the photo with.
        styles: the mode takes styles.
    """

    paint: bool = False
    instant: bool = False
    swap: bool = False
    styles: bool = True


def status_buttons(say: Say, job_id: int, *, swap: bool, keep: bool = False) -> InlineKeyboardMarkup:
    """Cancel; a swap where there is one style to swap with; before them the end with what there is, where there is."""
    builder = InlineKeyboardBuilder()
    if keep:
        builder.button(text=say("button.keep"), callback_data=JobButton(step=JobStep.KEEP, job_id=job_id))
    builder.button(text=say("button.cancel"), callback_data=JobButton(step=JobStep.CANCEL, job_id=job_id))
    if swap:
        builder.button(text=say("button.swap"), callback_data=JobButton(step=JobStep.SWAP, job_id=job_id))
    return InlineKeyboardMarkup(inline_keyboard=builder.adjust(1).export())


def result_buttons(say: Say, job_id: int, offers: Offers, strength: float | None = None) -> InlineKeyboardMarkup:
    """The painting of a draft in a row of its own; then what else can be done.

    Args:
        strength: the result's own, to offer others in a row in the place of the button that asks for them.
    """

    def button(text: str, step: JobStep) -> InlineKeyboardButton:
        return InlineKeyboardButton(text=say(text), callback_data=JobButton(step=step, job_id=job_id).pack())

    rows = [[button("button.paint_properly", JobStep.PAINT)]] if offers.paint else []
    if offers.instant and strength is not None:
        rows.append([_strength(percent, job_id, strength) for percent in STRENGTHS])
    more = [button("button.as_file", JobStep.FILE)]
    if not offers.instant:
        more.append(button("button.again", JobStep.AGAIN))
    elif strength is None:
        more.append(button("button.other_strength", JobStep.STRENGTHS))
    more.append(button("button.change_options", JobStep.OPTIONS))
    if offers.styles:
        more.append(button("button.another_style", JobStep.STYLE))
    rows += [more[at : at + 2] for at in range(0, len(more), 2)]
    if offers.instant and offers.swap:
        rows.append([button("button.swap", JobStep.SWAP)])
    return InlineKeyboardMarkup(inline_keyboard=rows)


def failure_buttons(say: Say, job_id: int, *, styles: bool) -> InlineKeyboardMarkup:
    """Again, the options, and another style where the mode takes styles."""
    builder = InlineKeyboardBuilder()
    builder.button(text=say("button.again"), callback_data=JobButton(step=JobStep.AGAIN, job_id=job_id))
    builder.button(text=say("button.change_options"), callback_data=JobButton(step=JobStep.OPTIONS, job_id=job_id))
    if styles:
        builder.button(text=say("button.another_style"), callback_data=JobButton(step=JobStep.STYLE, job_id=job_id))
    return InlineKeyboardMarkup(inline_keyboard=builder.adjust(2).export())


def _strength(percent: int, job_id: int, strength: float) -> InlineKeyboardButton:
    chosen = percent == round(100 * strength)
    data = StrengthButton(percent=percent, job_id=job_id)
    return InlineKeyboardButton(text=f"{CHOSEN * chosen}{percent}%", callback_data=data.pack())
