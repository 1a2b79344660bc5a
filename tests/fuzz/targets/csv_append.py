"""Adding a run to a CSV file with any content: no complete row of others is lost or changed."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

from carbon_core.errors import OutputError
from carbon_core.outputs import past_rows
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import COLUMNS, EmissionsData

_HEADER = ",".join(COLUMNS).encode() + b"\n"
_ROW = (
    b"2026-01-01T00:00:00,digits,run-1,5b0fa12a,1.0,2.0,0.1,1,1,1,1,1,1,3.0,0,France,FRA,east,,,"
    b"Linux,3.11,3.0,4,CPU,1,GPU,1,2,64,machine,1,1,1,1,N,1.0,0\n"
)
_QUOTED = _ROW.replace(b"France", b'"Korea, Republic of"').replace(b"run-1", b"run-2")
_LINES = _ROW.replace(b"GPU", b'"two\nlines, ""quoted"""').replace(b"run-1", b"run-3")
SEEDS = (
    _HEADER + _ROW + _QUOTED + _LINES,
    _HEADER.replace(b"\n", b"\r\n") + _ROW + b'2026-01-01T00:00:00,"torn\n' + _QUOTED,
    b"\xef\xbb\xbf" + _HEADER + _ROW[:60] + _QUOTED + _ROW[:-1],
    b"run_id,project_name,timestamp,duration,energy_consumed,emissions\na,b,2026,1,1.5,2\n",
)
DICTIONARY = (b'"', b'""', b'","', b"\r", b"\n", b",", b"\0", b"new", _ROW, _QUOTED, _HEADER)

_FIGURES = {"duration": 7.0, "energy_consumed": 11.0, "emissions": 13.0}
_TEXTS = {field.name: "" for field in fields(EmissionsData)}
_NEW = EmissionsData(
    **{**_TEXTS, **_FIGURES, "timestamp": "2026-01-02T00:00:00", "run_id": "new", "wue": 0.0}
)


def run(data: bytes, directory: Path) -> None:
    """Append a run and update it; the rows of others stay, and the report finds it once."""
    path = directory / "emissions.csv"
    path.write_bytes(data)
    before = _complete_lines(path)
    file = CsvFile(path, directory / "lock")
    file.append(_NEW)
    file.update(replace(_NEW, emissions=17.0))
    after = _complete_lines(*directory.glob("emissions.csv*"))
    lost = before - after
    assert not lost, f"lost: {lost}"
    ours = [row for row in past_rows.read(path) if row.run_id == "new"]
    assert [(row.duration_s, row.energy_kwh, row.emissions_kg) for row in ours] == [(7, 11, 17)]
    for kept in directory.glob("*.bak"):
        try:
            list(past_rows.read(kept))
        except OutputError as error:
            assert str(error)


def _complete_lines(*paths: Path) -> Counter[bytes]:
    """Return the lines of files, except torn ones set aside, that are complete rows."""
    found: Counter[bytes] = Counter()
    for path in paths:
        if path.exists() and path.suffix in {".csv", ".bak"}:
            found.update(filter(_is_complete, re.split(rb"[\r\n]+", path.read_bytes())))
    return found


def _is_complete(line: bytes) -> bool:
    try:
        cells = next(csv.reader([line.decode("latin-1")], strict=True), [])
    except csv.Error:
        return False
    return len(cells) == len(COLUMNS) and cells[COLUMNS.index("run_id")] != "new"
