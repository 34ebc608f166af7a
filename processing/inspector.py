"""Looks at a file from a stranger in another process, which may come to harm."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import structlog

from ml_models.errors import ERRORS, UnreadablePictureError
from processing.children import child_environment

COMMAND = (sys.executable, "-P", "-m", "ml_models.inspection")

log = structlog.get_logger(__name__)


async def inspect_file(data: bytes, max_megapixels: float) -> None:
    """Decode the file once; cancelling this ends the process that does it.

    A process that is killed from outside says nothing about its file: another one looks at it, once.

    Raises:
        PictureError: it cannot be read, or is too large or too small.
    """
    status, answer = await _look(data, max_megapixels)
    if status == -signal.SIGKILL:
        log.warning("an inspection was killed", bytes=len(data))
        status, answer = await _look(data, max_megapixels)
    if status:
        log.warning("a file was too much for its inspection", status=status, bytes=len(data))
        raise UnreadablePictureError("the file is not a picture that can be read within reason: give another one")
    if found := json.loads(answer):
        raise ERRORS[found["code"]](found["message"], **found["details"])


async def _look(data: bytes, max_megapixels: float) -> tuple[int, bytes]:
    """Return how a process ended that looked at the file, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, str(max_megapixels)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(),
        start_new_session=True,  # out of reach of Ctrl-C at the bot's terminal
    )
    try:
        answer, _ = await process.communicate(data)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, answer
