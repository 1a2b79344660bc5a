"""The shipped schemas of receipt and journal: every file that is written is as they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from carbon_core import EmissionsTracker, status_of
from carbon_core.data import text
from carbon_core.outputs import journal, receipt
from carbon_core.outputs.base import Delivered
from carbon_core.outputs.journal import Journal
from carbon_core.records import HourEnergy, Marginal, Segment
from carbon_core.report import Report

MakeReport = Callable[..., Report]
Pruned = type("TrialPruned", (Exception,), {"__module__": "optuna.exceptions"})
SEGMENT = Segment("an-id", "2026-01-01T10:00:00.000+00:00", 1.0, 2.0, 3.0)


def validator(name: str) -> Any:
    schema = json.loads(text(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def full(make_report: MakeReport) -> Report:
    """A run that has something everywhere."""
    return replace(
        make_report(told=("api",), phases_synced=True),
        hours=(HourEnergy("2026-01-01T10:00Z", 1.0, 2.0),),
        earlier=(SEGMENT,),
        others=(SEGMENT,),
        marginal=Marginal(-1.0, "CAISO_NORTH", "WattTime"),
    )


def test_a_full_receipt_and_one_of_a_real_run_are_valid(
    full: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    check = validator("receipt.schema.json")
    check.validate(json.loads(json.dumps(receipt.receipt(full), default=str)))
    with EmissionsTracker(log_level="error"):
        pass
    (path,) = (tmp_path / "carbon_runs").glob("*.receipt.json")
    check.validate(json.loads(path.read_text()))


@pytest.mark.parametrize("error", [None, ValueError(), KeyboardInterrupt(), Pruned()])
def test_every_status_is_valid_in_a_receipt(full: Report, error: BaseException | None) -> None:
    check = validator("receipt.schema.json")
    data = receipt.receipt(replace(full, status=status_of(error)))
    check.validate(json.loads(json.dumps(data, default=str)))


def test_every_line_of_a_journal_is_valid(full: Report, tmp_path: Path) -> None:
    path = tmp_path / f"run-1{journal.SUFFIX}"
    written = Journal(path, full)
    written.append(replace(full, status="running"))
    written.append(full)
    written.close()
    journal.note_delivered(path, Delivered("api", full.amounts, "their-id"))
    check = validator("journal.schema.json")
    lines = [json.loads(line) for line in path.read_text().splitlines() if line]
    assert [line["type"] for line in lines] == ["run", "totals", "totals", "delivered"]
    for line in lines:
        check.validate(line)


def test_a_figure_without_its_unit_or_an_unknown_key_is_not_valid(full: Report) -> None:
    data = json.loads(json.dumps(receipt.receipt(full), default=str))
    with pytest.raises(jsonschema.ValidationError, match="'energy' was unexpected"):
        validator("receipt.schema.json").validate({**data, "energy": 1.0})
    with pytest.raises(jsonschema.ValidationError, match="is not of type 'number'"):
        validator("receipt.schema.json").validate({**data, "duration_s": None})
