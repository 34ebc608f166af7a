"""What the admin alone may ask."""

from __future__ import annotations

from aiogram import F, Router

from handlers.admin import status


def create_admin_router(admin_id: int | None) -> Router:
    """Return the admin's routers; without an admin nobody gets in."""
    router = Router(name="admin")
    router.message.filter(F.chat.type == "private", F.from_user.id == (admin_id if admin_id is not None else -1))
    router.include_router(status.create_router())
    return router
