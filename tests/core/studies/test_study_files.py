"""Studies in journals, receipts and `carbon-callbacks report`."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.outputs.conftest import report_of

from carbon_callbacks._searches import id_in
from carbon_core.outputs import journal_reading, past_runs, receipt
from carbon_core.outputs.history import PastRun, read
from carbon_core.outputs.journal import Journal, journal_path
from carbon_core.outputs.studies import study_totals
from carbon_core.report import Report
from carbon_core.trials import StudyFacts, TrialResult

START = "2026-01-01T10:00:00.000+00:00"


def trial(
    name: str, status: str = "completed", value: float | None = None, kwh: float = 1.0
) -> Any:
    figures = kwh, kwh / 2, kwh * 2, kwh / 10, kwh / 20, kwh / 5
    return TrialResult(name, START, status, value, {"lr": "0.1"}, 60.0, *figures)


def study_run(run_id: str, *trials: TrialResult, status: str = "completed", **facts: Any) -> Report:
    study = StudyFacts("lr", has_trials=True, direction="maximize")
    return replace(report_of(run_id, status, study=study, **facts), trials=trials)


def saved(report: Report) -> None:
    Path("carbon_runs").mkdir(exist_ok=True)
    receipt.write(report, Path("carbon_runs") / f"{report.run.run_id}{receipt.SUFFIX}")


def journaled(*reports: Report) -> Path:
    path = journal_path(Path(), reports[0].run.run_id)
    journal = Journal(path, reports[0])
    for report in reports:
        journal.append(report)
    journal.close(saved=False)
    return path


def test_a_receipt_is_read_as_it_was_written(place: Path) -> None:
    saved(study_run("a", trial("0", value=0.5), trial("1", "pruned")))
    found = past_runs.read(place / "carbon_runs" / "a.receipt.json")
    assert found.trials == (trial("0", value=0.5), trial("1", "pruned"))
    assert found.run.study == StudyFacts("lr", has_trials=True, direction="maximize")
    assert past_runs.read(place / "carbon_runs" / "a.receipt.json").run.trial is None


def test_receipts_and_journals_without_studies_are_read(place: Path) -> None:
    saved(report_of("old"))
    path = place / "carbon_runs" / "old.receipt.json"
    data = json.loads(path.read_text())
    del data["trials"], data["run"]["study"]
    path.write_text(json.dumps(data))
    assert (past_runs.read(path).trials, past_runs.read(path).run.study) == ((), None)


def test_a_journal_has_the_last_state_of_each_trial(place: Path) -> None:
    path = journaled(
        study_run("a", trial("0", "running", kwh=0.5), status="running"),
        study_run("a", trial("0"), trial("1", "running", kwh=0.1), status="running"),
        study_run("a", trial("0"), trial("1", "running", kwh=0.2), status="running"),
    )
    assert journal_reading.read(path).trials == (trial("0"), trial("1", "running", kwh=0.2))
    assert past_runs.read(path).trials == (trial("0"), trial("1", "failed", kwh=0.2))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["trial_id"] for one in lines if one["type"] == "trial"] == ["0", "0", "1", "1"]
    # An incomplete line, or one that is not valid, loses nothing else.
    path.write_text(
        path.read_text() + '{"type": "trial", "trial_id": 3, "status": "x"}\n{"type": "tr'
    )
    assert past_runs.read(path).trials == (trial("0"), trial("1", "failed", kwh=0.2))


def test_what_is_noted_of_a_trial_has_the_figures_of_the_last_totals(place: Path) -> None:
    report = study_run("a", trial("0", "running", kwh=0.5), status="running")
    path = journal_path(Path(), "a")
    journal = Journal(path, report)
    journal.append(report)
    begun, ended = TrialResult("1", START, parameters={"lr": "0.3"}), TrialResult("2", START)
    noted = [begun, ended, ended._replace(status="pruned"), trial("0", value=2.0, kwh=9.0)]
    journal.note_trials(noted)
    journal.note_trials(noted[-1:])
    journal.close(saved=False)
    expected = {
        "0": trial("0", value=2.0, kwh=0.5),
        "1": begun._replace(status="failed"),
        "2": ended._replace(status="pruned"),
    }
    assert {one.trial_id: one for one in past_runs.read(path).trials} == expected
    totals = study_totals(Path(), "lr")
    assert totals.waste_kwh == 0
    assert totals.best is not None
    assert totals.best.trial_id == "0"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["trial_id"] for one in lines if one["type"] == "trial"] == ["0", "1", "2", "2", "0"]


@pytest.mark.parametrize(
    "change",
    [
        {"energy_kwh": -1},
        {"energy_kwh": 9.0},
        {"value": "x"},
        {"parameters": []},
        {"started_at": ""},
    ],
)
def test_a_trial_out_of_range_is_refused(place: Path, change: dict[str, Any]) -> None:
    saved(study_run("a", trial("0")))
    path = place / "carbon_runs" / "a.receipt.json"
    data = json.loads(path.read_text())
    data["trials"][0].update(change)
    path.write_text(json.dumps(data))
    assert [type(one) is PastRun for one in read([place])] == [False]


def test_runs_of_a_study_within_others_count_once(place: Path) -> None:
    saved(study_run("outer", trial("0", kwh=6.0)))
    saved(report_of("inner", study=StudyFacts("lr", "0"), within=("outer",)))
    totals = study_totals(place, "lr")
    assert totals.energy_kwh == pytest.approx(6.0)
    assert [one.energy_kwh for one in totals.trials] == [6.0]
    # A measured command that is not part of the study includes it, but does not replace it.
    saved(report_of("command", kwh=5.0))
    saved(study_run("outer", trial("0", kwh=6.0), within=("command",)))
    assert study_totals(place, "lr").energy_kwh == pytest.approx(6.0)
    counted = {one.run_id: one.counted for one in read([place]) if isinstance(one, PastRun)}
    assert counted == {"command": 1.0, "outer": 0.0, "inner": 0.0}


def test_a_run_around_a_search_of_the_same_study_is_no_trial(place: Path) -> None:
    """As `carbon-callbacks run` in a task of an array, and a search in it."""
    saved(report_of("command", kwh=5.0, study=StudyFacts("lr", "7")))
    saved(study_run("search", trial("0", value=1.0, kwh=4.0), within=("command",)))
    totals = study_totals(place, "lr")
    assert totals.energy_kwh == pytest.approx(7.5)
    assert [one.trial_id for one in totals.trials] == ["0"]
    assert totals.overhead_kwh == pytest.approx(3.5)
    assert totals.best is not None


def test_a_report_shows_a_study_as_one_row(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typer = pytest.importorskip("typer", reason="the extra cli is not installed here")
    pytest.importorskip("rich", reason="the extra cli is not installed here")
    from carbon_callbacks.cli import report

    monkeypatch.setenv("COLUMNS", "200")
    for run_id, numbers in (("a", range(3)), ("b", range(3, 5))):
        trials = [trial(str(i), value=i / 10, kwh=0.5 + i / 10) for i in numbers]
        saved(study_run(run_id, *trials, trial(f"bad-{run_id}", "failed", kwh=1.0)))
    saved(report_of("other"))
    report.run([place], output_format="table")
    text = capsys.readouterr().out
    assert "Recent runs (1)" in text
    (row,) = [line for line in text.splitlines() if line.startswith("│ lr ")]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:3] == ["lr", "5 completed, 2 failed", "4 (0.400)"]
    assert cells[4:6] == ["12.0 kWh", "2.00 kWh (17%)"]
    assert "Pareto front of lr (metric, energy): 0 (0, 500 Wh); 1 (0.100, 600 Wh)" in text
    report.run([place], output_format="json")
    found = json.loads(capsys.readouterr().out)
    (study,) = found["studies"]
    assert study["best"] == "4"
    assert study["trials_by_status"] == {"completed": 5, "failed": 2}
    assert study["pareto"] == ["0", "1", "2", "3", "4"]
    assert study["waste_kwh"] == pytest.approx(2.0)
    assert study["energy_kwh"]["low_95"] < study["energy_kwh"]["value"] == pytest.approx(12.0)
    assert {one["run_id"]: one["study_id"] for one in found["runs"]} == {
        "a": "lr", "b": "lr", "other": None,
    }  # fmt: skip
    report.run([place], output_format="markdown")
    assert "| lr | 5 completed, 2 failed | 4 (0.400) |" in capsys.readouterr().out
    for name in ("csv",):
        report.run([place], output_format=name)
        assert len(capsys.readouterr().out.splitlines()) == 4
    report.run([place], output_format="table", html=place / "page.html")
    assert typer is not None


def test_names_of_others_are_text(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer", reason="the extra cli is not installed here")
    pytest.importorskip("rich", reason="the extra cli is not installed here")
    from carbon_callbacks.cli import report

    odd = "\x1b[31m[bold]x"
    report_ = study_run("a", trial(odd, value=0.5), trial("other", value=0.6, kwh=2.0))
    saved(replace(report_, run=replace(report_.run, study=StudyFacts(odd, has_trials=True))))
    report.run([place], output_format="table")
    report.run([place], output_format="markdown")
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "[bold]x" in text.replace("\n", "")


@pytest.mark.parametrize("kind", ["fifo", "bytes", "huge", "empty", "directory", "zero"])
def test_an_id_of_a_search_that_is_no_text_is_not_used(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "carbon_study_id.txt"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes({"bytes": b"\xff\xfe", "empty": b"", "huge": b"x" * 5_000}[kind])
    found = id_in(str(tmp_path), "search")
    assert found == ("\N{REPLACEMENT CHARACTER}" * 2 if kind == "bytes" else "search")


def test_a_search_that_is_resumed_has_its_id(tmp_path: Path) -> None:
    first = id_in(str(tmp_path), "search")
    assert first.startswith("search-")
    assert id_in(str(tmp_path), "search") == first
