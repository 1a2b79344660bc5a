"""The HTML page of a directory with an odd receipt or journal beside a valid one."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

from carbon_callbacks.cli.html import write
from carbon_callbacks.cli.totals import History
from carbon_core.outputs import history, receipt
from carbon_core.outputs.journal import SUFFIX

sys.path.append(str(Path(__file__).parent))
_journals, _receipts = map(importlib.import_module, ("journal", "receipt"))

SEEDS = (*_receipts.SEEDS, *_journals.SEEDS)
DICTIONARY = (*_receipts.DICTIONARY, *_journals.DICTIONARY)


def run(data: bytes, directory: Path) -> None:
    """Write the page: it lists the valid run."""
    runs = directory / "carbon_runs"
    runs.mkdir()
    is_journal = data.startswith(b'{"type"')
    (runs / f"odd{SUFFIX if is_journal else receipt.SUFFIX}").write_bytes(data)
    (runs / f"odd{SUFFIX}").write_bytes(data)
    valid = _receipts.report_of("valid", project_name="valid project")
    receipt.write(valid, runs / f"valid{receipt.SUFFIX}")
    found = History(5, with_days=True)
    for one in history.read([directory]):
        found.skipped.append(one) if isinstance(one, history.Skipped) else found.add(one)
    write(found, directory / "page.html")
    assert "valid project" in (directory / "page.html").read_text("utf-8")


# What the template loads at first use is not of an input.
with tempfile.TemporaryDirectory() as _first:
    run(SEEDS[0], Path(_first))
