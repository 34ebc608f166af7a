"""Everything that is kept of a user, deleted at the user's own wish."""

from __future__ import annotations

import structlog

from processing.folders import Results
from processing.queue.base import JobQueue
from processing.status_message import StatusMessages
from processing.store import Store

log = structlog.get_logger(__name__)


async def forget_user(
    user_id: int,
    dialogue: str,
    *,
    queue: JobQueue,
    store: Store,
    results: Results,
    status_messages: StatusMessages,
) -> None:
    """Cancel the user's jobs, then delete their pictures, the jobs and the dialogue.

    The rows go last: they say what else there is, so that after a crash the same wish deletes what was left. A picture
    that is just being sent may still arrive. The caller holds the dialogue's lock.

    Args:
        dialogue: key of the dialogue in the store.
    """
    for job in await queue.active_jobs(user_id):
        await queue.cancel(job.id, user_id)
        await status_messages.show_cancelled(job)
    job_ids = await store.job_ids(user_id)
    await results.delete(job_ids)
    await store.forget(user_id, dialogue)
    log.info("a user's data is deleted", jobs=len(job_ids))
