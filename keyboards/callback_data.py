"""What buttons carry, typed; at most 64 bytes each."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from aiogram.filters.callback_data import CallbackData
from pydantic import Field

#: What a database can hold; an altered client may send any number.
JobId = Annotated[int, Field(ge=0, le=2**63 - 1)]


class MenuItem(StrEnum):
    HELP = "help"
    EXAMPLE = "example"


class Menu(CallbackData, prefix="menu"):
    """A button of the greeting."""

    item: MenuItem


class ModeChosen(CallbackData, prefix="mode"):
    """An algorithm, by its key in the registry."""

    algorithm: str


class DraftStep(StrEnum):
    SWAP = "swap"
    CANCEL = "cancel"


class DraftButton(CallbackData, prefix="draft"):
    """A button of what is being gathered.

    Attributes:
        message_id: the message of the last picture gathered, 0 with none; a button of an earlier draft is told by it.
    """

    step: DraftStep
    message_id: int


class Option(StrEnum):
    SIZE = "size"
    STRENGTH = "strength"
    STROKES = "strokes"
    COLOURS = "colours"
    DRAFT = "draft"


class OptionButton(CallbackData, prefix="option"):
    """A value for an option; it names what comes out, so that a second press changes nothing.

    Attributes:
        value: pixels, percent of the strength, percent of the strokes' own size, or 1 for the photo's colours and for a
            draft first.
        message_id: as with DraftButton.
    """

    option: Option
    value: int
    message_id: int


class ShareButton(CallbackData, prefix="share"):
    """One style's share in percent; the others keep their proportions within the rest.

    Attributes:
        style: from 0, in the order in which they came.
        message_id: as with DraftButton.
    """

    style: int
    percent: int
    message_id: int


class PanelStep(StrEnum):
    OPEN = "open"
    EQUAL = "equal"
    VARIANT = "variant"
    RESET = "reset"
    CLOSE = "close"
    PAINT = "paint"


class PanelButton(CallbackData, prefix="panel"):
    """Another button of the options message, or the one that opens it; message_id as with DraftButton."""

    step: PanelStep
    message_id: int


class ForgetStep(StrEnum):
    DELETE = "delete"
    KEEP = "keep"


class ForgetButton(CallbackData, prefix="forget"):
    """Whether all data of the person who presses is deleted."""

    step: ForgetStep


class JobStep(StrEnum):
    CANCEL = "cancel"
    KEEP = "keep"
    SWAP = "swap"
    FILE = "file"
    STYLE = "style"
    AGAIN = "again"
    OPTIONS = "options"
    PAINT = "paint"
    STRENGTHS = "strengths"


class StrengthButton(CallbackData, prefix="strength"):
    """An instant result once more, with that strength in percent."""

    percent: int
    job_id: JobId


class JobButton(CallbackData, prefix="job"):
    """A button under a job's status or result."""

    step: JobStep
    job_id: JobId
