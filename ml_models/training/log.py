"""The log of a training: a line of JSON for each row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def append_row(path: Path, row: Mapping[str, object]) -> None:
    """Add a row to the log."""
    with path.open("a") as log:
        log.write(json.dumps(row) + "\n")
