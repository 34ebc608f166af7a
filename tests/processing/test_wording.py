"""A job in words: what a failure and a stopped run say, in both languages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from locales.catalogue import Catalogue
from processing import wording
from processing.job import Failure, Job, Outcome, Status
from tests.processing.conftest import NewJobs

LANGUAGES = ("en", "ru")


def failed(language: str, **details: object) -> str:
    return wording.failed(partial(Catalogue().say, language), Failure("not_enough_memory", details))


@pytest.mark.parametrize("language", LANGUAGES)
def test_too_little_memory_is_told_with_the_size_that_would_fit(language: str) -> None:
    known = failed(language, needed_mb=5000, limit_mb=3072, size_px=2048, largest_px=1400)
    assert all(number in known for number in ("2048", "3072", "1400"))
    unknown = failed(language, limit_mb=3072, size_px=2048)
    assert all(number in unknown for number in ("2048", "3072"))
    assert unknown != known
    assert unknown == failed(language, limit_mb=3072, size_px=2048, largest_px=None)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_failure_of_another_version_still_gets_a_sentence(language: str) -> None:
    say = partial(Catalogue().say, language)
    assert failed(language, limit_mb=3072) == say("errors.failed")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_stopped_run_says_where_it_was(language: str, new_job: NewJobs) -> None:
    new, now = new_job(), datetime.now(UTC)
    whole = Job(1, new.origin, 1, 1, language, new.order, Status.PAINTED, now, outcome=Outcome(512, 341, 9.0, "slim"))
    say = partial(Catalogue().say, language)
    assert "%" not in wording.done(say, whole)
    for share, percent in ((0.0, "0 %"), (0.629, "62 %")):
        stopped = replace(whole, outcome=Outcome(512, 341, 9.0, "slim", stopped_at=share))
        assert percent in wording.done(say, stopped)
