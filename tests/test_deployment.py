"""What operators copy: the image's files, the compose file, the unit, the alerts and the page that tells of them."""

from __future__ import annotations

import asyncio
import configparser
import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import Settings, load_settings
from ml_models.errors import ERRORS
from reporting.metrics import Metrics
from reporting.private_server import PrivateServer
from service import DRAIN_TIMEOUT_S

ROOT = Path(__file__).parents[1]
NAMES = {field.name.upper() for field in fields(Settings)}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS = ("bot", "worker")
PAGE = (ROOT / "docs" / "operations.md").read_text()


def metric_names() -> set[str]:
    families = Metrics().registry.collect()
    return {each.name + "_total" * (each.type == "counter") for each in families if each.name.startswith("bot_")}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with just what .dockerignore lets into the image."""
    folder = tmp_path_factory.mktemp("image")
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and line[0] != "#"]
    assert patterns[0] == "*"
    left_out = [pattern.removeprefix("**/") for pattern in patterns if pattern.startswith("**/")]
    for pattern in patterns:
        if pattern.startswith("!"):
            given = ROOT / pattern[1:]
            if given.is_dir():
                shutil.copytree(given, folder / given.name, ignore=shutil.ignore_patterns(*left_out))
            else:
                shutil.copy(given, folder)
    return folder


def test_the_image_has_all_that_the_bot_imports(image: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); import main, service, sandbox.server, processing.worker;"
        "from ml_models.registry import ALGORITHMS; [each.load() for each in ALGORITHMS.values()]"
    )
    subprocess.run([sys.executable, "-P", "-c", code], cwd=image, check=True)
    # Its dependencies are those of the requirements.
    assert (image / "requirements.txt").is_file()


def test_the_image_holds_no_secret_no_data_and_no_test(image: Path) -> None:
    found = {path.name for path in image.rglob("*")}
    assert not [
        name for name in found if fnmatch(name, "*.env*") or fnmatch(name, "*.sqlite3*") or name == "__pycache__"
    ]
    assert not {"data", "tests", "benchmarks", ".git", ".venv"} & {path.name for path in image.iterdir()}


def test_the_image_is_pinned_and_belongs_to_no_root() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)
    last_stage = DOCKERFILE.rpartition("FROM ")[2]
    assert re.findall(r"^USER (\S+)", last_stage, re.MULTILINE) == ["10001:10001"]
    given = dict(pair.split("=", 1) for pair in re.search(r"^ENV (PATH.*)$", last_stage, re.MULTILINE)[1].split())
    settings = {name: value for name, value in given.items() if name not in ("PATH", "PYTHONUNBUFFERED")}
    assert set(settings) <= NAMES
    assert load_settings(settings, None).data_dir == Path("/data")


async def test_the_health_check_is_one_of_the_private_port() -> None:
    command = json.loads(re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])
    assert command[0] == "python"
    server = PrivateServer(Metrics())
    await server.start("127.0.0.1", 0)
    environment = {"METRICS_PORT": str(server.url).rpartition(":")[2]}

    async def check() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command[1:], env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        return await process.wait()

    try:
        assert await check() == 0
    finally:
        await server.close()
    assert await check() == 1


@pytest.mark.parametrize("name", OURS)
def test_what_compose_sets_are_settings_with_allowed_values(name: str) -> None:
    environment = COMPOSE["services"][name]["environment"]
    given = {key: re.sub(r"\$\{POSTGRES_PASSWORD:[^}]*\}", "password", value) for key, value in environment.items()}
    assert set(given) <= NAMES
    settings = load_settings(given, None)
    assert (settings.metrics_port, settings.is_shared) == (9090, True)


@pytest.mark.parametrize("name", OURS)
def test_compose_waits_for_running_jobs_and_gives_no_rights(name: str) -> None:
    service = COMPOSE["services"][name]
    assert int(service["stop_grace_period"].removesuffix("s")) >= Settings().shutdown_grace_s + DRAIN_TIMEOUT_S + 20
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    # What workers inherit holds no password of the database.
    assert service["env_file"] == "bot.env"
    assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "healthcheck" in COMPOSE["services"]["postgres"]


def test_compose_shows_nothing_to_the_network_and_holds_no_password() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+", COMPOSE["services"]["postgres"]["image"])
    password = COMPOSE["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert password.startswith("${POSTGRES_PASSWORD:?")
    volumes = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", [])]
    assert {volume.partition(":")[0] for volume in volumes} == set(COMPOSE["volumes"])


def test_the_unit_sets_settings_and_waits_for_running_jobs() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "deploy" / "photo-to-painting.service")
    service = unit["Service"]
    given = dict(pair.split("=", 1) for pair in service["Environment"].split())
    assert set(given) <= NAMES
    assert load_settings(given, None).metrics_port == 9090
    assert int(service["TimeoutStopSec"]) >= Settings().shutdown_grace_s + DRAIN_TIMEOUT_S + 20
    assert service["KillMode"] == "mixed"


def test_the_page_explains_every_metric_and_no_other() -> None:
    assert set(re.findall(r"^\| `(bot_\w+)", PAGE, re.MULTILINE)) == metric_names()


def test_the_page_explains_every_alert_and_no_other() -> None:
    told = re.findall(r"^\| `([A-Z]\w+)` \|", PAGE.partition("| alert |")[2], re.MULTILINE)
    assert told == [rule["alert"] for rule in rules()]


def test_the_alerts_look_at_metrics_and_codes_that_there_are() -> None:
    expressions = " ".join(rule["expr"] for rule in rules())
    assert {name.removesuffix("_bucket") for name in re.findall(r"bot_\w+", expressions)} <= metric_names()
    codes = re.search(r'code=~"([^"]+)"', expressions)
    assert codes
    assert set(codes[1].split("|")) <= set(ERRORS)


def test_the_files_that_the_page_names_are_there() -> None:
    links = re.findall(r"\]\(\.\./([^)#]+)", PAGE)
    assert len(links) >= 6
    assert all((ROOT / link).is_file() for link in links)
