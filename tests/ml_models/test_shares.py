import pytest

from ml_models.errors import InvalidRequestError
from ml_models.shares import example, format_shares, parse_shares


@pytest.mark.parametrize(
    "text",
    ["70/30", "70:30", "70 30", "70,30", "70%/30%", " 70 % / 30 % ", "70, 30", "70;30", "70|30", "70\n30", "٧٠/٣٠"],
)
def test_people_write_shares_in_many_ways(text: str) -> None:
    assert parse_shares(text, 2) == (70.0, 30.0)


def test_fractions_and_any_number_of_styles() -> None:
    assert parse_shares("0.7/0.3", 2) == (0.7, 0.3)
    assert parse_shares("1", 1) == (1.0,)
    assert parse_shares("40/30/20/10", 4) == (40.0, 30.0, 20.0, 10.0)


@pytest.mark.parametrize("text", ["70/0", "70/-30", "70/nan", "70/inf", "70/1e400", "a/b", "70/3_0", "²/30"])
def test_a_share_is_a_number_above_zero(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="above 0"):
        parse_shares(text, 2)


@pytest.mark.parametrize(("text", "count"), [("", 2), ("70", 2), ("50/30/20", 2), ("70/30", 1), ("/", 3)])
def test_another_number_of_shares_is_refused_with_an_example(text: str, count: int) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_shares(text, count)
    assert example(count) in str(refused.value)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_the_example_is_read_by_the_parser(count: int) -> None:
    assert len(parse_shares(example(count), count)) == count


def test_shares_are_shown_in_percent() -> None:
    assert format_shares((7, 3)) == "70/30"
    assert format_shares((1, 1, 1)) == "33/33/33"
    assert format_shares((1000, 1)) == "100/1"
