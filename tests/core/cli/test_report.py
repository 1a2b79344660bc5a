"""`carbon-callbacks report` and `compare`, through real processes."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from core.cli.conftest import Command, kept
from core.outputs.conftest import report_of

from carbon_core import methods
from carbon_core.job_environment import JobFacts
from carbon_core.outputs import receipt
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.outputs.journal import Journal, journal_path
from carbon_core.records import Device, Energy, Snapshot
from carbon_core.report import Phase

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

# --- report ---


def unknown(directory: Path, run_id: str) -> None:
    """Make a run one in which nothing was measured."""
    path = directory / "carbon_runs" / f"{run_id}{receipt.SUFFIX}"
    path.write_text(json.dumps({**json.loads(path.read_text()), "is_known": False}))


def test_a_run_of_unknown_energy_is_in_no_total(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    unknown(tmp_path, "digits-1")
    found = json.loads(command("report", "--json").stdout)
    assert found["total"]["energy_kwh"]["value"] == pytest.approx(1.5)
    assert (found["total"]["runs"], found["total"]["runs_unknown"]) == (2, 1)
    values = {run["run_id"]: run["energy_kwh"]["value"] for run in found["runs"]}
    assert values["digits-1"] is None
    text = " ".join(command("report").stdout.split())
    assert "1 of 2 runs have an unknown energy" in text
    done = command("compare", ".", ".")
    assert "1 of 2 runs left out: energy unknown" in done.stderr
    assert done.returncode == 0
    done = command("reprice", f"carbon_runs/digits-1{receipt.SUFFIX}", "--country", "FRA")
    assert (done.returncode, "energy is unknown" in done.stderr) == (2, True)


def test_the_total_of_runs_of_unknown_energy_is_unknown(command: Command, tmp_path: Path) -> None:
    """No command shows 0 for it."""
    kept(tmp_path, 1.0, 2.0)
    for i in range(2):
        unknown(tmp_path, f"digits-{i}")
    found = json.loads(command("report", "--json").stdout)
    for total in (found["total"], found["projects"]["digits"]):
        assert (total["energy_kwh"]["value"], total["emissions_kg"]["high_95"]) == (None, None)
    assert command("report").stdout.count("unknown") == 2 * 4 + 1
    for training in json.loads(command("merge", ".", "--json").stdout):
        assert (training["energy_kwh"], training["emissions_kg"]) == (None, None)
    assert command("merge", ".").stdout.count("unknown") == 2 * (4 + 1)


def test_a_directory_of_runs_that_cannot_be_read_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "carbon_runs").write_text("")
    for name in ("report", "merge"):
        done = command(name, ".")
        assert (done.returncode, "carbon_runs: cannot be read" in done.stderr) == (2, True)


def test_skipped_files_are_named_and_not_without_end(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    for i in range(30):
        (tmp_path / "carbon_runs" / f"odd-{i:02}{receipt.SUFFIX}").write_text("[]")
    for words in (
        ("report",),
        ("merge", "."),
        ("compare", ".", "carbon_runs/digits-0.receipt.json"),
    ):
        done = command(*words)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("is not a receipt of a run: must be an object") == 20
        assert "10 more files skipped" in done.stderr


def test_runs_of_all_kinds_of_files_count_once(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    journal = Journal(journal_path(tmp_path, "killed"), report_of("killed", "running", kwh=4.0))
    journal.append(report_of("killed", "running", kwh=4.0))
    journal.close(saved=False)
    rows = CsvFile(tmp_path / "emissions.csv", tmp_path / "lock")
    for run_id in ("digits-0", "only-a-row"):
        rows.append(emissions_data(report_of(run_id, kwh=1.0)))
    done = command("report", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {run["run_id"] for run in found["runs"]} == {
        "digits-0", "digits-1", "killed", "only-a-row",
    }  # fmt: skip
    assert found["total"]["energy_kwh"]["value"] == pytest.approx((1 + 2 + 4 + 1) * 1.5)
    assert found["total"]["runs"] == 4
    assert found["total"]["energy_kwh"]["low_95"] < found["total"]["energy_kwh"]["value"]


def test_errors_of_different_meters_are_independent_between_runs(
    command: Command, tmp_path: Path
) -> None:
    cpus = [
        Device("cpu:0", "cpu", "A CPU", method)
        for method in (methods.RAPL_AMD, methods.RAPL_AMD, methods.RAPL_CORE)
    ]
    (tmp_path / "carbon_runs").mkdir()
    for i, device in enumerate(cpus):
        window = Snapshot(3600 * 10**9, (device,), (Energy(3.6e6),)) - Snapshot(0)
        report = replace(report_of(f"digits-{i}", pue=1.0), window=window)
        receipt.write(report, tmp_path / "carbon_runs" / f"digits-{i}{receipt.SUFFIX}")
    found = json.loads(command("report", "--json").stdout)["total"]["energy_kwh"]
    assert found["value"] == pytest.approx(3.0)
    same, other = 2 * methods.RAPL_AMD.sigma_ln, methods.RAPL_CORE.sigma_ln
    sigma_ln = math.hypot(same, other) / 3
    assert math.log(found["high_95"] / found["value"]) == pytest.approx(1.96 * sigma_ln, rel=1e-3)


def test_projects_are_added_up_apart_in_every_form(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0, project="small|one")
    kept(tmp_path, 40.0, project="large")
    table = command("report").stdout
    assert "60.0 kWh" in table
    assert "large" in table
    lines = command("report", "--markdown").stdout.splitlines()
    assert lines[2].startswith("| large | 1 | 2 h | 60.0 kWh |")
    assert any(line.startswith("| small\\|one | 2 |") for line in lines)
    rows = list(csv.DictReader(io.StringIO(command("report", "--csv").stdout)))
    assert sum(float(row["energy_kwh"]) for row in rows) == pytest.approx(43 * 1.5)


def test_json_and_csv_have_the_job_of_a_run(command: Command, tmp_path: Path) -> None:
    job = JobFacts("slurm", "125", "123", "4", "0", "gpu-07", "=1+1")
    kept(tmp_path, 1.0)
    path = tmp_path / "carbon_runs" / f"other{receipt.SUFFIX}"
    receipt.write(report_of("other", job=job), path)
    found = {one["run_id"]: one for one in json.loads(command("report", "--json").stdout)["runs"]}
    assert found["digits-0"]["job"] is None
    assert JobFacts(**found["other"]["job"]) == job
    rows = csv.DictReader(io.StringIO(command("report", "--csv").stdout))
    row = {one["run_id"]: one for one in rows}
    assert row["digits-0"]["job_id"] == row["digits-0"]["job_scheduler"] == ""
    assert (row["other"]["job_id"], row["other"]["job_array_index"]) == ("125", "4")
    assert row["other"]["job_cluster"] == "'=1+1"


def test_only_the_latest_are_listed_and_all_are_counted(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, *[1.0] * 30)
    found = json.loads(command("report", "--json", "--latest", "3").stdout)
    assert (len(found["runs"]), found["total"]["runs"]) == (3, 30)


def test_a_row_that_codecarbon_repeated_at_each_flush_counts_once(
    command: Command, tmp_path: Path
) -> None:
    rows = CsvFile(tmp_path / "emissions.csv", tmp_path / "lock")
    for kwh in (1.0, 2.0, 3.0):
        rows.append(emissions_data(report_of("flushed", kwh=kwh)))
    found = json.loads(command("report", "emissions.csv", "--json").stdout)
    assert found["total"]["energy_kwh"]["value"] == pytest.approx(4.5)


def test_rows_of_a_csv_file_are_read_as_csv_has_it(command: Command, tmp_path: Path) -> None:
    """Quoted or not, with commas, quotation marks and line breaks within, and torn at the end."""
    columns = ("run_id", "project_name", "timestamp", "duration", "energy_consumed", "emissions")
    projects = ["plain", 'one, "two"', "two\nlines", "plain again"]
    with (tmp_path / "emissions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(
            [f"run-{i}", name, "2026", 1.0, 1.5, 2.0] for i, name in enumerate(projects)
        )
        file.write("run-4,torn,2026,1.0")
    found = json.loads(command("report", "emissions.csv", "--json").stdout)
    assert {run["project_name"] for run in found["runs"]} == set(projects)
    assert found["total"]["energy_kwh"]["value"] == pytest.approx(4 * 1.5)


def test_a_quotation_mark_that_never_ends_costs_its_own_row_only(
    command: Command, tmp_path: Path
) -> None:
    columns = "run_id,project_name,timestamp,duration,energy_consumed,emissions"
    rows = [f"run-{i},digits,2026,1.0,1.5,2.0" for i in range(100)]
    rows[2] = 'run-2,"digits,2026,1.0,1.5,2.0'
    rows[50] = 'run-50,"di""gits",2026,1.0,1.5,2.0'
    (tmp_path / "emissions.csv").write_text("\n".join([columns, *rows]))
    done = command("report", "emissions.csv", "--json", "--latest", "200")
    assert (done.returncode, done.stderr) == (0, "")
    found = {run["run_id"] for run in json.loads(done.stdout)["runs"]}
    assert found == {f"run-{i}" for i in range(100) if i != 2}


def test_runs_that_tell_no_interval_are_said_to_count_as_exact(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    rows = CsvFile(tmp_path / "emissions.csv", tmp_path / "lock")
    rows.append(emissions_data(report_of("only-a-row", kwh=1.0)))
    assert "1 of 2 runs lack uncertainty (counted as exact)" in command("report").stdout
    assert json.loads(command("report", "--json").stdout)["total"]["runs_without_interval"] == 1
    (tmp_path / "emissions.csv").unlink()
    assert "uncertainty" not in command("report").stdout


def test_files_that_tell_of_no_run_are_named_and_the_others_count(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    newer = tmp_path / "carbon_runs" / f"newer{receipt.SUFFIX}"
    newer.write_text(json.dumps({**receipt.receipt(report_of()), "schema_version": 2}, default=str))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    done = command("report", "--json")
    assert json.loads(done.stdout)["total"]["runs"] == 1
    assert "its schema (2) is newer" in done.stderr
    assert "not an emissions.csv: it has no column run_id" in done.stderr


@pytest.mark.parametrize("path", ["", "absent.json"])
def test_nothing_to_report_is_an_error(path: str, command: Command) -> None:
    done = command("report", *filter(None, [path]))
    assert done.returncode == 2
    assert "no run found" in done.stderr


def test_a_narrow_terminal_without_unicode_or_colours_will_do(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    plain = {"COLUMNS": "40", "NO_COLOR": "1", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = command("report", **plain)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert max(map(len, done.stdout.splitlines())) <= 40


def test_a_width_of_thousands_of_digits_is_none(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    assert command("report", COLUMNS="9" * 5_000).returncode == 0


def test_evaluations_are_added_up_apart(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    evaluation = report_of("evaluation", kwh=0.5, phases_synced=True)
    phases = (Phase("setup", 1.0, 1.0, 1), Phase("evaluate", 1.0, 1.0, 1))
    path = tmp_path / "carbon_runs" / f"evaluation{receipt.SUFFIX}"
    receipt.write(replace(evaluation, phases=phases), path)
    found = json.loads(command("report", "--json").stdout)
    totals = {name: one["energy_kwh"]["value"] for name, one in found["projects"].items()}
    assert totals == {"digits": 1.5, "digits, evaluations": 0.75}
    assert found["total"]["energy_kwh"]["value"] == 2.25
    assert {run["kind"] for run in found["runs"]} == {"training", "evaluation"}
    assert "digits, evaluations" in command("report").stdout


def test_a_part_of_another_run_is_shown_and_counted_there(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 2.0, project="outer")
    kept(tmp_path, 1.0)
    path = tmp_path / "carbon_runs" / f"digits-0{receipt.SUFFIX}"
    data = json.loads(path.read_text())
    data["run"]["within"] = ["outer-0"]
    path.write_text(json.dumps(data))
    text = command("report").stdout
    assert "(1.50 kWh)" in text
    assert "1 + 1" in text
    assert "parts of other runs, counted there only" in text
    found = json.loads(command("report", "--json").stdout)
    assert found["total"]["energy_kwh"]["value"] == 3.0
    assert (found["total"]["runs"], found["total"]["runs_within_others"]) == (1, 1)
    assert {run["run_id"]: run["part_of"] for run in found["runs"]} == {
        "outer-0": None, "digits-0": "outer-0",
    }  # fmt: skip


def test_a_run_that_has_not_ended_is_shown_as_running(command: Command, tmp_path: Path) -> None:
    report = report_of("begun", "running")
    journal = Journal(journal_path(tmp_path, "begun"), report)
    journal.append(report)
    done = command("report")
    assert "interrupted" not in done.stdout
    assert "run begun: running on" in done.stdout
    assert "last heartbeat" in done.stdout
    (run,) = json.loads(command("report", "--json").stdout)["runs"]
    assert run["status"] == "running"
    assert run["heartbeat_at"].endswith("+00:00")
    journal.close(saved=False)
    (run,) = json.loads(command("report", "--json").stdout)["runs"]
    assert (run["status"], run["heartbeat_at"]) == ("interrupted", None)


def test_times_are_local_and_name_their_zone(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    assert "2026-01-01 15:30 IST" in command("report", TZ="Asia/Kolkata").stdout
    row = emissions_data(report_of("only-a-row", kwh=1.0))
    rows = CsvFile(tmp_path / "rows" / "emissions.csv", tmp_path / "lock")
    (tmp_path / "rows").mkdir()
    rows.append(replace(row, timestamp="2026-01-01T20:00:00"))  # of the end, after two hours
    assert "2026-01-01 18:00 IST" in command("report", "rows", TZ="Asia/Kolkata").stdout


# --- compare ---


def change(done: subprocess.CompletedProcess[str]) -> dict[str, float]:
    return json.loads(done.stdout)


def kept_without_gaps(directory: Path, *energies_kwh: float) -> None:
    """Put the receipts of runs in which nothing was extrapolated into a directory."""
    for path in (kept(directory, *energies_kwh) / "carbon_runs").iterdir():
        found = json.loads(path.read_text(encoding="utf-8"))
        for device in found["devices"]:
            device["measured_j"] += device["extrapolated_j"]
            device["extrapolated_j"] = device["extrapolated_sd_j"] = device["missing_s"] = 0.0
        path.write_text(json.dumps(found), encoding="utf-8")


def test_runs_of_the_same_meters_differ_by_little_more_than_they_do(
    command: Command, tmp_path: Path
) -> None:
    kept_without_gaps(tmp_path / "a", 10.0)
    kept_without_gaps(tmp_path / "b", 11.0)
    found = change(command("compare", "a", "b", "--json"))
    assert found["change"] == pytest.approx(0.1)
    assert 0.09 < found["low"] < 0.1 < found["high"] < 0.11
    assert (found["same_meters"], found["spread_known"]) == (True, False)
    line = command("compare", "a", "b").stdout
    assert line == (
        "energy: 15.0 kWh (n = 1) -> 16.5 kWh (n = 1): ratio 1.10, +10.0 %; "
        "too few runs for a 95 % interval: at least 3 per side\n"
    )


def test_runs_of_other_meters_have_the_errors_of_both(command: Command, tmp_path: Path) -> None:
    kept(tmp_path / "a", 10.0)
    other = report_of("b", kwh=11.0)
    other = replace(other, host=replace(other.host, cpu_model="another"))
    receipt.write(other, tmp_path / f"b{receipt.SUFFIX}")
    found = change(command("compare", "a", f"b{receipt.SUFFIX}", "--json"))
    assert found["low"] < 0 < found["high"]
    assert found["same_meters"] is False


def test_several_runs_tell_how_much_they_differ_by_themselves(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path / "a", 9.0, 10.0, 11.0)
    kept(tmp_path / "b", 10.0, 11.0, 12.0)
    wide = change(command("compare", "a", "b", "--json"))
    assert wide["spread_known"] is True
    assert wide["low"] < 0 < wide["change"]
    kept_without_gaps(tmp_path / "c", *[10.0] * 8)
    kept_without_gaps(tmp_path / "d", *[11.0] * 7, 11.01)
    assert change(command("compare", "c", "d", "--json"))["low"] > 0.09


def test_a_clear_change_has_its_interval_and_the_number_of_runs(
    command: Command, tmp_path: Path
) -> None:
    kept_without_gaps(tmp_path / "a", 10.0, 10.1, 9.9)
    kept_without_gaps(tmp_path / "b", 20.0, 20.1, 19.9, 20.05)
    line = command("compare", "a", "b").stdout
    start = "energy: 15.0 kWh (n = 3) -> 30.0 kWh (n = 4): ratio 2.00 (95 %: 1.9"
    assert line.startswith(start), line
    assert line.endswith("), +100.1 %\n")


@pytest.mark.parametrize(
    ("a", "b", "note"),
    [
        ((1.0, 40.0), (2.0, 90.0), "too few runs for a useful 95 % interval: about "),
        ((9.0, 10.0, 11.0), (10.0, 11.0, 12.0), "no clear change; about "),
        ((9.0, 10.0, 11.0), (9.0, 10.0, 11.0), " runs per side would show one of 2 %"),
    ],
)
def test_too_few_runs_name_the_number_that_is_needed(
    a: tuple[float, ...], b: tuple[float, ...], note: str, command: Command, tmp_path: Path
) -> None:
    kept_without_gaps(tmp_path / "a", *a)
    kept_without_gaps(tmp_path / "b", *b)
    line = command("compare", "a", "b").stdout
    assert note in line
    assert ("95 %:" in line) == ("no clear change" in line)
    assert all(len(word) < 10 for word in re.findall(r"[\d.,]+", line))
    found = json.loads(command("compare", "a", "b", "--json").stdout)
    assert (found["n_a"], found["n_b"]) == (len(a), len(b))
    assert found["runs_needed"] > len(a)


def test_errors_of_meters_need_no_more_runs(command: Command, tmp_path: Path) -> None:
    kept_without_gaps(tmp_path / "a", 10.0, 10.1, 9.9)
    kept_without_gaps(tmp_path / "b", 11.0, 11.1, 10.9)
    for path in (tmp_path / "b" / "carbon_runs").iterdir():
        data = json.loads(path.read_text())
        data["host"]["cpu_model"] = "another"
        path.write_text(json.dumps(data))
    line = command("compare", "a", "b").stdout
    assert "ratio 1.10 (95 %: 0." in line
    assert "more runs would not help" in line
    assert "too few" not in line
    assert change(command("compare", "a", "b", "--json"))["runs_needed"] is None


def test_errors_of_meters_are_no_errors_of_a_duration(command: Command, tmp_path: Path) -> None:
    for name, seconds, cpu in (("a", 100.0, "one"), ("b", 110.0, "another")):
        kept(tmp_path / name, 10.0, 11.0, 12.0)
        for i, path in enumerate(sorted((tmp_path / name / "carbon_runs").iterdir())):
            data = json.loads(path.read_text())
            data["host"]["cpu_model"] = cpu
            data["duration_s"] = seconds + i / 10
            path.write_text(json.dumps(data))
    line = command("compare", "a", "b", "--figure", "duration").stdout
    start = "duration: 1 min 40 s (n = 3) -> 1 min 50 s (n = 3): ratio 1.10 (95 %: 1.10 to 1.10)"
    assert line == f"{start}, +10.0 %\n"


def test_runs_that_would_show_a_small_change_need_no_others(
    command: Command, tmp_path: Path
) -> None:
    kept_without_gaps(tmp_path / "a", 10.0, 10.02, 9.98)
    kept_without_gaps(tmp_path / "b", 10.01, 10.02, 9.98)
    line = command("compare", "a", "b").stdout
    assert line.endswith("; no clear change; these runs would show one of 2 %\n")
    assert change(command("compare", "a", "b", "--json"))["runs_needed"] is None


def test_trainings_are_compared_with_trainings(command: Command, tmp_path: Path) -> None:
    for name, kwh in (("a", 10.0), ("b", 11.0)):
        kept_without_gaps(tmp_path / name, kwh)
        runs = tmp_path / name / "carbon_runs"
        evaluation = report_of("evaluation", kwh=kwh / 100, phases_synced=True)
        phases = (Phase("setup", 1.0, 1.0, 1), Phase("evaluate", 1.0, 1.0, 1))
        path = runs / f"evaluation{receipt.SUFFIX}"
        receipt.write(replace(evaluation, phases=phases), path)
    # The second one has a run of a command around its training, too.
    outer = replace(report_of("outer", kwh=30.0), phases=(Phase("run", 1.0, 1.0, 1),))
    receipt.write(outer, tmp_path / "b" / "carbon_runs" / f"outer{receipt.SUFFIX}")
    done = command("compare", "a", "b", "--json")
    assert "a: 1 of 2 runs left out: evaluations (see --evaluations)" in done.stderr
    assert change(done)["change"] == pytest.approx(0.1)
    found = change(command("compare", "a", "b", "--evaluations", "--json"))
    assert (found["n_a"], found["change"]) == (1, pytest.approx(0.1))
    done = command("compare", "a", f"b/carbon_runs/evaluation{receipt.SUFFIX}")
    assert (done.returncode, "has only evaluations" in done.stderr) == (2, True)


@pytest.mark.parametrize(("allowed", "code"), [("5", 1), ("15", 0)])
def test_too_much_more_fails_a_build(
    allowed: str, code: int, command: Command, tmp_path: Path
) -> None:
    kept(tmp_path / "a", 10.0)
    kept(tmp_path / "b", 11.0)
    done = command("compare", "a", "b", "--max-increase", allowed)
    assert done.returncode == code, done.stderr
    assert ("above the limit of 5 %" in done.stdout) is bool(code)


def test_nothing_to_compare_is_an_error(command: Command, tmp_path: Path) -> None:
    kept(tmp_path / "a", 1.0)
    (tmp_path / "empty").mkdir()
    done = command("compare", "a", "empty")
    assert (done.returncode, "no run found in empty" in done.stderr) == (2, True)
