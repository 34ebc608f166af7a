"""The methods of the Bot API that the sandbox knows."""

from __future__ import annotations

from sandbox.methods import about, editing, receiving, sending
from sandbox.methods.table import Method
from sandbox.push import WebhookPusher


def all_methods(pusher: WebhookPusher) -> dict[str, Method]:
    """Return the methods by lower-case name: the real server does not look at the case either."""
    known = (*about.METHODS, *sending.METHODS, *editing.METHODS, *receiving.methods(pusher))
    return {method.name.lower(): method for method in known}
