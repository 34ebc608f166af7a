"""Keeps the places in the queue true: a waiting job's status message follows the line as it moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from processing.estimate import Estimator
from processing.job import Ticket
from processing.status_message import StatusMessages
from processing.store import Store

LOOK_EVERY_S = 5.0
#: Edits in one look: the Bot API takes about 30 messages a second in all, and answers go first.
EDITS_A_LOOK = 10

log = structlog.get_logger(__name__)


class PlacesInLine:
    """Looks at the line now and then and edits what has changed.

    Args:
        is_ours: whether this process is the one that does it.
    """

    def __init__(
        self,
        store: Store,
        status_messages: StatusMessages,
        estimator: Estimator,
        *,
        is_ours: Callable[[], bool] = lambda: True,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._store = store
        self._status_messages = status_messages
        self._estimator = estimator
        self._is_ours = is_ours
        self._look_every_s = look_every_s
        self._shown: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="places in line")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_s)
            try:
                if self._is_ours():
                    await self._look()
            except Exception:
                log.exception("the places in the queue could not be shown")

    async def _look(self) -> None:
        places = await self._estimator.places(await self._store.line())
        waiting = {job_id: place for job_id, place in places.items() if place.position}
        # What a job was told when it was accepted is its place when it is first seen here.
        self._shown = {job_id: self._shown.get(job_id, place.position) for job_id, place in waiting.items()}
        moved = [(job_id, place) for job_id, place in waiting.items() if place.position != self._shown[job_id]]
        for job_id, place in moved[:EDITS_A_LOOK]:
            job = await self._store.get(job_id)
            self._status_messages.show_place(Ticket(job, place.position, place.seconds, place.follows))
            self._shown[job_id] = place.position
