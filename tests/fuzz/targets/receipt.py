"""Receipts of others, through the commands that read them."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

from carbon_core import repricing
from carbon_core.errors import CarbonError
from carbon_core.outputs import history, merging, past_runs, receipt
from carbon_core.outputs.archive import Archive
from carbon_core.records import HourEnergy, Intensity, Marginal, Segment

sys.path.append(str(Path(__file__).parents[2]))
report_of = importlib.import_module("core.outputs.conftest").report_of

DICTIONARY = (
    b"Infinity", b"NaN", b"1e999", b"-1", b"null", b"true", b"[[[[", b'{"a":', b'"\\ud800"',
    b'"schema_version": 2', b"2199-12-31T23:00Z", b"99999999999999999999", b"1e-320",
    b'"run_id": "../../x"', b'"is_known": false',
)  # fmt: skip
_SEGMENT = Segment("before", "2026-01-01T09:00:00+00:00", 1.0, 2.0, 3.0)
_FULL = replace(
    report_of("odd"),
    hours=(HourEnergy("2026-01-01T10:00Z", 1.0, 2.0),),
    earlier=(_SEGMENT,),
    marginal=Marginal(-1.0, "CAISO_NORTH", "WattTime"),
)
_TEXT = json.dumps(receipt.receipt(_FULL), default=str)
SEEDS = (_TEXT.encode(), json.dumps(receipt.receipt(report_of("odd")), default=str).encode())


def run(data: bytes, directory: Path) -> None:
    """Read the receipt beside a valid one, which is always found."""
    runs = directory / "carbon_runs"
    runs.mkdir()
    path = runs / f"odd{receipt.SUFFIX}"
    path.write_bytes(data)
    receipt.write(report_of("valid"), runs / f"valid{receipt.SUFFIX}")
    try:
        found = repricing.finished(past_runs.read(path))
        repricing.reprice(found, lambda hour: Intensity(1.0, "a", "a", "user", None, 0.1))
    except CarbonError as error:
        assert str(path) in str(error), "the file is not named"
    runs_found = [one.run_id for one in history.read([directory]) if hasattr(one, "run_id")]
    assert "valid" in runs_found
    merged = merging.merge(directory)
    assert any(part.segment.run_id == "valid" for one in merged for part in one.parts)
    Archive(directory, "digits").last()
