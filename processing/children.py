"""What the processes that read strangers' pictures are started with."""

from __future__ import annotations

import os
import sys

#: They need none of these.
KEPT_FROM_CHILDREN = ("BOT_TOKEN", "WEBHOOK_SECRET", "DATABASE_URL")


def child_environment() -> dict[str, str]:
    """Return this process's environment without secrets, and with its places of modules."""
    environment = {name: value for name, value in os.environ.items() if name not in KEPT_FROM_CHILDREN}
    return environment | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
