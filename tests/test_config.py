"""The settings object: defaults, sources and the sentences that a bad value gets."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from config import Settings, SettingsError, load_settings
from ml_models.contract import DEVICES

TOKEN = "123456:" + "A" * 35


def test_defaults_need_nothing() -> None:
    settings = load_settings({}, None)
    assert settings == Settings()
    assert settings.database == "sqlite:///data/bot.sqlite3"
    assert settings.file_limit_mb == 20


def test_environment_goes_before_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"BOT_TOKEN={TOKEN}\nPORT=9000\nHOST=0.0.0.0\n")
    settings = load_settings({"PORT": "9001", "HOST": ""}, file)
    assert (settings.bot_token, settings.port) == (TOKEN, 9001)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("POOL_SIZE", "0"),
        ("ADMIN_ID", "@me"),
        ("LOG_FORMAT", "xml"),
        ("DEVICE", "gpu"),
        ("WEBHOOK_URL", "example.org"),
        ("WEBHOOK_PATH", "hook"),
        ("DATABASE_URL", "mysql://x"),
        ("DATABASE_URL", "bot.sqlite3"),
        ("DATABASE_URL", "postgresql://host"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value}, None)
    assert str(caught.value).startswith(f"{name}={value!r} is not allowed: give ")


@pytest.mark.parametrize(("name", "value"), [("BOT_TOKEN", "secret-text"), ("WEBHOOK_SECRET", "пароль")])
def test_a_bad_secret_is_named_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value}, None)
    assert name in str(caught.value)
    assert value not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_database_of_many_machines_needs_no_slot_here(scheme: str) -> None:
    settings = load_settings({"DATABASE_URL": f"{scheme}://bot:pass@db:5433/paint", "POOL_SIZE": "0"}, None)
    assert settings.is_shared
    assert settings.database == "postgresql+psycopg://bot:pass@db:5433/paint"
    assert settings.pool_size == 0
    assert "pass" not in repr(settings)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"DATABASE_URL": "mysql://bot:hard@to@guess@db/paint"}, None)
    assert "mysql://***@db/paint" in str(caught.value)
    assert "hard" not in str(caught.value)


def test_secrets_are_not_in_the_representation() -> None:
    settings = load_settings({"BOT_TOKEN": TOKEN, "WEBHOOK_SECRET": "s" * 20}, None)
    assert TOKEN not in repr(settings)
    assert "s" * 20 not in repr(settings)


def test_the_derived_secret_is_stable_and_depends_on_the_token() -> None:
    first, again = (load_settings({"BOT_TOKEN": TOKEN}, None) for _ in range(2))
    other = load_settings({"BOT_TOKEN": TOKEN + "B"}, None)
    assert first.secret == again.secret != other.secret
    assert TOKEN not in first.secret


def test_a_server_of_its_own_raises_the_download_limit() -> None:
    assert load_settings({"TELEGRAM_API_URL": "http://127.0.0.1:8081/"}, None).file_limit_mb == 200


@pytest.mark.parametrize("device", DEVICES)
def test_every_device_of_the_contract_can_be_set(device: str) -> None:
    assert load_settings({"DEVICE": device.upper()}, None).device == device


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]
