"""Without the assets a benchmark says so and is no failure."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "gatys",
        "memory",
        "robust",
        "controls",
        "same_bytes",
        "seams",
        "origin_512",
        "adain",
        "ultrast",
        "cyclegan",
        "capacity",
    ],
)
def test_says_that_it_is_skipped(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [name, "--assets", str(tmp_path)])
    importlib.import_module(f"benchmarks.{name}").main()
    assert capsys.readouterr().out.startswith("skipped: ")
