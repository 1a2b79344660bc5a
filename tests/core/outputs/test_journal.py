"""The journal: everything before a cut counts, and a killed run is folded into the results once."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import carbon_core
from carbon_core.errors import OutputError
from carbon_core.methods import NVML_ENERGY
from carbon_core.outputs.journal import SUFFIX, Journal, abandoned, read
from carbon_core.outputs.run_directory import RunDirectory
from carbon_core.records import Device, Energy, Snapshot
from carbon_core.report import Report

MakeReport = Callable[..., Report]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / f"run-1{SUFFIX}"


def written(path: Path, *reports: Report) -> bytes:
    journal = Journal(path, reports[0])
    for report in reports:
        journal.append(report)
    journal.close()
    return path.read_bytes()


def totals(report: Report) -> tuple[float, float, float]:
    return report.energy_kwh.value, report.emissions_kg.value, report.duration_s


def test_what_is_read_equals_what_was_written(path: Path, make_report: MakeReport) -> None:
    report = make_report()
    written(path, report)
    assert replace(read(path), window=report.window) == report
    assert read(path).window.by_device == report.window.by_device
    assert read(path).duration_s == report.duration_s
    assert read(path).energy_kwh == report.energy_kwh
    assert read(path).emissions_kg == report.emissions_kg


def test_the_spread_of_what_was_extrapolated_is_kept_and_absent_in_older_journals(
    path: Path, make_report: MakeReport
) -> None:
    report = make_report()
    known = tuple(energy._replace(extrapolated_sd_j=7.0) for energy in report.window.end.energies)
    window = replace(report.window.end, energies=known) - report.window.start
    lines = written(path, replace(report, window=window)).splitlines()
    assert read(path).window.end.energies == known
    older = [json.loads(line) for line in lines]
    for line in older:
        if "energies" in line:
            line["energies"] = [energy[:3] for energy in line["energies"]]
    path.write_text("".join(json.dumps(line) + "\n" for line in older))
    assert read(path).energy_kwh == report.energy_kwh


def test_the_last_totals_count(path: Path, make_report: MakeReport) -> None:
    written(path, *(make_report(kwh=kwh) for kwh in (1.0, 2.0, 3.0)))
    assert read(path).energy_kwh.value == pytest.approx(4.5)


def test_a_run_that_was_still_running_was_interrupted(path: Path, make_report: MakeReport) -> None:
    written(path, make_report(status="running"))
    assert read(path).status == "interrupted"


def test_a_device_whose_method_has_changed_is_read_with_both(
    path: Path, make_report: MakeReport
) -> None:
    report = make_report()
    end = report.window.end
    better = replace(end.devices[1], method=NVML_ENERGY, kind="counter")
    later = Snapshot(end.t_ns, (*end.devices, better), (*end.energies, Energy(3_600_000.0)))
    written(path, report, replace(report, window=later - Snapshot(0)))
    found = read(path).window.by_device
    assert found == (later - Snapshot(0)).by_device
    assert [device.method for device in found if device.id == better.id] == [
        end.devices[1].method,
        NVML_ENERGY,
    ]


@pytest.mark.parametrize("status", ["completed", "failed", "interrupted", "pruned"])
def test_a_run_that_had_ended_keeps_its_status(
    path: Path, make_report: MakeReport, status: str
) -> None:
    written(path, make_report(status=status))
    assert read(path).status == status


def test_devices_that_came_later_are_known(path: Path, make_report: MakeReport) -> None:
    early = make_report()
    gpu = Device("gpu:late", "gpu", "late", early.window.end.devices[1].method)
    end = early.window.end
    later = Snapshot(end.t_ns, (*end.devices, gpu), (*end.energies, Energy(3_600_000.0)))
    late = replace(early, window=later - Snapshot(0))
    written(path, early, late)
    assert read(path).window.by_device[gpu] == Energy(3_600_000.0)


def test_cut_anywhere_everything_before_the_cut_counts(path: Path, make_report: MakeReport) -> None:
    reports = [make_report(kwh=kwh) for kwh in (1.0, 2.0, 3.0)]
    whole = written(path, *reports)
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    assert len(ends) == 4
    for cut in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        # A line counts once its closing brace is there, with or without its newline.
        complete = sum(end - 1 <= cut for end in ends) - 1
        if complete < 1:
            with pytest.raises(OutputError, match="no valid record"):
                read(path)
        else:
            assert totals(read(path)) == totals(reports[complete - 1])


@pytest.mark.parametrize(
    "junk", [b"\0" * 512, b"\xff\xfe garbage", b"{}", b"[1, 2]", b"null", b"\n"]
)
def test_junk_between_and_after_the_lines_does_not_matter(
    path: Path, make_report: MakeReport, junk: bytes
) -> None:
    lines = written(path, make_report(kwh=1.0), make_report(kwh=2.0)).splitlines()
    path.write_bytes(b"\n".join([lines[0], junk, *lines[1:], junk]))
    assert read(path).energy_kwh.value == pytest.approx(3.0)


@pytest.mark.parametrize("content", [b"", b"junk", b'{"type": "run"}\n{"type": "totals"}\n'])
def test_a_file_without_a_usable_record_is_an_output_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OutputError, match="no valid record"):
        read(path)


def test_a_line_after_a_torn_one_is_whole(path: Path, make_report: MakeReport) -> None:
    """A write that failed half-way must not swallow the next one."""
    journal = Journal(path, make_report(kwh=1.0))
    journal.append(make_report(kwh=1.0))
    with path.open("ab") as file:
        file.write(b'{"type": "totals", "half')
    journal._torn = True
    journal.append(make_report(kwh=2.0))
    journal.close()
    assert read(path).energy_kwh.value == pytest.approx(3.0)


def test_each_record_is_one_line_of_json(path: Path, make_report: MakeReport) -> None:
    report = make_report(project_name='a\nb\u2028c\0d"e\ud800')
    lines = written(path, report).split(b"\n")
    assert [json.loads(line)["type"] for line in lines[:-1]] == ["run", "totals"]
    assert lines[-1] == b""
    # A surrogate can be written to no file.
    assert read(path).run.project_name == 'a\nb\u2028c\0d"e?'


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_journal_is_its_owners_alone(path: Path, make_report: MakeReport) -> None:
    written(path, make_report())
    assert path.stat().st_mode & 0o777 == 0o600


# --- abandoned journals -------------------------------------------------------------------------------


def test_the_journal_of_a_living_run_is_not_abandoned(path: Path, make_report: MakeReport) -> None:
    journal = Journal(path, make_report())
    with abandoned(path.parent) as found:
        assert found == []
    journal.close()


def test_the_journal_of_a_finished_run_is_not_abandoned(
    path: Path, make_report: MakeReport
) -> None:
    written(path, make_report())
    with abandoned(path.parent) as found:
        assert found == []


def directory(place: Path, **more: bool) -> RunDirectory:
    options = {"always_update": False, "keep_journal": True, **more}
    return RunDirectory(place, "emissions.csv", **options)


def rows(place: Path) -> list[dict[str, str]]:
    with (place / "emissions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


KILLED = """
import importlib.util, os, signal, sys
from pathlib import Path
from carbon_core.outputs.run_directory import RunDirectory
spec = importlib.util.spec_from_file_location("reports", sys.argv[2])
reports = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reports)
output = RunDirectory(Path(sys.argv[1]), "emissions.csv", always_update=False, keep_journal=True)
output.open(reports.report_of(sys.argv[3], "running", kwh=0.0))
output.update(reports.report_of(sys.argv[3], "running", kwh=2.0))
if len(sys.argv) > 4:
    output.flush(reports.report_of(sys.argv[3], "running", kwh=1.0))
    output.update(reports.report_of(sys.argv[3], "running", kwh=2.0))
