"""The dialogue with a user, one Router per subject; the order matters: what is particular comes first."""

from __future__ import annotations

from aiogram import F, Router

from handlers.user import commands, drafts, forget, jobs, menu, options, others, pictures, results


def create_user_router() -> Router:
    """Return the routers of the private chat, new ones at each call."""
    router = Router(name="user")
    router.message.filter(F.chat.type == "private", F.from_user)
    for module in (commands, forget, menu, drafts, options, jobs, results, pictures, others):
        router.include_router(module.create_router())
    return router
