"""Journals of others: a run starts beside one, and recovers the valid one."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from pathlib import Path

from carbon_core.errors import OutputError
from carbon_core.outputs import past_runs, timeline
from carbon_core.outputs.journal import SUFFIX, Journal, deliveries
from carbon_core.outputs.run_directory import RunDirectory

sys.path.append(str(Path(__file__).parents[2]))
report_of = importlib.import_module("core.outputs.conftest").report_of

DICTIONARY = (
    b"Infinity", b"NaN", b"1e999", b"-1", b"null", b"true", b"[[[[", b'{"a":', b'"\\ud800"',
    b'{"type": "run"', b'{"type": "totals"', b'{"type": "delivered"', b"2199-12-31T23:00Z",
    b'"schema_version": 2', b"99999999999999999999", b'"readings": [[3000000, [1], [1]]]',
)  # fmt: skip


def _written(path: Path, run_id: str) -> bytes:
    report = report_of(run_id, "running")
    journal = Journal(path, report)
    journal.append(report)
    journal.close(saved=False)
    return path.read_bytes()


def _seed() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        return _written(Path(directory) / f"odd{SUFFIX}", "odd")


SEEDS = (
    _seed(),
    b'{"type": "delivered", "output": "api", "amounts": [1, 2, 3, 4, 5, 6, 7], "remote_id": "a"}\n',
)


def run(data: bytes, directory: Path) -> None:
    """Read the journal by every reader, and recover it with a valid one."""
    runs = directory / "carbon_runs"
    runs.mkdir()
    odd = runs / f"odd{SUFFIX}"
    odd.write_bytes(data)
    for read in (past_runs.read, timeline.read, deliveries):
        with contextlib.suppress(OutputError):
            read(odd)
    odd.with_name(f"{odd.name}.lock").touch()
    _written(runs / f"valid{SUFFIX}", "valid")
    for path in runs.glob(f"*{SUFFIX}"):
        _disown(path)
        os.utime(path, (1_000_000, 1_000_000))
    output = RunDirectory(directory, "emissions.csv", always_update=False, keep_journal=True)
    output.open(report_of("own", "running"))
    output.close(report_of("own"))
    rows = (directory / "emissions.csv").read_text("utf-8")
    assert rows.count(",valid,") == 1, "the valid run is not recovered"
    assert rows.count(",own,") == 1, "the run itself has no row"


def _disown(path: Path) -> None:
    """Replace the number of this process: it would be the writer of both journals."""
    path.write_bytes(path.read_bytes().replace(b'"pid": %d' % os.getpid(), b'"pid": 4194304'))
