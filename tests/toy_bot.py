"""`python -m tests.toy_bot`: the command `serve` with the toy as a mode, for tests that kill the bot's process."""

from ml_models.registry import ALGORITHMS
from tests.toy_algorithm import TOY

ALGORITHMS[TOY.key] = TOY

if __name__ == "__main__":
    from main import app

    app(["serve"])
