"""Documents as tests: .env.example, the README's table and the settings name the same variables."""

import re
from dataclasses import fields
from pathlib import Path

from config import Settings
from ml_models.registry import ALGORITHMS

ROOT = Path(__file__).parents[1]
NAMES = [field.name.upper() for field in fields(Settings)]


def test_the_example_file_names_every_setting_and_no_other() -> None:
    text = (ROOT / ".env.example").read_text()
    assert re.findall(r"^#? ?([A-Z_]+)=", text, re.MULTILINE) == NAMES


def test_the_readme_explains_every_setting_and_no_other() -> None:
    table = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [name for name, _ in table] == NAMES
    for field, (_, about) in zip(fields(Settings), table, strict=True):
        assert about == field.metadata["about"]


def test_the_defaults_of_the_example_file_are_those_of_the_settings() -> None:
    given = dict(re.findall(r"^# ([A-Z_]+)=(.+)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    defaults = {name: str(getattr(Settings(), name.lower())) for name in given}
    assert given == defaults


def test_the_readme_lists_every_algorithm_and_its_pictures_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    for algorithm in ALGORITHMS.values():
        assert f"`{algorithm.key}`" in readme
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme)
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)


def test_requirements_are_pinned() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
        assert all("==" in line or line.startswith("-r ") for line in lines)
