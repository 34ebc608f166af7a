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
from typing import Any, NoReturn

HEADER = struct.Struct("!Q")
LONGEST_MESSAGE = 2**30

Message = dict[str, Any]


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
