"""The options message: what is chosen, what is wrong, what can be done next."""

from __future__ import annotations

from aiogram.types import InlineKeyboardMarkup

from handlers.draft import Draft
from keyboards.options import Shown, options_buttons, sizes_px
from locales.catalogue import Say
from ml_models.registry import Kind
from ml_models.shares import example, format_shares
from processing import wording
from processing.instant_draft import drafting


def panel(say: Say, draft: Draft) -> tuple[str, InlineKeyboardMarkup]:
    """Return the text and the buttons of the options message."""
    return panel_text(say, draft), panel_buttons(say, draft)


def panel_text(say: Say, draft: Draft) -> str:
    options = draft.options
    shares = draft.shares
    percent = round(100 * options.strength)
    lines = [say("options.text", title=draft.mode.title, size_px=options.size_px, percent=percent)]
    if draft.mode.max_styles:
        lines.append(say("options.strokes", strokes=wording.strokes(say, options.stroke_scale)))
    lines.append(say("options.colours", colours=say("colours.photo" if options.keep_colours else "colours.style")))
    if drafting(draft.algorithm):
        lines.append(say("options.draft_first" if options.draft_first else "options.no_draft"))
    if options.seed and _varies(draft):
        lines.append(say("options.variant", seed=options.seed))
    if len(draft.styles) > 1:
        lines.append(say("options.shares", styles=len(draft.styles), shares=format_shares(shares.weights)))
    elif draft.styles:
        lines.append(say("options.one_style"))
    if len(draft.styles) > 2 and not shares.problem:
        lines.append(say("options.raise_share", example=example(len(draft.styles))))
    if shares.problem:
        lines += ["", "⚠ " + say(shares.problem.key, **shares.problem.details)]
    key, details = next_step(draft)
    return "\n".join([*lines, "", say(key, **details)])


def next_step(draft: Draft) -> tuple[str, dict[str, object]]:
    """Return the key and the details of the sentence that says what is awaited."""
    limit = draft.mode.max_styles
    if draft.content is None:
        return "options.send_content", {}
    if draft.awaited is not None:
        return "options.send_style", {"limit": limit}
    if left := limit - len(draft.styles):
        return "options.send_more", {"left": left}
    return "options.paint", {}


def panel_buttons(say: Say, draft: Draft) -> InlineKeyboardMarkup:
    return options_buttons(
        say,
        Shown(
            message_id=draft.last_message_id,
            sizes_px=sizes_px(draft.mode),
            size_px=draft.options.size_px,
            strength=draft.options.strength,
            stroke_scale=draft.options.stroke_scale,
            keep_colours=draft.options.keep_colours,
            draft_first=draft.options.draft_first if drafting(draft.algorithm) else None,
            strokes=bool(draft.mode.max_styles),
            variants=_varies(draft),
            percents=percents(draft.shares.weights),
            complete=draft.awaited is None,
            empty=not draft.pictures,
            swap=swap_text(draft),
        ),
    )


def _varies(draft: Draft) -> bool:
    """Nothing is random in one pass of a network."""
    return draft.mode.kind is Kind.PAINTED


def swap_text(draft: Draft) -> str | None:
    """Return the key of the swap's text, or None where there is nothing to swap."""
    if not draft.swappable:
        return None
    if draft.content and draft.styles:
        return "button.swap"
    return "button.is_style" if draft.content else "button.is_content"


def percents(weights: tuple[float, ...]) -> list[int]:
    return [round(100 * weight / sum(weights)) for weight in weights]
