"""Methods by which the bot gets its updates: a webhook or long polling, never both."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from sandbox.errors import ApiError, bad_request
from sandbox.methods.table import FLAG, INTEGER, TEXT, Method, api_method
from sandbox.parameters import Call, Parameter, json_array
from sandbox.push import Webhook, WebhookPusher
from sandbox.state import World
from sandbox.updates import UPDATE_TYPES

MAX_POLL_S = 50
MAX_POLL_UPDATES = 100
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def update_types(name: str, value: Any) -> list[str]:
    """Unknown kinds are refused; the real server ignores them."""
    kinds = json_array(name, value)
    if unknown := [kind for kind in kinds if kind not in UPDATE_TYPES]:
        raise bad_request(f"unknown update type {unknown[0]!r} in allowed_updates")
    return kinds


def methods(pusher: WebhookPusher) -> tuple[Method, ...]:
    """Return the methods that work on this pusher."""
    types = Parameter(update_types)

    @api_method(offset=INTEGER, limit=INTEGER, timeout=INTEGER, allowed_updates=types)
    async def get_updates(world: World, call: Call) -> object:
        if pusher.webhook is not None:
            raise ApiError(
                409,
                "Conflict: can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first",
            )
        if "allowed_updates" in call.parameters:
            world.updates.allow(call.parameters["allowed_updates"])
        limit = min(max(call.get("limit") or MAX_POLL_UPDATES, 1), MAX_POLL_UPDATES)
        timeout_s = min(max(call.get("timeout") or 0, 0), MAX_POLL_S)
        return await world.updates.poll(call.get("offset") or 0, limit, timeout_s)

    @api_method(
        url=TEXT,
        max_connections=INTEGER,
        allowed_updates=types,
        drop_pending_updates=FLAG,
        secret_token=TEXT,
    )
    async def set_webhook(world: World, call: Call) -> object:
        """Loopback only, plain http too; the real server wants public https on port 443, 80, 88 or 8443."""
        url = call.get("url") or ""
        secret, connections = call.get("secret_token"), call.parameters.get("max_connections", 40)
        if url and not is_loopback(url):
            raise bad_request("bad webhook: the sandbox pushes only to http(s)://127.0.0.1, localhost or [::1]")
        if secret is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret):
            raise bad_request("secret token contains unallowed characters")
        if not 1 <= connections <= 100:
            raise bad_request("max_connections must be from 1 to 100")
        if "allowed_updates" in call.parameters:
            world.updates.allow(call.parameters["allowed_updates"])
        if call.get("drop_pending_updates"):
            world.updates.drop_all()
        await pusher.set(Webhook(url, secret, connections) if url else None)
        return True

    @api_method(drop_pending_updates=FLAG)
    async def delete_webhook(world: World, call: Call) -> object:
        if call.get("drop_pending_updates"):
            world.updates.drop_all()
        await pusher.set(None)
        return True

    @api_method()
    async def get_webhook_info(world: World, call: Call) -> object:
        info: dict[str, Any] = {
            "url": "",
            "has_custom_certificate": False,
            "pending_update_count": len(world.updates),
        }
        if pusher.webhook is not None:
            info |= {
                "url": pusher.webhook.url,
                "max_connections": pusher.webhook.max_connections,
                "ip_address": "127.0.0.1",
            }
        if pusher.last_error is not None:
            info["last_error_date"], info["last_error_message"] = pusher.last_error
        if world.updates.restricted:
            info["allowed_updates"] = sorted(world.updates.allowed)
        return info

    return get_updates, set_webhook, delete_webhook, get_webhook_info


def is_loopback(url: str) -> bool:
    """Whether an address of http or https names this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and parts.hostname in LOOPBACK and (parts.port or 1) > 0
    except ValueError:
        return False
