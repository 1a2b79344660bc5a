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


@pytest.fixture
def command(tmp_path: Path) -> Command:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "HOME": str(tmp_path / "home"),
            "PATH": os.environ["PATH"],
            "COLUMNS": "120",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **variables,
        }
        program = "from carbon_callbacks.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            env=environment,
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
        report = report_of(f"{project}-{i}", kwh=kwh, project_name=project)
        receipt.write(report, runs / f"{project}-{i}{receipt.SUFFIX}")
    return directory
