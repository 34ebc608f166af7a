"""Shares in captions: what is taken for one, what it gives, and what is said where it does not fit."""

import pytest

from handlers.captions import LONGEST, shares_for_all, shares_of, shares_text


@pytest.mark.parametrize(
    "text", ["70/30", "70 30", "70:30", "70%", " 70 % / 30 % ", "70,30", "1;2;3", "100", "0/1", "33.3|66.7"]
)
def test_numbers_and_separators_are_shares(text: str) -> None:
    assert shares_text(text) == text.strip()


@pytest.mark.parametrize(
    "text",
    [None, "", "Paris", "1889", "70/x", "-70/30", "70-30", "70//30 please", "½", "12.05.2024", "1/" * LONGEST + "1"],
)
def test_anything_else_is_a_caption_like_others(text: str | None) -> None:
    assert shares_text(text) == ""


@pytest.mark.parametrize(
    ("content", "styles", "weights"),
    [
        ("", ["", ""], (1, 1)),
        # An album has its caption under the first picture, most clients' single ones under any.
        ("70/30", ["", ""], (70, 30)),
        ("", ["70/30", ""], (70, 30)),
        ("", ["50/50", "70/30"], (70, 30)),
        ("", ["", "", "", "1 2 3 4"], (1, 2, 3, 4)),
        ("", ["70%", ""], (70, 30)),
        ("", ["", "70"], (30, 70)),
        ("", ["70", "30"], (70, 30)),
        ("", ["2", "1"], (2, 1)),
        ("", ["50", "", ""], (50, 25, 25)),
        ("70", ["", ""], (70, 30)),
        ("", ["100"], (1,)),
        ("", [""], (1,)),
    ],
)
def test_captions_give_the_shares(content: str, styles: list[str], weights: tuple[float, ...]) -> None:
    shares = shares_of(content, styles, 4)
    assert shares.problem is None
    assert shares.weights == pytest.approx(weights)


@pytest.mark.parametrize(
    ("styles", "key"),
    [
        (["", "50/30/20"], "shares.styles_missing"),
        (["70/30"], "shares.styles_missing"),
        (["", "", "70/30"], "shares.too_few"),
        (["", "100/0"], "shares.zero"),
        (["", "1/2/3/4/5"], "shares.too_many"),
        (["", "150%"], "shares.range"),
        (["0", ""], "shares.range"),
        (["70"], "shares.rest"),
        (["60", "40", ""], "shares.nothing_left"),
    ],
)
def test_shares_that_do_not_fit_are_named_and_all_styles_count_the_same(styles: list[str], key: str) -> None:
    shares = shares_of("", styles, 4)
    assert shares.problem
    assert shares.problem.key == key
    assert shares.weights == (1.0,) * len(styles)


def test_a_written_text_is_for_all_styles() -> None:
    assert shares_for_all("50 30 20", 3, 4).weights == (50, 30, 20)
    assert shares_for_all("70", 2, 4).problem is not None
