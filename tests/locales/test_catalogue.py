"""Both languages say everything, with the same blanks, and the code asks for nothing else."""

import ast
import re
import string
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from bot_init import COMMANDS
from locales.catalogue import Catalogue, Markup, duration
from ml_models.contract import STROKE_SCALES, Stage
from ml_models.errors import ERRORS
from ml_models.registry import Kind

ROOT = Path(__file__).parents[2]
KEY = re.compile(r"[a-z]+\.[a-z_]+")
CALLS = {"say", "_say"}


def texts(language: str) -> Catalog:
    with (ROOT / "locales" / language / "LC_MESSAGES" / "bot.po").open("rb") as file:
        return read_po(file, abort_invalid=True)


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def keys(language: str) -> dict[str, str]:
    return {str(message.id): str(message.string) for message in texts(language) if message.id}


def strings_in_code() -> Iterator[str]:
    for folder in ("handlers", "keyboards", "processing", "locales", "."):
        for file in (ROOT / folder).glob("*.py" if folder == "." else "**/*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
                elif isinstance(node, ast.JoinedStr):
                    yield "".join(part.value if isinstance(part, ast.Constant) else "*" for part in node.values)


def keys_in_code() -> set[str]:
    built = {
        "errors.*": {f"errors.{code}" for code in ERRORS},
        "stage.*": {f"stage.{stage}" for stage in Stage},
        "kind.*": {f"kind.{kind}" for kind in Kind},
        "command.*": {f"command.{name}" for name in COMMANDS},
        "stroke.*": {f"stroke.{name}" for name in STROKE_SCALES},
    }
    found: set[str] = set()
    areas = {key.split(".")[0] for key in keys("en")}
    for text in strings_in_code():
        if text in built:
            found |= built[text]
        elif KEY.fullmatch(text) and text.split(".")[0] in areas:
            found.add(text)
    return found


def test_both_languages_have_the_same_keys_and_no_empty_text() -> None:
    english, russian = keys("en"), keys("ru")
    assert set(english) == set(russian)
    assert not [key for key, text in (english | russian).items() if not text.strip()]


def test_both_languages_have_the_same_blanks() -> None:
    english, russian = keys("en"), keys("ru")
    assert {key: blanks(text) for key, text in english.items()} == {key: blanks(text) for key, text in russian.items()}


def test_the_code_uses_every_text_and_asks_for_no_other() -> None:
    assert keys_in_code() == set(keys("en"))


def test_russian_is_russian() -> None:
    same = {key for key, text in keys("ru").items() if text == keys("en")[key]}
    # These hold nothing but blanks and symbols.
    assert same == {"button.mode", "job.progress"}


@pytest.mark.parametrize(
    ("code", "language"), [("ru", "ru"), ("ru-RU", "ru"), ("en-GB", "en"), ("de", "en"), (None, "en"), ("", "en")]
)
def test_the_language_follows_the_users_client(code: str | None, language: str) -> None:
    assert Catalogue().language_of(code) == language


def test_details_are_escaped_for_html_unless_they_are_html() -> None:
    catalogue = Catalogue()
    greeting = catalogue.say("en", "start.greeting", name="<b>Ann</b> & Co", what=Markup("<b>x</b>"), modes="")
    assert "&lt;b&gt;Ann&lt;/b&gt; &amp; Co" in greeting
    assert "<b>x</b>" in greeting
    assert catalogue.say("en", "cancel.jobs") == "Stopped."
    assert "<b>x</b>" in catalogue.say("en", "example.caption", name=Markup("<b>x</b>"))


def test_an_unknown_key_or_a_missing_detail_is_an_error() -> None:
    catalogue = Catalogue()
    with pytest.raises(KeyError, match=r"no\.such"):
        catalogue.say("en", "no.such")
    with pytest.raises(KeyError, match="position"):
        catalogue.say("ru", "job.place")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (7.4, "7 s"), (43, "45 s"), (89, "90 s"), (95, "2 min"), (3000, "50 min"), (9000, "2 h")],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(partial(Catalogue().say, "en"), seconds) == text
