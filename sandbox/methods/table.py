"""How a method of the Bot API is declared: its parameters, then a function of the world and the checked call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sandbox import parameters
from sandbox.parameters import Call, Parameter
from sandbox.state import World

Handler = Callable[[World, Call], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the Bot API."""

    name: str
    parameters: dict[str, Parameter]
    handle: Handler


def api_method(**spec: Parameter) -> Callable[[Handler], Method]:
    """Make a Method of a handler; `send_message` becomes sendMessage."""

    def declare(handler: Handler) -> Method:
        first, *rest = handler.__name__.split("_")
        return Method(first + "".join(word.title() for word in rest), spec, handler)

    return declare


CHAT_ID = Parameter(parameters.chat_id, "chat_id is empty")
MESSAGE_ID = Parameter(parameters.integer, "message identifier is not specified")
TEXT = Parameter(parameters.text)
FLAG = Parameter(parameters.boolean)
INTEGER = Parameter(parameters.integer)
OBJECT = Parameter(parameters.json_object)
ARRAY = Parameter(parameters.json_array)
