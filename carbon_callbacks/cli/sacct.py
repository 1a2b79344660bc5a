"""``carbon-callbacks sacct``: Slurm's energy of jobs beside that of the runs within them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from carbon_callbacks.cli.skipped import print_skipped
from carbon_callbacks.cli.tables import Column, show
from carbon_callbacks.cli.terminal import PlainConsole, say_wrapped, warn, write_data
from carbon_core.accounting import slurm_text
from carbon_core.accounting.job_energy import SCHEDULER, JobEnergy, Joined, join
from carbon_core.accounting.slurm_text import AccountedJob, Accounting
from carbon_core.errors import OutputError
from carbon_core.formatting import UNKNOWN, duration, energy, energy_interval, formatted
from carbon_core.input_files import InputFileError, bytes_of
from carbon_core.outputs.history import PastRun, Skipped, read
from carbon_core.outputs.receipt import estimate_data
from carbon_core.record import asdict

STANDARD_INPUT = "-"
# A job with three steps has 300 bytes.
_MOST_BYTES = 2**28
_JOBS_AT_ONCE = 500
_PATIENCE_S = 120.0
_MOST_NAMED, _MOST_REASONS = 5, 20
_COLUMNS = (
    Column("job", folds=True),
    Column("state", wraps=True, dropped=2),
    Column("time", dropped=3),
    Column("runs", dropped=4),
    Column("covered", dropped=1),
    Column("Slurm"),
    Column("runs (95 %)"),
    Column("ratio"),
)


def run(directory: Path, *, file: Path | None, as_json: bool) -> None:
    """Print jobs with both energies; exit with 2 if there is nothing to compare.

    Args:
        directory: A directory of results.
        file: Output of `sacct`, or `STANDARD_INPUT`; None to run `sacct` for the jobs of the runs.
        as_json: Print JSON instead of a table.
    """
    found = list(read([directory]))
    print_skipped([one for one in found if isinstance(one, Skipped)])
    runs = [one for one in found if isinstance(one, PastRun)]
    if not runs:
        warn(f"no run found in {directory}")
        raise typer.Exit(2)
    try:
        accounting = slurm_text.read(_from_command(runs) if file is None else _from_file(file))
    except OutputError as error:
        warn(error)
        raise typer.Exit(2) from error
    for problem in accounting.problems:
        warn(problem)
    joined = join(accounting.jobs, runs)
    if as_json:
        write_data(json.dumps(_data(joined, accounting), indent=2))
        return
    if joined.jobs:
        show(PlainConsole(), _COLUMNS, map(_cells, joined.jobs), title="Jobs")
    for note in (*_reasons(joined.jobs), *_left_out(joined)):
        say_wrapped(note)


def _from_file(path: Path) -> list[str]:
    if str(path) == STANDARD_INPUT:
        data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise OutputError(f"standard input has more than {_MOST_BYTES / 2**20:g} MiB")
    else:
        try:
            data = bytes_of(path, _MOST_BYTES)
        except OSError as error:
            raise InputFileError(path, error) from error
    return _lines(data)


def _from_command(runs: Iterable[PastRun]) -> list[str]:
    """Return what `sacct` prints about the jobs of runs."""
    jobs = (one.job for one in runs if one.job is not None and one.job.scheduler == SCHEDULER)
    # From files: nothing else is an argument of a program.
    ids = sorted({job.job_id for job in jobs if job.job_id.isascii() and job.job_id.isdecimal()})
    if not ids:
        raise OutputError("no run belongs to a job of Slurm")
    program = shutil.which("sacct")
    if program is None:
        raise OutputError(
            f"sacct is not installed here: run {slurm_text.COMMAND} on the cluster, and use --file"
        )
    lines: list[str] = []
    for begin in range(0, len(ids), _JOBS_AT_ONCE):
        jobs_option = f"--jobs={','.join(ids[begin : begin + _JOBS_AT_ONCE])}"
        printed = _printed([program, *slurm_text.COMMAND.split()[1:], jobs_option])
        lines += printed[1:] if lines else printed
    return lines


def _printed(command: list[str]) -> list[str]:
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, and numbers
            command, capture_output=True, timeout=_PATIENCE_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OutputError(f"sacct failed: {error}") from error
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise OutputError(f"sacct failed: {reason[-1] if reason else done.returncode}")
    return _lines(done.stdout)


def _lines(data: bytes) -> list[str]:
    """Return the rows of `sacct`: names in them may contain other line breaks than that of a row."""
    return data.decode("utf-8-sig", "replace").rstrip("\n").split("\n")


def _cells(found: JobEnergy) -> tuple[str, ...]:
    covered = found.covered
    return (
        found.job.job_id,
        found.job.state or UNKNOWN,
        duration(found.job.elapsed_s),
        f"{len(found.runs):,}",
        UNKNOWN if covered is None else f"{covered * 100:.0f} %",
        energy(found.accounted_kwh),
        energy_interval(found.energy_kwh) if found.energy_kwh else UNKNOWN,
        formatted(found.ratio.value if found.ratio else None),
    )


def _reasons(jobs: Sequence[JobEnergy]) -> Iterator[str]:
    """Yield each reason once, with the jobs that it applies to."""
    by_reason: dict[str, list[str]] = {}
    for found in jobs:
        for reason in found.reasons:
            by_reason.setdefault(reason, []).append(found.job.job_id)
        if found.node_ratio is not None:
            note = (
                f"with power supply, fans and mainboard the nodes are estimated at "
                f"{energy(found.node_kwh)}: ratio {formatted(found.node_ratio)}"
            )
            by_reason.setdefault(note, []).append(found.job.job_id)
    for reason, ids in list(by_reason.items())[:_MOST_REASONS]:
        whose = "all jobs" if len(ids) == len(jobs) > 1 else f"job {_named(ids)}"
        yield f"{whose}: {reason}"
    if (more := len(by_reason) - _MOST_REASONS) > 0:
        yield f"{more:,} more reasons (--json)"


def _left_out(joined: Joined) -> Iterator[str]:
    if joined.without_runs:
        ids = [job.job_id for job in joined.without_runs]
        yield f"jobs without runs ({len(ids):,}): {_named(ids)}"
    if runs := joined.without_accounting:
        ids = sorted({run.job.job_id for run in runs if run.job})
        yield f"runs without accounting ({len(runs):,}): of job {_named(ids)}"
    if runs := joined.without_job:
        yield f"runs in no job of Slurm ({len(runs):,}): {_named([run.run_id for run in runs])}"


def _named(ids: Sequence[str]) -> str:
    more = len(ids) - _MOST_NAMED
    shown = ", ".join(one or "without id" for one in ids[:_MOST_NAMED])
    return f"{shown} and {more:,} more" if more > 0 else shown


def _data(joined: Joined, accounting: Accounting) -> dict[str, Any]:
    return {
        "jobs": [_job_data(found) for found in joined.jobs],
        "jobs_without_runs": [_accounted_data(job) for job in joined.without_runs],
        "runs_without_accounting": [
            {"run_id": run.run_id, "job": asdict(run.job) if run.job else None}
            for run in joined.without_accounting
        ],
        "runs_without_job": [run.run_id for run in joined.without_job],
        "problems": list(accounting.problems),
    }


def _job_data(found: JobEnergy) -> dict[str, Any]:
    return {
        **_accounted_data(found.job),
        "run_ids": [run.run_id for run in found.runs],
        "covered": found.covered,
        "hardware_energy_kwh": estimate_data(found.energy_kwh) if found.energy_kwh else None,
        "components_kwh": found.components_kwh,
        "node_energy_kwh": found.node_kwh,
        "ratio": estimate_data(found.ratio) if found.ratio else None,
        "node_ratio": found.node_ratio,
        "reasons": list(found.reasons),
    }


def _accounted_data(job: AccountedJob) -> dict[str, Any]:
    return asdict(job)
