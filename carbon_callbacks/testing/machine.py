"""The machine that adapters are tested on: a directory of its own, a clock, a meter, and its faults."""

from __future__ import annotations

import csv
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from carbon_callbacks.testing.framework import WATTS, raising
from carbon_core.assemble import build, trackers
from carbon_core.hardware.base import Detection
from carbon_core.sampler import Sampler
from carbon_core.testing import FakeClock, FakeMeter
from carbon_core.tracker import run, run_lines

# Threads that a failed test has left behind: later tests ignore them.
_left_behind: set[threading.Thread] = set()


@dataclass
class Machine:
    """A machine that draws 100 W by a grade-A counter, under a clock that the test turns.

    Attributes:
        clock: Its clock.
        value: Joules of its counter by time in seconds; may be replaced.
        environ: Is added to the environment that runs see.
        runs: How many runs were made.
    """

    clock: FakeClock = field(default_factory=FakeClock)
    value: Callable[[float], float | None] = lambda t_s: WATTS * t_s
    environ: dict[str, str] = field(default_factory=dict)
    runs: int = 0


def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter an empty working directory, without settings of the user around it; return it."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    for name in list(os.environ):
        if name.upper().startswith("CODECARBON_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TZ", "UTC")  # a time zone would suggest a country
    monkeypatch.chdir(work)
    run_lines.forget()
    return work


def fake_machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Have runs measure a `Machine`; return it."""
    machine = Machine()
    real_make_parts = build.make_parts

    def make_parts(settings: Any, run_id: str, environ: Any, **more: Any) -> Any:
        machine.runs += 1
        seen = {**environ, **machine.environ}
        parts = real_make_parts(settings, run_id, seen, clock=machine.clock, **more)
        meter = FakeMeter(machine.clock, machine.value)
        return parts if machine.environ else replace(parts, detect=lambda: Detection((meter,)))

    monkeypatch.setattr(trackers, "make_parts", make_parts)
    # A busy test machine must not turn an exact figure into the last known one.
    monkeypatch.setattr(run, "PATIENCE_S", 10.0)
    return machine


def check_nothing_outlives_a_test() -> Iterator[None]:
    """Check that no thread is left after a test; undo what it did to Ctrl-C."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    _left_behind.clear()
    _left_behind.update(threading.enumerate())
    yield
    signal.signal(signal.SIGINT, on_interrupt)
    collect()
    assert not threads_of_ours()


def rows(path: Path = Path("emissions.csv")) -> list[dict[str, str]]:
    """Return the rows of a CSV file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def receipts() -> list[dict[str, Any]]:
    """Return all receipts, oldest run first."""
    found = [json.loads(path.read_text()) for path in Path("carbon_runs").glob("*.receipt.json")]
    order = [row["run_id"] for row in rows()]
    return sorted(found, key=lambda receipt: order.index(receipt["run"]["run_id"]))


def phase_joules(report: Any) -> float:
    """Return the sum of the phases."""
    total: float = sum(phase.joules for phase in report.phases)
    return total


def process_state() -> tuple[Any, ...]:
    """Return the state of the process that a callback must not change."""
    # PYTEST_CURRENT_TEST changes with the test's own progress.
    environ = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    logger = logging.getLogger("carbon_callbacks")
    return environ, handlers, Path.cwd(), tuple(logger.handlers), sys.excepthook


def threads_of_ours() -> list[threading.Thread]:
    """Return the threads of this package that are alive."""
    threads = set(threading.enumerate()) - _left_behind
    return [thread for thread in threads if thread.name.startswith("carbon-")]


def collect() -> None:
    """Collect unreferenced runs; a thread of the framework may refer to one for a moment."""
    for _ in range(10):
        if not threads_of_ours():
            return
        gc.collect()
        for thread in threads_of_ours():
            thread.join(0.1)


def open_files_under(directory: Path) -> list[str]:
    """Return the result files under a directory that this process has open."""
    links: list[str] = []
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            links.append(str(descriptor.readlink()))
    ours = ("carbon_runs", "emissions.csv")
    return [
        link
        for link in links
        if link.startswith(f"{directory}/") and any(name in link for name in ours)
    ]


def count_marks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that every mark of the training thread is added to."""
    marks: list[Any] = []
    real = Sampler.mark

    def mark(self: Sampler, mark: Any) -> None:
        marks.append(mark)
        real(self, mark)

    monkeypatch.setattr(Sampler, "mark", mark)
    return marks


def change_parts(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """Let runs be made of other parts."""
    real = trackers.make_parts  # another change may have come before
    monkeypatch.setattr(trackers, "make_parts", lambda *a, **k: change(real(*a, **k)))


def break_something(what: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Break a part at the edge of the machine; return the settings that it needs."""
    fail = raising(RuntimeError("broken"))
    if what == "output_dir":
        Path("broken").write_text("a file where a directory should be")
        return {"output_dir": "broken/results"}
    if what == "parts":
        monkeypatch.setattr(trackers, "make_parts", fail)
    if what == "search":
        change_parts(monkeypatch, lambda parts: replace(parts, detect=fail))
    if what == "meter":
        change_parts(
            monkeypatch,
            lambda parts: replace(parts, detect=lambda: Detection((FakeMeter(parts.clock, fail),))),
        )
    if what == "outputs":
        change_parts(
            monkeypatch, lambda parts: replace(parts, make_outputs=lambda: [_BrokenOutput()])
        )
    return {}


class _BrokenOutput:
    """An output that fails at its end with an unexpected error."""

    def open(self, report: Any) -> None:
        pass

    def update(self, report: Any) -> None:
        pass

    def flush(self, report: Any) -> None:
        pass

    def close(self, report: Any) -> None:
        raise RuntimeError("broken")


def hold_search(monkeypatch: pytest.MonkeyPatch, found: threading.Event) -> None:
    """Let the search for meters take until an event."""

    def hold(parts: Any) -> Any:
        def detect() -> Any:
            found.wait(30)
            return parts.detect()

        return replace(parts, detect=detect)

    change_parts(monkeypatch, hold)


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program with the import path of this process, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_two_runs(first: Any, second: Any, first_status: str = "completed") -> None:
    """Check that two reports are of two whole runs, and that both are in the files."""
    assert [row["run_id"] for row in rows()] == [first.run.run_id, second.run.run_id]
    assert first.run.run_id != second.run.run_id
    assert (first.status, second.status) == (first_status, "completed")
    assert first.window.joules > 0
    assert second.window.joules > 0
    assert {receipt["run"]["run_id"] for receipt in receipts()} == {
        first.run.run_id,
        second.run.run_id,
    }
