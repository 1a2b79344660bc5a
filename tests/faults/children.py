"""Jobs as real child processes, judged from outside: exit status, wall time, streams, files.

Every job measures made-up memory of 3,600 W priced at 1,000 g/kWh, so that a second of run is a
watt-hour and a gram, and what a row holds can be checked against the time the job took.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
KWH_PER_S = 0.001
INTERVAL_S = 0.1
# A loaded machine may be late by this much before a test calls it a fault.
SLACK_S = 0.4

PRELUDE = f"""
import os, signal, sys, threading, time
from carbon_callbacks import EmissionsTracker, track_emissions

# A shell starts its background jobs, and so perhaps this test session, with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def tracker(**settings):
    known = dict(
        force_cpu_power=1e-6, force_ram_power=3600, force_carbon_intensity_g_co2e_kwh=1000,
        measure_power_secs={INTERVAL_S}, output_dir="out",
    )
    return EmissionsTracker(**{{**known, **settings}})

def known(t):
    # On a busy machine, the search for meters takes a while.
    began = time.monotonic()
    while not t.report().energy_kwh.value and time.monotonic() - began < 10:
        time.sleep(0.01)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def descriptors():
    found = {{}}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/self/fd/{{fd}}")
        except OSError:
            pass  # the listing's own
    return found
"""


class Ended:
    """What a job left behind."""

    def __init__(self, status: int, out: str, err: str, wall_s: float) -> None:
        self.status = status
        self.out = out
        self.err = err
        self.wall_s = wall_s

    @property
    def own_lines(self) -> list[str]:
        """Lines on standard error that are ours."""
        return [line for line in self.err.splitlines() if line.startswith("carbon-callbacks:")]


class Job:
    """A child process that runs a script in a directory of its own."""

    def __init__(
        self, directory: Path, script: str, *flags: str, prelude: str = PRELUDE, **environ: str
    ) -> None:
        source = directory / f"job_{time.monotonic_ns()}.py"
        source.write_text(prelude + textwrap.dedent(script))
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *flags, str(source)],
            cwd=directory,
            env=clean_environment(directory, environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, word: str, timeout_s: float = 20.0) -> None:
        """Read the job's output until it says a word of its own on a line."""
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), True)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            line = self.process.stdout.readline()
            if line.strip() == word:
                return
            if not line:
                break
        raise AssertionError(f"the job never said {word!r}: {self.end().err}")

    def signal(self, number: int) -> None:
        """Send a signal to this job alone."""
        os.kill(self.process.pid, number)

    def end(self, timeout_s: float = 30.0) -> Ended:
        """Wait for the job, killing it when it hangs."""
        try:
            out, err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"the job hung for {timeout_s} s: {out}{err}") from None
        return Ended(self.process.returncode, out, err, time.monotonic() - self.begun)

    def kill(self) -> None:
        """End the job if it still runs."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)


def clean_environment(directory: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return variables that depend on nothing of the machine the tests run on."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        "PYTHONPATH": os.pathsep.join(map(str, (PROJECT, PROJECT / "core"))),
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


def rows(directory: Path) -> list[dict[str, str]]:
    """Return the rows of the results, checked for the right number of cells."""
    path = directory / "emissions.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    for row in found:
        assert None not in row, f"too many cells: {row}"
        assert None not in row.values(), f"too few cells: {row}"
    return found


def receipts(directory: Path) -> list[dict[str, Any]]:
    """Return the receipts, oldest run first."""
    paths = (directory / "carbon_runs").glob("*.receipt.json")
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return sorted(found, key=lambda receipt: receipt["run"]["started_at"])


def total_kwh(directory: Path) -> float:
    """Return the energy of all rows."""
    return sum(float(row["energy_consumed"]) for row in rows(directory))
