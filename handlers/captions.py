"""Shares of the styles in the captions of pictures: "70/30" for all of them, "70 %" for the one it stands under."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ml_models.errors import InvalidRequestError
from ml_models.shares import example, parse_shares

LONGEST = 60
_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
_NUMBERS = re.compile(_NUMBER)
_SHARES = re.compile(rf"{_NUMBER}\s*%?(?:[\s/:;,|]+{_NUMBER}\s*%?)*")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the shares do not fit: the key of a sentence and its details."""

    key: str
    details: dict[str, object]


@dataclass(frozen=True, slots=True)
class Shares:
    """What the styles count beside one another.

    Attributes:
        weights: one a style, greater than 0; all equal where there is a problem.
        problem: what has to be said of the captions, or None.
    """

    weights: tuple[float, ...] = field(default=())
    problem: Problem | None = None


def shares_text(text: str | None) -> str:
    """Return the text where it can mean nothing but shares, "" otherwise: a lone number above 100 may be a year."""
    text = (text or "").strip()
    if len(text) > LONGEST or not _SHARES.fullmatch(text):
        return ""
    lone_number = len(_NUMBERS.findall(text)) == 1 and "%" not in text
    return "" if lone_number and float(text) > 100 else text


def shares_of(content: str, styles: Sequence[str], limit: int) -> Shares:
    """Return the shares that the captions of photo and styles give.

    The last caption with several numbers is for all styles, whichever picture it stands under: an album has one. Else
    each number is the percentage of its own style, and the styles without one have equal parts of the rest.

    Args:
        limit: styles that the mode takes.
    """
    equal = (1.0,) * len(styles)
    for text in (*reversed(styles), content):
        if len(_NUMBERS.findall(text)) > 1:
            return shares_for_all(text, len(styles), limit)
    # An album's caption stands under its first picture, which is the photo.
    own = [content, *styles[1:]] if content and len(styles) > 1 and not styles[0] else list(styles)
    percents = {index: float(_NUMBERS.findall(text)[0]) for index, text in enumerate(own) if text}
    if not percents:
        return Shares(equal)
    if bad := next((own[index] for index, percent in percents.items() if not 0 < percent <= 100), None):
        return Shares(equal, Problem("shares.range", {"text": bad}))
    if len(styles) == 1:
        alone = percents[0] == 100
        return Shares(equal, None if alone else Problem("shares.rest", {"text": own[0], "limit": limit}))
    without = len(styles) - len(percents)
    rest = 100 - sum(percents.values())
    if without and rest <= 0:
        return Shares(equal, Problem("shares.nothing_left", {"text": " + ".join(filter(None, own))}))
    return Shares(tuple(percents.get(index, rest / max(1, without)) for index in range(len(styles))))


def shares_for_all(text: str, styles: int, limit: int) -> Shares:
    """Return the shares of so many styles from one text such as "70/30"."""
    equal = (1.0,) * styles
    given = len(_NUMBERS.findall(text))
    details: dict[str, object] = {"text": text, "given": given, "styles": styles, "limit": limit}
    if given > limit:
        return Shares(equal, Problem("shares.too_many", details))
    try:
        weights = parse_shares(text, given)
    except InvalidRequestError:
        return Shares(equal, Problem("shares.zero", details))
    if given == styles:
        return Shares(weights)
    key = "shares.styles_missing" if given > styles else "shares.too_few"
    return Shares(equal, Problem(key, details | {"example": example(styles)}))
