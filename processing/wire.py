"""The messages between the bot and a worker: a length, then a pickle.

What a worker sends is read without a single class: a picture that takes over a worker gains nothing in the bot, and
torch cannot slip into the bot's process inside a message.
"""

from __future__ import annotations

import asyncio
import io
import pickle
import socket
import struct
from dataclasses import dataclass
from typing import Any, NoReturn

from ml_models.contract import StyleTransferRequest
from ml_models.registry import Algorithm

HEADER = struct.Struct("!Q")
LONGEST_MESSAGE = 2**30

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Paint:
    """The bot asks for a picture.

    Attributes:
        run: its number, higher than those of the worker's earlier runs.
        start: the instant algorithm whose result the run starts from, or None.
        memory_mb: what the worker may hold, in megabytes.
    """

    run: int
    algorithm: Algorithm
    start: Algorithm | None
    request: StyleTransferRequest
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The bot asks for the picture so far; where that run has ended it means nothing."""

    run: int


class WireError(Exception):
    """What came is no message."""


def pack(message: object) -> bytes:
    body = pickle.dumps(message, protocol=5)
    return HEADER.pack(len(body)) + body


def receive(connection: socket.socket) -> Any:
    """Return the next message of the bot, or None at the end; blocks."""
    header = _exactly(connection, HEADER.size)
    if header is None:
        return None
    body = _exactly(connection, HEADER.unpack(header)[0])
    return None if body is None else pickle.loads(body)  # noqa: S301 - from the bot itself


async def read_plain(reader: asyncio.StreamReader) -> Message:
    """Return the next message of a worker; raise IncompleteReadError at the end and WireError for anything else."""
    (length,) = HEADER.unpack(await reader.readexactly(HEADER.size))
    if length > LONGEST_MESSAGE:
        raise WireError(f"a message of {length} bytes")
    body = await reader.readexactly(length)
    try:
        message = _PlainUnpickler(io.BytesIO(body)).load()
    except Exception as error:
        raise WireError(f"a message that cannot be read: {error}") from error
    if not isinstance(message, dict):
        raise WireError(f"a message that is a {type(message).__name__}")
    return message


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise WireError(f"a message that holds a {module_name}.{global_name}")


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    body = bytearray(count)
    view = memoryview(body)
    while view:
        got = connection.recv_into(view)
        if got == 0:
            return None
        view = view[got:]
    return bytes(body)
