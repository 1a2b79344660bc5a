"""Reading CSV files that others have damaged: each valid row counts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from carbon_core.errors import OutputError
from carbon_core.outputs import history, past_rows
from carbon_core.outputs.csv_records import cells_of
from carbon_core.outputs.csv_rows import torn_rows
from carbon_core.outputs.emissions_data import COLUMNS

TIME = "2026-01-01T00:00:00"
HEADER = ",".join(COLUMNS)
FIGURES = {"duration": "1.0", "energy_consumed": "1.5", "emissions": "2.0"}


def row(run_id: str, **cells: str) -> str:
    values = {"timestamp": TIME, "run_id": run_id, **FIGURES, **cells}
    return ",".join(values.get(name, "x") for name in COLUMNS)


def ids(path: Path, *lines: str, end: str = "\n") -> list[str]:
    path.write_text(end.join((HEADER, *lines)) + end, encoding="utf-8", newline="")
    return [one.run_id for one in past_rows.read(path)]


DAMAGE = {
    "open quotation mark": row("torn", region='"east'),
    "open in the last cell": row("torn", wue='"'),
    "open, and an escaped one": '"a""',
    "open, then escaped": '",""",a"""',
    "a cell longer than csv's limit": row("torn", region='"' + "x" * 131_073),
    "a line of only commas": "," * 5000,
    "NUL": "\0\0\0",
    "torn": row("torn")[:30],
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_the_rows_around_a_damaged_one_count(damage: str, end: str, tmp_path: Path) -> None:
    around = [row("a"), row("b", region='"south, east"'), row("c"), row("d", os='"an ""os"""')]
    lines = [*around[:2], DAMAGE[damage], *around[2:]]
    assert ids(tmp_path / "x.csv", *lines, end=end) == ["a", "b", "c", "d"]
    block = end.join((HEADER, *lines, "")).encode()
    torn = [block[span.begin : span.end] for span in torn_rows(block, begins_file=True)]
    assert torn == [DAMAGE[damage].encode() + end.encode()], "the writer sets aside the same row"


def test_a_row_appended_to_a_torn_one_counts(tmp_path: Path) -> None:
    for torn in (row("torn")[:30], f'{TIME},"open', row("torn")[:-40]):
        lines = [row("a"), torn + row("b"), row("c")]
        found = ids(tmp_path / "x.csv", *lines)
        assert [one for one in found if one != "torn"] == ["a", "b", "c"]


def test_a_cell_of_any_length_is_read(tmp_path: Path) -> None:
    """Python's csv has a limit of 131,072 characters."""
    long = row("long", region='"' + "x, " * 60_000 + '"')
    assert ids(tmp_path / "x.csv", row("a"), long, row("b")) == ["a", "long", "b"]


def test_a_header_cell_of_any_length_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for name in ("x" * 131_073, '"' + "x, " * 50_000 + '"'):
        path.write_text(f"{name},{HEADER}\n1,{row('a')}\n")
        assert [one.run_id for one in past_rows.read(path)] == ["a"]
        assert not past_rows.is_of_tasks(path)


def test_a_file_without_line_breaks_is_no_csv_file_of_runs(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'"' * 3_000_000)
    with pytest.raises(OutputError):
        list(past_rows.read(path))


@pytest.mark.parametrize(
    "text",
    ["", "a", ",", '"a","b"', 'a"b,c', '"a""b",c', '"a"b,c', '5" disk,"x, y"', '"",""', '"a\nb",c'],
)
def test_cells_are_those_of_pythons_reader(text: str) -> None:
    expected = next(csv.reader([text]), [""]) if "\n" not in text else ["a\nb", "c"]
    assert cells_of(text) == (expected or [""])
    assert cells_of(text + "\r\n") == (expected or [""])


def test_a_quotation_mark_within_a_cell_opens_none(tmp_path: Path) -> None:
    lines = [row("a", gpu_model='5" card'), row("b")]
    assert ids(tmp_path / "x.csv", *lines) == ["a", "b"]
    block = "\n".join((HEADER, *lines, "")).encode()
    assert torn_rows(block, begins_file=True) == []


def test_a_row_of_unknown_energy_is_a_run_of_unknown_energy(tmp_path: Path) -> None:
    unknown = {"energy_consumed": "", "emissions": ""}
    path = tmp_path / "x.csv"
    assert ids(path, row("a"), row("b", **unknown), row("c", emissions="")) == ["a", "b"]
    assert [one.is_known for one in past_rows.read(path)] == [True, False]
    found = [one for one in history.read([path]) if isinstance(one, history.PastRun)]
    assert [one.is_known for one in found] == [True, False]


def test_many_open_quotation_marks_take_linear_time(tmp_path: Path) -> None:
    """Each line opens one, and none of them closes that of an earlier line."""
    line = '5",",a""'
    block = "\n".join((HEADER, *[line] * 40_000, row("a"), "")).encode()
    assert len(torn_rows(block, begins_file=True)) == 40_000
    assert ids(tmp_path / "x.csv", *[line] * 40_000, row("a")) == ["a"]
