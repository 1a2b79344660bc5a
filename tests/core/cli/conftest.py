"""The command, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from core.outputs.conftest import report_of

from carbon_core.outputs import receipt

Command = Callable[..., "subprocess.CompletedProcess[str]"]


PROGRAM = "import sys; from carbon_callbacks.cli import main; sys.exit(main())"


@pytest.fixture
def command(tmp_path: Path) -> Command:
    def run(
        *arguments: str, code: str = PROGRAM, stdin: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if "CODECARBON" not in key}
        environment |= {"HOME": str(tmp_path), "COLUMNS": "200", "TERM": "dumb"}
        environment |= {"PYTHONPATH": os.pathsep.join(sys.path), **variables}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def kept(directory: Path, *energies_kwh: float, project: str = "digits") -> Path:
    """Put the receipts of runs into a directory."""
    runs = directory / "carbon_runs"
    runs.mkdir(parents=True, exist_ok=True)
    for i, kwh in enumerate(energies_kwh):
        run_id = f"{project}-{i}".replace("|", "-")
        report = report_of(run_id, kwh=kwh, project_name=project)
        receipt.write(report, runs / f"{run_id}{receipt.SUFFIX}")
    return directory
