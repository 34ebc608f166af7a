"""The options message: a button an option, shares of the styles by button or as a text, and painting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiogram import F, Router
from aiogram.filters import StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from handlers.answers import acknowledge, edit, refuse
from handlers.captions import shares_for_all, shares_text
from handlers.desk import Desk, Person, keep_draft, question, was_ordered
from handlers.draft import Draft, Gathering
from handlers.inbox import items_of
from handlers.options import DEFAULTS, Options, another_variant
from keyboards.callback_data import Option, OptionButton, PanelButton, PanelStep, ShareButton
from keyboards.options import STRENGTHS, sizes_px
from locales.catalogue import Say
from ml_models.contract import STROKE_SCALES
from ml_models.registry import Algorithm


async def choose(query: CallbackQuery, callback_data: OptionButton, state: FSMContext, say: Say) -> None:
    draft = await _held(state, callback_data.message_id)
    options = draft and chosen(draft.options, draft.mode, callback_data.option, callback_data.value)
    if not draft or not options:
        await refuse(query, say("button.unknown"))
        return
    await _show(query, state, say, draft.with_options(options))


def chosen(options: Options, mode: Algorithm, option: Option, value: int) -> Options | None:
    """Return the options with that one changed, or None for a value that no button offers in that mode."""
    match option:
        case Option.SIZE if value in sizes_px(mode):
            return replace(options, size_px=value)
        case Option.STRENGTH if value in STRENGTHS:
            return replace(options, strength=value / 100)
        case Option.STROKES if mode.max_styles and value / 100 in STROKE_SCALES.values():
            return replace(options, stroke_scale=value / 100)
        case Option.COLOURS if value in (0, 1):
            return replace(options, keep_colours=bool(value))
        case Option.DRAFT if mode.draft and value in (0, 1):
            return replace(options, draft_first=bool(value))
    return None


async def share(query: CallbackQuery, callback_data: ShareButton, state: FSMContext, say: Say) -> None:
    draft = await _held(state, callback_data.message_id)
    styles = len(draft.styles) if draft else 0
    if not draft or styles < 2 or not 0 <= callback_data.style < styles or not 0 < callback_data.percent < 100:
        await refuse(query, say("button.unknown"))
        return
    await _show(query, state, say, draft.with_share(callback_data.style, callback_data.percent))


async def written_shares(message: Message, person: Person, state: FSMContext, say: Say, desk: Desk) -> None:
    """Shares as a text of their own, while the options are open."""
    draft = Draft.from_data(await state.get_data())
    shares = shares_for_all(shares_text(message.text), len(draft.styles), draft.mode.max_styles)
    if shares.problem:
        await message.reply(say(shares.problem.key, **shares.problem.details))
        return
    await desk.show_options(person, state, replace(draft, weights=shares.weights))


async def open_options(
    query: CallbackQuery, callback_data: PanelButton, person: Person, state: FSMContext, say: Say, desk: Desk
) -> None:
    """Turn the question under which the button stands into the options."""
    draft = Draft.from_data(await state.get_data())
    if draft.last_message_id != callback_data.message_id:
        await refuse(query, say("button.unknown"))
        return
    panel_id = query.message.message_id if query.message else 0
    await _show(query, state, say, replace(draft, held=True, panel_id=panel_id))
    if draft.panel_id != panel_id:
        await desk.discard(person, draft.panel_id)


async def change(query: CallbackQuery, callback_data: PanelButton, state: FSMContext, say: Say, update_id: int) -> None:
    """Equal shares, another variant, or everything as at first."""
    draft = await _held(state, callback_data.message_id)
    if not draft:
        await refuse(query, say("button.unknown"))
        return
    match callback_data.step:
        case PanelStep.VARIANT:
            seed = another_variant(draft.options.seed, update_id)
            draft = draft.with_options(replace(draft.options, seed=seed))
        case PanelStep.RESET:
            draft = draft.with_options(DEFAULTS).with_equal_shares()
        case _:
            draft = draft.with_equal_shares()
    await _show(query, state, say, draft)


async def close(query: CallbackQuery, callback_data: PanelButton, state: FSMContext, say: Say) -> None:
    """Go on as without options; what was chosen stays."""
    draft = await _held(state, callback_data.message_id)
    if not draft or draft.awaited is None:
        await refuse(query, say("button.unknown"))
        return
    draft = replace(draft, held=False, panel_id=0)
    await keep_draft(state, draft, draft.awaited if draft.pictures else None)
    await acknowledge(query)
    await edit(query, *question(say, draft))


async def paint(
    query: CallbackQuery,
    callback_data: PanelButton,
    person: Person,
    state: FSMContext,
    say: Say,
    desk: Desk,
    origin: str,
) -> None:
    """Take the order; not while pictures are on their way into it."""
    draft = await _held(state, callback_data.message_id)
    if not draft or draft.awaited is not None:
        if callback_data.message_id and await was_ordered(state, callback_data.message_id):
            # Pressed twice.
            await acknowledge(query, say("options.painted"))
        else:
            await refuse(query, say("button.unknown"))
        return
    if items_of(await state.get_data()):
        await acknowledge(query, say("options.wait"))
        return
    await acknowledge(query)
    if await desk.order(person, state, draft, origin):
        await desk.discard(person, draft.panel_id)


async def _held(state: FSMContext, message_id: int) -> Draft | None:
    """Return the draft whose options are open; None: the button is of another one."""
    draft = Draft.from_data(await state.get_data())
    return draft if draft.held and draft.last_message_id == message_id else None


async def _show(query: CallbackQuery, state: FSMContext, say: Say, draft: Draft) -> None:
    """Store the draft and show it in the message of the button."""
    await keep_draft(state, draft, draft.state)
    await acknowledge(query)
    await edit(query, *question(say, draft))


def create_router() -> Router:
    router = Router(name="options")
    router.callback_query.register(choose, OptionButton.filter())
    router.callback_query.register(share, ShareButton.filter())
    steps: dict[PanelStep, Callable[..., Awaitable[None]]] = {
        PanelStep.OPEN: open_options,
        PanelStep.EQUAL: change,
        PanelStep.VARIANT: change,
        PanelStep.RESET: change,
        PanelStep.CLOSE: close,
        PanelStep.PAINT: paint,
    }
    for step, handler in steps.items():
        router.callback_query.register(handler, PanelButton.filter(F.step == step))
    router.message.register(written_shares, F.text.func(shares_text), StateFilter(Gathering.paint))
    return router
