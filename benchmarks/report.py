"""How the benchmarks print: a table of rows, and one line for each point with its limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

WIDTH = 160


def table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows with the keys of the first as columns; numbers stand at the right, with three digits."""
    drawn = Table(title=title, title_justify="left")
    for column, value in rows[0].items():
        drawn.add_column(column, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        drawn.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=WIDTH).print(drawn)


def point(text: str, value: float, limit: float) -> None:
    """Print a value that must not be above its limit."""
    print(f"{'holds' if value <= limit else 'FALLS SHORT'}: {text}: {value:.3g}, at most {limit:g} asked")


def claim(text: str, holds: bool) -> None:
    """Print a statement that is true or not."""
    print(f"{'holds' if holds else 'FALLS SHORT'}: {text}")
