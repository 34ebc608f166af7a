"""Shares of several styles as people write them: "70/30", in the chat and on the command line alike."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ml_models.errors import InvalidRequestError

_EXAMPLES = {2: "70/30", 3: "50/30/20", 4: "40/30/20/10"}
_SEPARATORS = re.compile(r"[\s/:;,|]+")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def parse_shares(text: str, count: int) -> tuple[float, ...]:
    """Read the shares of `count` styles, in their order; they need not add up to 1 or to 100.

    Numbers above 0, with or without percent signs, between them one of / : ; , | or a space.

    Raises:
        InvalidRequestError: another number of shares, or one that is no such number.
    """
    parts = [part for part in _SEPARATORS.split(text.replace("%", " ")) if part]
    shares = tuple(_share(part) for part in parts)
    if len(shares) != count:
        raise InvalidRequestError(
            f"{len(shares)} {_plural('share', len(shares))} for {count} {_plural('style', count)}: "
            f"give one for each, in their order, such as {example(count)}"
        )
    return shares


def format_shares(weights: Sequence[float]) -> str:
    """Return the shares in percent, "70/30"; rounded, and never 0."""
    total = sum(weights)
    return "/".join(str(max(1, round(100 * weight / total))) for weight in weights)


def example(count: int) -> str:
    """Return shares that so many styles could have."""
    return _EXAMPLES.get(count, "/".join(["1"] * max(1, count)))


def _share(part: str) -> float:
    share = float(part) if _NUMBER.fullmatch(part) else math.nan
    if not share > 0:
        raise InvalidRequestError(f"{part[:20]!r} is no share: give numbers above 0, such as 70/30")
    return share


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
