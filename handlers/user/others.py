"""Whatever is neither a picture nor a known command or button: a sentence that says what is awaited."""

from __future__ import annotations

from aiogram import F, Router
from aiogram.enums import ContentType
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from handlers.answers import refuse
from handlers.draft import Draft, Gathering
from locales.catalogue import Say

#: What was met -> the key that names it.
NAMED = {
    ContentType.VIDEO: "met.video",
    ContentType.VIDEO_NOTE: "met.video",
    ContentType.ANIMATION: "met.animation",
    ContentType.STICKER: "met.sticker",
    ContentType.VOICE: "met.voice",
    ContentType.AUDIO: "met.voice",
    ContentType.TEXT: "met.text",
}
UNNAMED = {
    ContentType.CONTACT,
    ContentType.LOCATION,
    ContentType.VENUE,
    ContentType.POLL,
    ContentType.DICE,
    ContentType.STORY,
    ContentType.GAME,
    ContentType.PAID_MEDIA,
}


async def unknown_command(message: Message, say: Say) -> None:
    await message.reply(say("command.unknown"))


async def other_message(message: Message, state: FSMContext, say: Say) -> None:
    met = say(NAMED.get(ContentType(message.content_type), "met.other"))
    draft = Draft.from_data(await state.get_data())
    await message.reply(f"{met} {awaited(say, draft)}")


async def other_button(query: CallbackQuery, say: Say) -> None:
    await refuse(query, say("button.unknown"))


def awaited(say: Say, draft: Draft) -> str:
    """Return the sentence that asks for the picture that is missing, or for the button that begins the painting."""
    if draft.state is Gathering.paint:
        return say("ask.paint")
    what = "what.style" if draft.awaited is Gathering.style else "what.content"
    return say("ask.picture", what=say(what))


def create_router() -> Router:
    router = Router(name="others")
    router.message.register(unknown_command, F.text.startswith("/"))
    router.message.register(other_message, F.content_type.in_({*NAMED, *UNNAMED}))
    router.callback_query.register(other_button)
    return router
