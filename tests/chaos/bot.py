"""`python -m tests.chaos.bot COMMAND`: the program with the toy painters alone, and with less patience.

Telegram's answers are waited for ten seconds and not a minute, progress is shown every few tenths of a second, and a
process is thought dead within seconds, so that a fault is soon over.
"""

from __future__ import annotations

import sys
from functools import partial
from unittest.mock import patch

from aiogram.client.session.aiohttp import AiohttpSession

from ml_models.registry import ALGORITHMS
from processing.status_message import StatusMessages
from tests.chaos.toy import PAINTER, SKETCH

ANSWER_TIMEOUT_S = 10.0
DOWNLOAD_TIMEOUT_S = 15.0
SECONDS_BETWEEN_EDITS = 0.3
SECONDS_TO_READ = 0.1
#: Of silence, after which others go on with a process's jobs.
STALLED_AFTER_S = 6.0


def main() -> None:
    from main import app

    hasty = partial(StatusMessages, seconds_between_edits=SECONDS_BETWEEN_EDITS, seconds_to_read=SECONDS_TO_READ)
    with (
        patch.dict(ALGORITHMS, {each.key: each for each in (PAINTER, SKETCH)}, clear=True),
        patch("bot_init.AiohttpSession", partial(AiohttpSession, timeout=ANSWER_TIMEOUT_S)),
        patch("processing.download.FETCH_TIMEOUT_S", DOWNLOAD_TIMEOUT_S),
        patch("service.StatusMessages", hasty),
        patch("processing.queue.shared.STALLED_AFTER_S", STALLED_AFTER_S),
    ):
        app(sys.argv[1:])


if __name__ == "__main__":
    main()
