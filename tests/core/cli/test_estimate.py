"""``carbon-callbacks estimate``, as a user runs it, on files of past runs and on FLOPs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from core.cli.conftest import Command
from core.outputs.conftest import report_of

from carbon_core.outputs import receipt
from carbon_core.record import replace
from carbon_core.report import Phase
from carbon_core.run_facts import Work

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

FLOPS = [
    "--flops",
    "1e18",
    "--peak-tflops",
    "100",
    "--utilization",
    "0.3-0.5",
    "--power",
    "300-400",
]


def kept(directory: Path, *energies_kwh: float, project: str = "codecarbon") -> Path:
    """Put the receipts of trainings of 1000 steps into a directory; return the last one's path."""
    runs = directory / "carbon_runs"
    runs.mkdir(exist_ok=True)
    path = runs
    for i, kwh in enumerate(energies_kwh):
        report = report_of(f"run-{i}", kwh=kwh, project_name=project, pue=1.0)
        whole = Phase("train", report.duration_s, report.window.joules, 1)
        path = runs / f"run-{i}{receipt.SUFFIX}"
        receipt.write(replace(report, phases=(whole,), work=Work(1000.0, 32_000.0)), path)
    return path


def test_past_runs_of_another_machine_are_named_and_used_only_on_request(
    tmp_path: Path, command: Command
) -> None:
    kept(tmp_path, 4.0, 4.2)
    refused = command("estimate", "--json")
    assert refused.returncode == 2
    assert "--any-machine" in refused.stderr
    found = command("estimate", "--any-machine", "--train-steps", "2000", "--json")
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert data["basis"] == "2 past trainings"
    assert data["energy_kwh"]["value"] == pytest.approx(8.2, rel=0.01)
    assert data["energy_kwh"]["low_95"] < 8.2 < data["energy_kwh"]["high_95"]
    assert data["per"] == "step"
    assert {"France", "Poland", "world"} & {one["place"] for one in data["elsewhere"]}


def test_this_machine_is_recognised(tmp_path: Path, command: Command) -> None:
    done = command("run", "--set", "tracking_mode=machine", "--", sys.executable, "-c", "pass")
    assert done.returncode == 0
    found = command("estimate", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["basis"] == "1 past training"


def test_other_projects_do_not_count_and_broken_files_are_named(
    tmp_path: Path, command: Command
) -> None:
    kept(tmp_path, 4.0, project="other")
    broken = tmp_path / "carbon_runs" / f"broken{receipt.SUFFIX}"
    broken.write_text("{")
    found = command("estimate", "--any-machine")
    assert found.returncode == 2
    assert "no completed training of project codecarbon" in found.stderr
    assert "broken" in found.stderr
    assert command("estimate", "--any-machine", "--set", "project_name=other").returncode == 0


def test_a_unit_that_was_not_counted_is_named(tmp_path: Path, command: Command) -> None:
    kept(tmp_path, 4.0)
    found = command("estimate", "--any-machine", "--tokens", "1000")
    assert (found.returncode, "tokens" in found.stderr) == (2, True)


def test_two_units_are_refused(tmp_path: Path, command: Command) -> None:
    kept(tmp_path, 4.0)
    found = command("estimate", "--any-machine", "--tokens", "1000", "--samples", "10")
    assert (found.returncode, "one of" in found.stderr) == (2, True)


def test_an_old_receipt_without_work_is_read(tmp_path: Path, command: Command) -> None:
    path = kept(tmp_path, 4.0)
    data = json.loads(path.read_text())
    del data["work"]
    path.write_text(json.dumps(data))
    found = command("estimate", "--any-machine", "--json")
    assert json.loads(found.stdout)["energy_kwh"]["value"] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("budget_kwh", "status", "state"),
    [(100.0, 0, "holds"), (2.5, 3, "uncertain"), (1.0, 1, "exceeded")],
)
def test_the_exit_status_is_that_of_the_budget(
    budget_kwh: float, status: int, state: str, command: Command
) -> None:
    found = command("estimate", *FLOPS, "--set", f"budget_kwh={budget_kwh}")
    assert found.returncode == status, found.stderr
    assert state in found.stdout


def test_flops_give_energy_by_place(command: Command) -> None:
    found = command("estimate", *FLOPS, "--country", "Poland", "--country", "FR", "--json")
    data = json.loads(found.stdout)
    assert data["energy_kwh"]["value"] == pytest.approx(2.484, rel=0.01)
    assert [one["place"] for one in data["elsewhere"]] == ["France", "Poland"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (FLOPS[:4], "--utilization"),
        ([*FLOPS[:5], "0.5-0.3", *FLOPS[6:]], "LOW-HIGH"),
        ([*FLOPS[:5], "30-50", *FLOPS[6:]], "at most 1"),
        ([*FLOPS[:5], "half", *FLOPS[6:]], "LOW-HIGH"),
        ([*FLOPS[:7], "nan-nan"], "LOW-HIGH"),
        ([*FLOPS[:3], "inf", *FLOPS[4:]], "finite"),
        (["--flops", "inf", *FLOPS[2:]], "finite"),
        ([*FLOPS, "--country", "Atlantis"], "Atlantis"),
        ([*FLOPS, "--set", "budget_kwh"], "key=value"),
        ([*FLOPS, "--set", "budget_kwh=much"], "budget_kwh"),
        ([*FLOPS, "--", "true"], "either"),
        (["--", "no-such-program-here"], "no such command"),
    ],
)
def test_bad_input_is_one_line_and_exits_with_a_status(
    arguments: list[str], reason: str, command: Command
) -> None:
    found = command("estimate", *arguments)
    assert found.returncode in (2, 127)
    assert reason in found.stderr
    assert "Traceback" not in found.stderr


def test_hourly_intensities_show_the_hours_of_the_day(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "grid.csv"
    rows = [f"2026-03-0{day}T{hour:02}:00Z,{100 + hour}" for day in (1, 2, 3) for hour in range(24)]
    file.write_text("\n".join(["datetime,g_per_kwh", *rows]))
    found = command("estimate", *FLOPS, "--intensity", str(file))
    assert "lowest at 00:00" in found.stdout
    file.write_text("datetime,g\n")
    broken = command("estimate", *FLOPS, "--intensity", str(file))
    assert (broken.returncode, "g_per_kwh" in broken.stderr) == (2, True)


@pytest.mark.slow
def test_a_program_without_a_training_is_named_with_its_status(command: Command) -> None:
    found = command(
        "estimate", "--", sys.executable, "-c", "import sys; print('hello'); sys.exit(5)"
    )
    assert found.returncode == 2
    assert "status 5" in found.stderr
    assert "hello" in found.stderr  # its output does not mix with the result
    assert found.stdout == ""
