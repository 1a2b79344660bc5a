"""A place and a machine for studies, and processes that measure a simulated machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carbon_callbacks.testing import check_nothing_outlives_a_test, empty_place, fake_machine
from carbon_callbacks.testing.machine import Machine
from carbon_core.hardware import study_shares

# Every process of this machine reads one counter of 100 W: the monotonic time is the same for all.
PRELUDE = """
import os, sys, time
from dataclasses import replace
from carbon_core.assemble import trackers
from carbon_core.clock import SystemClock
from carbon_core.hardware import study_shares
from carbon_core.hardware.base import Detection
from carbon_core.records import COMPONENTS
from carbon_core.testing import FakeMeter
from pathlib import Path

study_shares._directory = lambda: Path("shared")
real = trackers.make_parts

def make_parts(settings, run_id, environ, **more):
    parts = real(settings, run_id, environ, **more)
    meter = FakeMeter(SystemClock(), lambda t_s: 100.0 * t_s, period_s=0.1)
    study = parts.facts.study

    def detect():
        if study is None:
            return Detection((meter,))
        found = [meter], study.study_id, COMPONENTS, time.monotonic_ns()
        return Detection(tuple(study_shares.shared_in_study(*found)))

    return replace(parts, detect=detect)

trackers.make_parts = make_parts
settings = {
    "country_iso_code": "FRA", "measure_power_secs": 0.1, "log_level": "error", "output_dir": "out",
}

def wait_for(path):
    while not Path(path).exists():
        time.sleep(0.005)

def note(path, text=""):
    Path(path).write_text(str(text))

def span(tracker):
    window = tracker.final_report.window
    return f"{window.start.t_ns / 1e9} {window.end.t_ns / 1e9}"
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; the processes of a study meet within it."""
    work = empty_place(tmp_path, monkeypatch)
    shared = work / "shared"
    shared.mkdir(mode=0o700)
    monkeypatch.setattr(study_shares, "_directory", lambda: shared)
    study_shares._memberships.clear()
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "WANDB_SWEEP_ID", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return work


@pytest.fixture(autouse=True)
def nothing_outlives_a_test() -> Iterator[None]:
    """No thread of ours is left."""
    yield from check_nothing_outlives_a_test()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that draws 100 W by a grade-A counter, under a clock that the test turns."""
    return fake_machine(monkeypatch)


@pytest.fixture
def start(place: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a process that measures the simulated machine of all of them."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code],
            env=environ,
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
