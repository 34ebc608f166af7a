"""What the bot says: gettext catalogues, read from the .po files as they are."""

from __future__ import annotations

import gettext
import html
import io
from pathlib import Path
from typing import Protocol

from aiogram.utils.i18n import I18n
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

DEFAULT_LANGUAGE = "en"
DOMAIN = "bot"


class Say(Protocol):
    """Says a text in the language of the person who is being answered."""

    def __call__(self, key: str, /, **details: object) -> str: ...


class Catalogue(I18n):
    """aiogram's I18n over keys; it compiles the .po files when it is made, so that no build step can be forgotten."""

    def __init__(self, path: Path = Path(__file__).parent) -> None:
        super().__init__(path=path, default_locale=DEFAULT_LANGUAGE, domain=DOMAIN)

    def find_locales(self) -> dict[str, gettext.GNUTranslations]:
        """Return {language: texts} of all folders with a catalogue."""
        found = {}
        for file in sorted(self.path.glob(f"*/LC_MESSAGES/{self.domain}.po")):
            with file.open("rb") as source:
                messages = read_po(source)
            compiled = io.BytesIO()
            write_mo(compiled, messages)
            compiled.seek(0)
            found[file.parts[-3]] = gettext.GNUTranslations(compiled)
        return found

    def language_of(self, language_code: str | None) -> str:
        """Return the catalogue for a Telegram user's language_code ("ru", "pt-br", None)."""
        language = (language_code or "").split("-")[0].lower()
        return language if language in self.locales else DEFAULT_LANGUAGE

    def say(self, language: str, key: str, /, **details: object) -> str:
        """Return the text of the key with its blanks filled; details are escaped for HTML.

        Raises KeyError for a key that the language lacks, or a blank without a detail.
        """
        text = self.gettext(key, locale=self.language_of(language))
        if text == key:
            raise KeyError(f"no text {key!r} in {language!r}")
        return text.format(**{name: _escape(value) for name, value in details.items()})


class Markup(str):
    """A detail that is HTML already."""

    __slots__ = ()


def _escape(value: object) -> object:
    return html.escape(value, quote=False) if isinstance(value, str) and not isinstance(value, Markup) else value


def duration(say: Say, seconds: float) -> str:
    """Return a time as a person says it: "40 s", "3 min", "2 h"; rounded up to what can be promised."""
    if seconds < 10:
        return say("time.seconds", n=max(1, round(seconds)))
    if seconds < 90:
        return say("time.seconds", n=5 * round(seconds / 5))
    if seconds < 5400:
        return say("time.minutes", n=round(seconds / 60))
    return say("time.hours", n=round(seconds / 3600))
