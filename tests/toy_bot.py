"""`python -m tests.toy_bot`: the command `serve`, or the one given, with the toy as a mode, for tests that kill it."""

import os
import sys

from ml_models.registry import ALGORITHMS
from processing.queue import shared
from tests.toy_algorithm import TOY

#: Names the seconds of silence after which a process is thought dead, where a test cannot wait for the usual ones.
STALLED_AFTER_S = "TOY_STALLED_AFTER_S"

if __name__ == "__main__":
    from main import app

    ALGORITHMS[TOY.key] = TOY
    if seconds := os.environ.get(STALLED_AFTER_S):
        shared.STALLED_AFTER_S = float(seconds)
    app(sys.argv[1:] or ["serve"])
