"""Files of an export that others have written or damaged: the reason is named, no run is invented."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core.outputs.conftest import report_of

from carbon_core.errors import OutputError
from carbon_core.fleet import reading
from carbon_core.fleet.export import export
from carbon_core.fleet.files import PENDING, ExportFiles
from carbon_core.fleet.formats import FORMATS
from carbon_core.fleet.places import Directory
from carbon_core.outputs import receipt
from carbon_core.outputs.history import PastRun, Skipped

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
DEEP = "[" * 100_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    runs = tmp_path / "carbon_runs"
    runs.mkdir()
    for name in ("one", "two"):
        receipt.write(report_of(name), runs / f"{name}{receipt.SUFFIX}")
    return tmp_path


def exported(source: Path, form: str) -> Path:
    """Export the runs of a directory, and return the file with those of a month."""
    target = source / form
    export([source / "carbon_runs"], ExportFiles(Directory(target), FORMATS[form]))
    (file,) = target.glob("runs/*/*")
    return file


def with_cell(file: Path, name: str, cell: Any) -> None:
    """Write a cell of the first row of a file in Parquet."""
    table = parquet.read_table(file)
    at = table.schema.get_field_index(name)
    column = pa.array([cell, *table.column(name).to_pylist()[1:]], table.schema.field(at).type)
    parquet.write_table(table.set_column(at, table.schema.field(at), column), file)


def found(file: Path) -> tuple[list[str], list[str]]:
    """Return the ids of the runs of an export, and the reasons of what was skipped."""
    every = list(reading.runs(file.parents[2]))
    skipped = [one.reason for one in every if isinstance(one, Skipped)]
    return [one.run_id for one in every if isinstance(one, PastRun)], skipped


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("energy_errors", "{"),
        ("energy_errors", "[1]"),
        ("energy_errors", '{"a": "b"}'),
        ("energy_errors", '{"a": 1e999}'),
        ("energy_errors", '{"a": -1}'),
        ("energy_errors", DEEP),
        ("emissions_errors", "[1, 2]"),
        ("study", "{"),
        ("study", DEEP),
        ("trials", '{"a"'),
        ("energy_kwh", float("inf")),
        ("energy_kwh", 1e308),
        ("emissions_kg", float("nan")),
        ("energy_low_kwh", 9.0),
        ("energy_high_kwh", -1.0),
        ("foreign_kwh", float("nan")),
        ("duration_s", float("nan")),
        ("duration_s", -1.0),
        ("duration_s", None),
        ("counted", None),
        ("counted", 9.0),
        ("counted_in_study", float("inf")),
        ("started_at", None),
        ("run_id", None),
        ("run_id", "x" * 2**21),
        ("is_known", None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_row_that_is_no_run_is_skipped_with_its_reason(
    source: Path, name: str, cell: Any
) -> None:
    file = exported(source, "parquet")
    with_cell(file, name, cell)
    runs, (reason,) = found(file)
    assert runs == ["two"]
    assert reason.startswith("row 1: ")


def test_rows_that_are_no_runs_are_counted(source: Path) -> None:
    file = exported(source, "parquet")
    table = parquet.read_table(file)
    none = pa.nulls(2, table.schema.field("is_known").type)
    at = table.schema.get_field_index("is_known")
    parquet.write_table(table.set_column(at, table.schema.field(at), none), file)
    runs, (reason,) = found(file)
    assert runs == []
    assert reason.endswith("(2 rows skipped)")


def invalid_text(file: Path) -> None:
    column = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"\xff\xfe\xff\xfe")
    )
    replace_column(file, "project", column)


def another_era(file: Path) -> None:
    replace_column(file, "started_at", pa.array([2**62] * 2, pa.timestamp("us")))


def other_version(file: Path) -> None:
    metadata = {"carbon_callbacks_schema_version": "new"}
    parquet.write_table(parquet.read_table(file).replace_schema_metadata(metadata), file)


def many_rows(file: Path) -> None:
    names = parquet.read_table(file).schema.names
    parquet.write_table(pa.table({name: pa.nulls(100_001, pa.string()) for name in names}), file)


def damaged_pages(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[8:200] = b"\xff" * 192
    file.write_bytes(data)


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def replace_column(file: Path, name: str, column: Any) -> None:
    table = parquet.read_table(file)
    at = table.schema.get_field_index(name)
    parquet.write_table(table.set_column(at, name, column), file)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (invalid_text, "can't decode"),
        (another_era, "out of range"),
        (other_version, "invalid literal"),
        (many_rows, "has more than 100,000 rows"),
        (damaged_pages, "is not a Parquet file of runs"),
        (fifo, "cannot be read: not a regular file"),
    ],
)
def test_a_file_that_is_none_of_an_export_is_skipped(
    source: Path, change: Callable[[Path], None], expected: str
) -> None:
    file = exported(source, "parquet")
    shutil.copy(file, file.with_name("00001.parquet"))
    change(file)
    runs, (reason,) = found(file)
    assert sorted(runs) == ["one", "two"]
    assert expected in reason


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("run_id", [1]),
        ("run_id", None),
        ("source", 5),
        ("source_mtime_ns", 10**30),
        ("status", 7),
        ("within", 5),
        ("duration_s", "a"),
        ("energy_kwh", float("nan")),
        ("schema_version", float("inf")),
        ("schema_version", DEEP),
    ],
)
def test_a_state_that_is_none_is_an_error_that_names_the_file(
    source: Path, name: str, cell: Any
) -> None:
    file = exported(source, "jsonl")
    row, *others = file.read_text().splitlines()
    deep = cell == DEEP
    changed = f'{{"{name}": {DEEP}' if deep else json.dumps({**json.loads(row), name: cell})
    file.write_text("\n".join([changed, *others]) + "\n")
    before = file.read_bytes()
    with pytest.raises(OutputError, match=r"month=2026-01/00000\.jsonl: "):
        exported(source, "jsonl")
    assert file.read_bytes() == before


@pytest.mark.parametrize("text", ["{", "5", "[5]", "[null]", DEEP])
def test_a_note_of_a_killed_export_that_is_none_is_named(source: Path, text: str) -> None:
    file = exported(source, "jsonl")
    note = file.parents[2] / PENDING
    note.parent.mkdir(exist_ok=True)
    note.write_text(text)
    with pytest.raises(OutputError, match=PENDING):
        exported(source, "jsonl")


def test_a_file_with_another_name_gets_no_runs(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = exported(source, "jsonl")
    file.with_name("copy.jsonl").touch()
    monkeypatch.setattr("carbon_core.fleet.files.MOST_RUNS", 1)
    receipt.write(report_of("three"), source / "carbon_runs" / f"three{receipt.SUFFIX}")
    exported_files = Directory(source / "jsonl")
    result = export([source / "carbon_runs"], ExportFiles(exported_files, FORMATS["jsonl"]))
    assert (result.added, result.total) == (1, 3)
    assert file.with_name("00001.jsonl").exists()
