"""Files of an export: its state in JSON Lines and CSV, and the rows that `report` reads in Parquet."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import sys
import tempfile
from pathlib import Path

from carbon_core.errors import OutputError
from carbon_core.fleet import reading
from carbon_core.fleet.columns import RUNS, TABLES
from carbon_core.fleet.export import export
from carbon_core.fleet.files import PENDING, ExportFiles
from carbon_core.fleet.formats import FORMATS
from carbon_core.fleet.places import Directory
from carbon_core.outputs import receipt
from carbon_core.outputs.history import Skipped
from carbon_core.outputs.run_totals import Total

sys.path.append(str(Path(__file__).parents[2]))
report_of = importlib.import_module("core.outputs.conftest").report_of

DICTIONARY = (
    b"Infinity", b"NaN", b"1e999", b"null", b"true", b"[[[[", b'{"a":', b'"\\ud800"', b",", b'"',
    b'"schema_version": 2', b"2199-12-31T23:00:00Z", b'"energy_errors": "{"', b'"status": null',
)  # fmt: skip
_PART, _TABLE = f"{RUNS}/month=2026-01/00000", TABLES[-1]


def _seeds() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as directory:
        runs = Path(directory) / "carbon_runs"
        runs.mkdir()
        receipt.write(report_of("valid"), runs / f"valid{receipt.SUFFIX}")
        found = []
        for form in ("jsonl", "csv"):
            target = Path(directory) / form
            export([runs], ExportFiles(Directory(target), FORMATS[form]))
            found.append((target / f"{_PART}.{form}").read_bytes())
        return (*found, b'["month=2026-01/00000"]')


SEEDS = _seeds()


def run(data: bytes, directory: Path) -> None:
    """Export beside the data, and read it as rows in Parquet."""
    runs = directory / "carbon_runs"
    runs.mkdir()
    receipt.write(report_of("valid"), runs / f"valid{receipt.SUFFIX}")
    form = "jsonl" if data.startswith((b"{", b"[")) else "csv"
    path = directory / form / (PENDING if data.startswith(b"[") else f"{_PART}.{form}")
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    with contextlib.suppress(OutputError):
        export([runs], ExportFiles(Directory(directory / form), FORMATS[form]))
        assert b"valid" in (directory / form / f"{_PART}.{form}").read_bytes(), "the run is lost"
    if importlib.util.find_spec("pyarrow") is not None:
        _as_parquet(data, directory / "parquet")


def _as_parquet(data: bytes, directory: Path) -> None:
    """Write the data as rows, where their values have the types of the table, and add them up."""
    try:
        rows = list(FORMATS["jsonl"].read(_TABLE, data, _TABLE.names))
        content = FORMATS["parquet"].written(_TABLE, rows)
    except (OutputError, ValueError, TypeError, OverflowError):
        return
    path = directory / f"{_PART}.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    total = Total()
    for one in reading.runs(directory):
        if not isinstance(one, Skipped):
            total.add(one)
    assert all(map(math.isfinite, (*total.energy_kwh, *total.emissions_kg, total.duration_s)))


# What pyarrow loads and reserves at first use is not of an input.
with tempfile.TemporaryDirectory() as _first:
    run(SEEDS[0], Path(_first))
