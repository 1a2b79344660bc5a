"""Text of others in each output format: names from files, variables and arguments stay plain text.

output                                    function
terminal, log line, label of a metric     `one_line`
cell of a CSV file                        `csv_cell`
cell of a Markdown table                  `markdown_cell`
LaTeX                                     `carbon_core.disclosure.latex.text`
HTML                                      autoescape of the template, or `html.escape`
data of the HTML report                   `carbon_callbacks.cli.html.data.script_json`
"""

from __future__ import annotations

import re

LONGEST = 1000
# A spreadsheet evaluates a cell that begins with one of these as a formula; some convert other forms
# of them first, such as wide ones.
_FORMULA_STARTS = "=+-@\N{MINUS SIGN}"
# Some spreadsheets and imports remove these from the beginning of a cell.
_REMOVED = ' "`\N{LEFT SINGLE QUOTATION MARK}\N{LEFT DOUBLE QUOTATION MARK}'
# An underscore within a word is text in Markdown.
_MARKDOWN = re.compile(r"[\\`*~\[\]|$]|(?<![^\W_])_|_(?![^\W_])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def one_line(text: str, most: int = LONGEST) -> str:
    """Return text as one line without control characters, escapes and changes of direction.

    Args:
        text: Any text; also with surrogates, as in names of files that are not UTF-8.
        most: Longest result in characters.
    """
    text = text[:most]
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def csv_cell(text: str) -> str:
    """Return text as a cell of a CSV file: one line, no formula. Quotation is that of the writer."""
    clean = one_line(text)
    is_formula = text.startswith(("\t", "\r")) or _starts_formula(clean.lstrip(_REMOVED))
    return "'" + clean if is_formula else clean


def markdown_cell(text: str, most: int = LONGEST) -> str:
    """Return text as a cell of a Markdown table: no markup, HTML, link or further cell.

    Args:
        text: As for `one_line`.
        most: Longest part of the text in characters.
    """
    clean = _MARKDOWN.sub(r"\\\g<0>", one_line(text, most))
    return "".join(_HTML.get(c, c) for c in clean)


def _starts_formula(text: str) -> bool:
    first = text[:1]
    if not first.isascii():
        import unicodedata

        first = unicodedata.normalize("NFKC", first)
    return first != "" and first in _FORMULA_STARTS