os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_run(place: Path, run_id: str, *more: str) -> None:
    reports = Path(__file__).with_name("conftest.py")
    path = os.pathsep.join([str(Path(carbon_core.__file__).parents[1]), *sys.path])
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(place), str(reports), run_id, *more],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (child.returncode, child.stderr) == (-9, "")


def test_the_next_run_recovers_what_a_killed_one_had_measured(
    tmp_path: Path, make_report: MakeReport
) -> None:
    kill_a_run(tmp_path, "killed-1")
    assert not (tmp_path / "emissions.csv").exists()
    kill_a_run(tmp_path, "killed-2")
    assert [row["run_id"] for row in rows(tmp_path)] == ["killed-1"]
    output = directory(tmp_path)
    output.open(make_report("next", "running"))
    assert [row["run_id"] for row in rows(tmp_path)] == ["killed-1", "killed-2"]
    assert [float(row["energy_consumed"]) for row in rows(tmp_path)] == pytest.approx([3.0, 3.0])
    receipt = json.loads(output.receipt_path("killed-2").read_text(encoding="utf-8"))
    assert receipt["status"] == "interrupted"
    assert receipt["energy_kwh"]["value"] == pytest.approx(3.0)
    output.close(make_report("next"))
    assert [row["run_id"] for row in rows(tmp_path)][2:] == ["next"]


