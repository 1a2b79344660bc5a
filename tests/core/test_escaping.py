"""Text of others in each output format."""

from __future__ import annotations

import csv
import io

import pytest

from carbon_core.escaping import csv_cell, markdown_cell, one_line

CONTROLS = {
    "ESC": "\x1b[31mred\x1b[0m",
    "link": "\x1b]8;;http://example.com\x07text\x1b]8;;\x07",
    "C1": "\x9b31m\x9d8;;x\x9c",
    "BEL, backspace": "a\x07\x08\x08b",
    "line ends": "a\rb\nc\x0bd\x0ce\x85f\u2028g\u2029h",
    "bidi": "a\u202eb\u202d\u2066c\u2069\u200e\u200f\u061c",
    "zero width": "a\u200bb\u200c\u200d\u2060\ufeffc",
    "NUL, DEL": "a\0b\x7f",
    "surrogate": "a\udcffb",
    "tag": "a\U000e0041b",
}


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("function", [one_line, csv_cell, markdown_cell])
def test_no_control_character_is_left(function, name: str) -> None:
    text = function(CONTROLS[name])
    assert text.isprintable()
    assert text.encode()


def test_other_text_stays_as_it_is() -> None:
    for text in ("", "Zürich ☘", "[wip] bert", "[/oops]", ":smile:", "日本", "a = b - c @ d"):
        assert one_line(text) == csv_cell(text) == text
    assert len(one_line("x" * 5000)) == 1000
    assert len(one_line("x" * 5000, 5000)) == 5000


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "＝", "＋", "－", "＠", "﹦", "﹣", "−"])  # noqa: RUF001
@pytest.mark.parametrize(
    "before", ["", " ", "\u00a0", "\u3000", '"', ' "', "“", "\t", "\r", "\n", "\0", "\ufeff", "`"]
)
def test_no_cell_is_a_formula(before: str, start: str) -> None:
    cell = csv_cell(before + start + "1+1")
    assert cell.startswith("'")
    assert csv_cell(cell) == cell, "a cell that is read and written again stays"
    assert start + "1+1" in cell


def test_a_tab_or_carriage_return_begins_no_cell() -> None:
    assert [csv_cell("\ta"), csv_cell("\ra")] == ["' a", "' a"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("`x`", r"\`x\`"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("[a](javascript:x)", r"\[a\](javascript:x)"),
        ("![a](http://x)", r"!\[a\](http://x)"),
        ("**a** ~~b~~ $c$", r"\*\*a\*\* \~\~b\~\~ \$c\$"),
        ("_a_ my_model __b__", r"\_a\_ my_model \_\_b\_\_"),
        ("a\n| b |", r"a \| b \|"),
        ("digits-2.0 (1.0 to 2.0)", "digits-2.0 (1.0 to 2.0)"),
    ],
)
def test_a_markdown_cell_is_text(text: str, cell: str) -> None:
    assert markdown_cell(text) == cell


def test_a_csv_cell_is_read_as_it_was_written() -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([csv_cell('=a,"b"\nc')])
    assert next(csv.reader(io.StringIO(buffer.getvalue()))) == ['\'=a,"b" c']
