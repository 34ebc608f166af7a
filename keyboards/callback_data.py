"""What buttons carry, typed; at most 64 bytes each."""

from __future__ import annotations

from enum import StrEnum

from aiogram.filters.callback_data import CallbackData


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


class JobStep(StrEnum):
    CANCEL = "cancel"
    SWAP = "swap"
    FILE = "file"
    STYLE = "style"
    AGAIN = "again"


class JobButton(CallbackData, prefix="job"):
    """A button under a job's status or result."""

    step: JobStep
    job_id: int
