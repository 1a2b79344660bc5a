"""`carbon-callbacks export`, and `report` of what it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core.cli.conftest import Command, kept
from core.outputs.conftest import report_of

from carbon_core.job_environment import JobFacts
from carbon_core.outputs import receipt

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("pyarrow", reason="the extra fleet is not installed here")
ODD = 'a|b "c" \\ d_e & f\ng'


def test_new_and_changed_runs_are_counted(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    done = command("export", ".", "--parquet", "out")
    assert done.stdout == "out: 2 new runs, 0 changed, 2 in total\n"
    kept(tmp_path, 1.0, 3.0, 4.0)
    done = command("export", ".", "--parquet", "out", "--sql")
    assert done.stdout == "out: 1 new run, 2 changed, 3 in total\n"
    assert f"'{tmp_path}/out/runs/*/*.parquet'" in (tmp_path / "out" / "views.sql").read_text()


def test_a_damaged_receipt_is_one_line_on_the_error_stream(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    (tmp_path / "carbon_runs" / f"bad{receipt.SUFFIX}").write_text("{")
    done = command("export", ".", "--jsonl", "out")
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert f"bad{receipt.SUFFIX}: is not a receipt of a run" in done.stderr


def test_without_runs_or_with_two_formats_nothing_is_written(
    command: Command, tmp_path: Path
) -> None:
    assert command("export", ".", "--csv", "out").returncode == 2
    assert command("export", ".", "--csv", "a", "--parquet", "b").returncode == 2
    assert command("export", ".").returncode == 2
    kept(tmp_path, 1.0)
    assert command("export", ".", "--csv", "out").returncode == 0
    done = command("export", ".", "--parquet", "out")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "another format" in done.stderr


def test_without_its_package_parquet_names_the_extra_and_the_others_work(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    code = "import sys; sys.modules['pyarrow'] = None; "
    code += "from carbon_callbacks.cli import main; sys.exit(main())"
    done = command("export", ".", "--parquet", "out", code=code)
    assert done.returncode == 1
    assert "carbon-callbacks[fleet]" in done.stderr
    assert command("export", ".", "--csv", "rows", code=code).returncode == 0


def test_the_sql_is_printed_without_a_target(command: Command) -> None:
    done = command("export", "--sql")
    assert done.stdout.count("CREATE OR REPLACE VIEW") > 11
    assert "read_parquet('fleet/runs/*/*.parquet'" in done.stdout


def test_a_report_of_an_export_is_that_of_its_receipts(command: Command, tmp_path: Path) -> None:
    source = kept(tmp_path / "in", 1.0, 2.0)
    for run_id, within in (("outer", ()), ("inner", ("outer",))):
        report = report_of(run_id, kwh=0.5, within=within, project_name=ODD)
        receipt.write(report, source / "carbon_runs" / f"{run_id}{receipt.SUFFIX}")
    (source / "emissions.csv").write_text(
        "timestamp,project_name,run_id,duration,emissions,energy_consumed\n"
        "2024-03-01T12:00:00,old,5f9b,60.0,0.5,1.5\n"
        "2024-03-02T12:00:00,old,,60.0,,\n"
    )
    assert command("export", "in", "--parquet", "out").returncode == 0
    of_receipts, of_export, of_both = (
        json.loads(command("report", *paths, "--json").stdout)
        for paths in (("in",), ("out",), ("in", "out"))
    )
    assert of_receipts["total"]["runs"] == 5
    assert of_receipts["total"]["runs_within_others"] == 1
    for one in (of_export, of_both):
        assert flat(one["total"]) == pytest.approx(flat(of_receipts["total"]))
        assert set(one["projects"]) == set(of_receipts["projects"])
        for name, total in one["projects"].items():
            assert flat(total) == pytest.approx(flat(of_receipts["projects"][name]))
        assert len(one["runs"]) == 6


def test_a_report_of_an_export_has_the_jobs_of_the_runs(command: Command, tmp_path: Path) -> None:
    job = JobFacts("slurm", "11", "9", "2", "batch", "node", "alps", "space", "ada")
    for run_id, of_run in (("1", job), ("2", JobFacts("kubernetes")), ("3", None)):
        report = report_of(run_id, job=of_run)
        path = tmp_path / "in" / "carbon_runs" / f"{run_id}{receipt.SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        receipt.write(report, path)
    assert command("export", "in", "--parquet", "out").returncode == 0
    of_receipts, of_export = (
        {one["run_id"]: one["job"] for one in json.loads(printed)["runs"]}
        for printed in (command("report", path, "--json").stdout for path in ("in", "out"))
    )
    assert of_export == of_receipts
    assert of_export["1"]["array_id"] == "9"
    assert of_export["3"] is None


def flat(total: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a total, those of an interval as well."""
    ends = {
        f"{name} {end}": figure
        for name in ("energy_kwh", "emissions_kg")
        for end, figure in total[name].items()
    }
    counts = {name: figure for name, figure in total.items() if not isinstance(figure, dict)}
    return {**counts, **ends}
