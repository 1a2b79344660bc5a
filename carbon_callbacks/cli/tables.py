"""Tables that fit a terminal: columns of text are folded, and no number and no key is ever cut.

enough columns      a table
too few             without the columns that may be dropped, the least important one first
still too few       one block of lines for each row, "name: value"
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group
from rich.padding import Padding
from rich.table import Table

from carbon_callbacks.cli.terminal import PlainConsole

# Columns of a border, and of the margins of a cell.
_BORDER, _MARGINS = 1, 2
# Text is folded, but not into a column that is narrower.
_LEAST_TEXT = 12


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: Its heading.
        folds: Whether its cells are names, which may be broken anywhere.
        wraps: Whether they are several words, which may be on several lines. Numbers with their units
            and keys are neither broken nor wrapped.
        dropped: Its turn when columns are dropped: 1 is the first to go, 0 stays.
    """

    name: str
    folds: bool = False
    wraps: bool = False
    dropped: int = 0


def show(
    console: PlainConsole,
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    total: Sequence[str] | None = None,
) -> None:
    """Print a table in the form that fits the terminal (see `fitted`)."""
    console.print(fitted(console.width, columns, rows, title=title, total=total))


def fitted(
    width: int,
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    total: Sequence[str] | None = None,
) -> Table | Group:
    """Return a table in the form that fits a terminal.

    Args:
        width: Columns of the terminal.
        columns: Its columns.
        rows: The cells of each row.
        title: Printed above.
        total: A last row, separated from the others.
    """
    lines = [*rows, *([total] if total is not None else [])]
    kept = _kept(columns, lines, width)
    if _width(columns, lines, kept) > width:
        return _stacked(columns, lines, title)
    return _table(columns, lines, kept, title, has_total=total is not None)


def _kept(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the indexes of the columns that fit; all if the least ones do not fit either."""
    kept = list(range(len(columns)))
    for index in sorted(kept, key=lambda index: columns[index].dropped):
        if columns[index].dropped and _width(columns, rows, kept) > width:
            kept.remove(index)
    return kept if _width(columns, rows, kept) <= width else list(range(len(columns)))


def _width(columns: Sequence[Column], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    """Return the least width of a table."""
    cells = sum(_least(columns[index], [row[index] for row in rows]) for index in kept)
    return cells + len(kept) * (_MARGINS + _BORDER) + _BORDER


def _least(column: Column, cells: Iterable[str]) -> int:
    parts = [one for cell in cells for one in (cell.split() if column.wraps else [cell])]
    widest = max(map(cell_len, parts), default=0)
    heading = max(map(cell_len, column.name.split()))
    return max(heading, min(widest, _LEAST_TEXT) if column.folds else widest)


def _table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    kept: Sequence[int],
    title: str,
    *,
    has_total: bool,
) -> Table:
    table = Table(title=title or None)
    for index in kept:
        column = columns[index]
        least = _least(column, [row[index] for row in rows])
        table.add_column(
            column.name,
            no_wrap=not (column.folds or column.wraps),
            overflow="fold",
            min_width=least,
        )
    for number, row in enumerate(rows, 1):
        if has_total and number == len(rows):
            table.add_section()
        table.add_row(*(row[index] for index in kept))
    return table


def _stacked(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str) -> Group:
    """Return one block of lines for each row, its first cell as the heading."""
    blocks: list[str | Padding] = [title] if title else []
    for heading, *cells in rows:
        blocks.append(heading)
        named = (f"{column.name}: {cell}" for column, cell in zip(columns[1:], cells) if cell)
        blocks.extend(Padding(text, (0, 0, 0, 2), expand=False) for text in named)
    return Group(*blocks)
