"""``carbon-callbacks sacct``: Slurm's energies from a file, from a pipe, and from the command itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core.cli.conftest import Command
from core.outputs.conftest import report_of

from carbon_core.job_environment import JobFacts
from carbon_core.outputs import receipt

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

# 4 kWh of hardware in a run of two hours; Slurm counts 5 kWh in four.
TEXT = """JobID|JobIDRaw|Cluster|State|ElapsedRaw|NNodes|AllocCPUS|ConsumedEnergyRaw
7|7|alps|COMPLETED|14400|1|40|18000000
7.batch|7.batch|alps|COMPLETED|14400|1|40|18000000
9|9|alps|FAILED|10|1|40|0
bad|row
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    runs = tmp_path / "carbon_runs"
    runs.mkdir()
    jobs = {"a": JobFacts("slurm", "7", cluster="alps", node="n1"), "b": None}
    jobs["c"] = JobFacts("slurm", "8; rm -rf", cluster="alps")
    for run_id, job in jobs.items():
        receipt.write(report_of(run_id, job=job), runs / f"{run_id}{receipt.SUFFIX}")
    (tmp_path / "jobs.txt").write_text(TEXT)
    return tmp_path


@pytest.mark.parametrize("source", ["jobs.txt", "-"])
def test_jobs_and_what_has_no_counterpart_are_printed(
    command: Command, results: Path, source: str
) -> None:
    done = command("sacct", ".", "--file", source, stdin=TEXT)
    assert done.returncode == 0
    assert "5.00 kWh" in done.stdout
    assert "4.00 kWh" in done.stdout
    assert " 0.800 " in done.stdout
    lines = done.stdout.splitlines()
    assert "job 7: the runs cover 50 % of the job's time on its nodes" in lines
    assert "jobs without runs (1): 9" in lines
    assert "runs without accounting (1): of job 8; rm -rf" in lines
    assert "runs in no job of Slurm (1): b" in lines
    assert done.stderr.splitlines() == ["row 5: 2 cells instead of 8"]


def test_a_name_with_other_line_breaks_is_one_row(command: Command, results: Path) -> None:
    row = "7|a\x0bb\u2028c\x85d|18000000\r\n"
    (results / "named.txt").write_bytes(f"JobID|JobName|ConsumedEnergyRaw\r\n{row}".encode())
    done = command("sacct", ".", "--file", "named.txt", "--json")
    assert done.stderr == ""
    assert json.loads(done.stdout)["jobs"][0]["energy_j"] == 18_000_000


def test_json_has_figures_in_kwh(command: Command, results: Path) -> None:
    found = json.loads(command("sacct", ".", "--file", "jobs.txt", "--json").stdout)
    (job,) = found["jobs"]
    assert (job["job_id"], job["run_ids"], job["energy_j"]) == ("7", ["a"], 18_000_000)
    assert job["hardware_energy_kwh"]["value"] == pytest.approx(4.0)
    assert job["ratio"]["low_95"] < job["ratio"]["value"] == pytest.approx(0.8)
    assert [one["run_id"] for one in found["runs_without_accounting"]] == ["c"]
    assert found["runs_without_job"] == ["b"]
    assert found["jobs_without_runs"][0]["energy_j"] is None


def test_sacct_itself_is_run_for_the_jobs_of_the_runs(command: Command, results: Path) -> None:
    programs = results / "bin"
    programs.mkdir()
    program = programs / "sacct"
    program.write_text('#!/bin/sh\necho "$@" > called.txt\ncat jobs.txt\n')
    program.chmod(0o755)
    done = command("sacct", ".", PATH=f"{programs}:/usr/bin:/bin")
    assert "0.800" in done.stdout
    called = (results / "called.txt").read_text().split()
    # An id that is no number is from a damaged file, and no argument.
    assert called[0] == "--parsable2"
    assert called[2:] == ["--jobs=7"]
    program.write_text("#!/bin/sh\necho 'one line' >&2\necho 'no \x1b[31mdatabase' >&2\nexit 3\n")
    failed = command("sacct", ".", PATH=f"{programs}:/usr/bin:/bin")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr == "sacct failed: no  [31mdatabase\n"


@pytest.mark.parametrize("job_id", ["9" * 200_000, "99999999999", "4294967296", "0", "²"])
def test_an_id_that_slurm_cannot_have_is_no_argument(
    command: Command, results: Path, job_id: str
) -> None:
    odd = report_of("odd", job=JobFacts("slurm", job_id))
    receipt.write(odd, results / "carbon_runs" / f"odd{receipt.SUFFIX}")
    programs = results / "bin"
    programs.mkdir()
    program = programs / "sacct"
    program.write_text('#!/bin/sh\necho "$@" > called.txt\ncat jobs.txt\n')
    program.chmod(0o755)
    done = command("sacct", ".", PATH=f"{programs}:/usr/bin:/bin")
    assert done.returncode == 0
    assert (results / "called.txt").read_text().split()[2:] == ["--jobs=7"]


@pytest.mark.parametrize("path", [":/usr/bin:/bin", ".:/usr/bin:/bin"])
def test_no_program_of_the_working_directory_is_run(
    command: Command, results: Path, path: str
) -> None:
    program = results / "sacct"
    program.write_text("#!/bin/sh\ntouch called.txt\ncat jobs.txt\n")
    program.chmod(0o755)
    done = command("sacct", ".", PATH=path)
    assert (done.returncode, (results / "called.txt").exists()) == (2, False)
    assert "sacct is not installed here" in done.stderr


def test_without_slurm_the_command_to_use_is_named(command: Command, results: Path) -> None:
    done = command("sacct", ".", PATH=str(results))
    assert done.returncode == 2
    assert "sacct --parsable2 --format=JobID" in done.stderr
    assert "--file" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--file", "absent.txt"), "No such file"),
        (("--file", "."), "not a regular file"),
        (("--file", "carbon_runs/a.receipt.json"), "no header with the column JobID"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    command: Command, results: Path, arguments: tuple[str, ...], text: str
) -> None:
    done = command("sacct", ".", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr


def test_a_directory_without_runs_is_named(command: Command, tmp_path: Path) -> None:
    done = command("sacct", ".", "--file", "-")
    assert (done.returncode, done.stderr) == (2, "no run found in .\n")
