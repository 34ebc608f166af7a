"""/status: jobs by state, free workers, time since the start."""

from __future__ import annotations

import time

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import Message

from locales.catalogue import Say, duration
from processing.pool import Pool
from processing.queue.base import JobQueue


async def status(message: Message, say: Say, queue: JobQueue, pool: Pool, started_at: float) -> None:
    counts = {str(state): count for state, count in (await queue.counts()).items()}
    uptime = duration(say, time.monotonic() - started_at)
    await message.answer(say("admin.status", **counts, free=pool.free, slots=pool.slots, uptime=uptime))


def create_router() -> Router:
    router = Router(name="status")
    router.message.register(status, Command("status"))
    return router
