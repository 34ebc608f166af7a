"""The load benchmark with a dozen people: nothing is lost, and every figure is there."""

from __future__ import annotations

import re

import pytest

from benchmarks import load


def test_a_dozen_people_are_served(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["load", "--quick"])
    load.main()
    told = capsys.readouterr().out
    assert "holds: nothing was lost, and everything was painted" in told
    assert re.search(r"│ ten minutes │ +\d+ │", told)
    assert len(re.findall(r"^│ +\d+ │ +\d+ │ +\d+ │$", told, re.MULTILINE)) == load.SAMPLES + 1
    assert re.search(r"multiple of their mean: [\d.]+, at most 2 asked", told)
