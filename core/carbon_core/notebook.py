"""How objects are displayed: one line of text, and a table for notebooks.

A notebook calls ``_repr_html_`` for the last value of a cell; an exception in it would be shown in
place of the result. What cannot be displayed gets Python's default text.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from carbon_core.escaping import one_line
from carbon_core.interruptions import raise_if_of_program

# Colours are the notebook's own, light or dark.
_TABLE = "color: inherit; background: transparent; border-collapse: collapse"
_CAPTION = (
    "caption-side: top; color: inherit; text-align: left; font-weight: bold; padding: 0.2em 0"
)
_CELL = "color: inherit; text-align: left; vertical-align: top; padding: 0.2em 1em 0.2em 0"
_LONGEST_CELL = 500


def line_of(owner: object, line: Callable[[], str]) -> str:
    """Return the ``repr`` of an object: its class, and a line in brackets.

    Args:
        owner: The object.
        line: Returns what is in the brackets.
    """
    outer = sys.exc_info()[1]
    try:
        return f"{type(owner).__name__}({_shortened(line())})"
    except Exception as error:  # noqa: BLE001 - debuggers and error messages call it at any time
        raise_if_of_program(error, outer)
        return object.__repr__(owner)


def html_of(owner: object, rows: Callable[[], Mapping[str, str]]) -> str | None:
    """Return the table of an object; None for a notebook to show its ``repr``.

    Args:
        owner: The object.
        rows: Returns the rows: names and texts.
    """
    outer = sys.exc_info()[1]
    try:
        return table(type(owner).__name__, rows())
    except Exception as error:  # noqa: BLE001 - it must not replace the result of a cell
        raise_if_of_program(error, outer)
        return None


def table(title: str, rows: Mapping[str, str]) -> str:
    """Return a small HTML table; names and texts are escaped.

    Args:
        title: Its caption.
        rows: Names and texts.
    """
    from html import escape  # with what it imports, a millisecond that only notebooks pay

    cells = "".join(
        f'<tr><th scope="row" style="{_CELL}">{escape(_shortened(name))}</th>'
        f'<td style="{_CELL}">{escape(_shortened(text))}</td></tr>'
        for name, text in rows.items()
    )
    caption = f'<caption style="{_CAPTION}">{escape(_shortened(title))}</caption>'
    return f'<table style="{_TABLE}">{caption}<tbody>{cells}</tbody></table>'


def _shortened(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _LONGEST_CELL else f"{line[: _LONGEST_CELL - 1]}…"