def test_a_killed_run_is_recovered_once(tmp_path: Path, make_report: MakeReport) -> None:
    kill_a_run(tmp_path, "killed")
    for i in range(3):
        output = directory(tmp_path)
        output.open(make_report(f"next-{i}", "running"))
        output.close(make_report(f"next-{i}"))
    assert [row["run_id"] for row in rows(tmp_path)] == ["killed", "next-0", "next-1", "next-2"]


def test_a_killed_run_that_had_saved_a_row_gets_no_second_one(
    tmp_path: Path, make_report: MakeReport
) -> None:
    kill_a_run(tmp_path, "killed", "flushed")
    output = directory(tmp_path)
    output.open(make_report("next", "running"))
    output.close(make_report("next"))
    assert [row["run_id"] for row in rows(tmp_path)] == ["killed", "next"]
    assert float(rows(tmp_path)[0]["energy_consumed"]) == pytest.approx(3.0)


def test_an_unusable_journal_is_left_and_does_not_stop_the_next_run(
    tmp_path: Path, make_report: MakeReport
) -> None:
    kill_a_run(tmp_path, "killed")
    [unusable] = (tmp_path / "carbon_runs").glob(f"*{SUFFIX}")
    unusable.write_bytes(b"junk")
    output = directory(tmp_path)
    output.open(make_report("next", "running"))
    output.close(make_report("next"))
    assert [row["run_id"] for row in rows(tmp_path)] == ["next"]
    assert unusable.read_bytes() == b"junk"


def test_a_run_beside_another_living_one_leaves_it_alone(
    tmp_path: Path, make_report: MakeReport
) -> None:
    one, other = directory(tmp_path), directory(tmp_path)
    one.open(make_report("one", "running"))
    other.open(make_report("other", "running"))
    other.close(make_report("other"))
    assert [row["run_id"] for row in rows(tmp_path)] == ["other"]
    one.close(make_report("one"))
    assert [row["run_id"] for row in rows(tmp_path)] == ["other", "one"]


def test_flushing_and_closing_leave_one_row_with_the_last_totals(
    tmp_path: Path, make_report: MakeReport
) -> None:
    output = directory(tmp_path)
    output.open(make_report("run-1", "running"))
    for kwh in (1.0, 2.0):
        output.flush(make_report("run-1", "running", kwh=kwh))
    output.close(make_report("run-1", kwh=3.0))
    [row] = rows(tmp_path)
    assert float(row["energy_consumed"]) == pytest.approx(4.5)


def test_without_a_journal_the_row_is_still_written(
    tmp_path: Path, make_report: MakeReport
) -> None:
    output = directory(tmp_path, keep_journal=False)
    output.open(make_report("run-1", "running"))
    output.close(make_report("run-1"))
    assert [row["run_id"] for row in rows(tmp_path)] == ["run-1"]
    assert not list((tmp_path / "carbon_runs").glob(f"*{SUFFIX}"))


def test_a_planted_journal_writes_nothing_outside_the_directory(
    tmp_path: Path, make_report: MakeReport
) -> None:
    place = tmp_path / "results"
    runs = place / "carbon_runs"
    runs.mkdir(parents=True)
    planted = runs / f"planted{SUFFIX}"
    written(planted, make_report("../../escaped", "running"))
    Path(f"{planted}.lock").touch()
    output = directory(place)
    output.open(make_report("next", "running"))
    output.close(make_report("next"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["results"]
