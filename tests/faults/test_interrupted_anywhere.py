"""A method of the tracker is interrupted at each of its lines, by another method of the same tracker.

A signal handler, another thread and the garbage collector can run between any two instructions. Whatever
they do there: nothing is raised into the program, nobody waits without end, every run ends once.
"""

from __future__ import annotations

import gc
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
from faults.children import rows
from faults.lab import LabTracker, eventually, said, steady
from faults.sweep import (
    Call,
    Interrupt,
    OwnThreads,
    Place,
    by_collector,
    by_signal,
    by_thread,
    interrupted,
    places,
)

from carbon_core.outputs.run_directory import RunDirectory
from carbon_core.testing import FakeClock, FakeMeter

pytestmark = pytest.mark.slow

Act = Callable[[LabTracker], object]


def nothing(tracker: LabTracker) -> None:
    """Leave the tracker as it is."""


def started(tracker: LabTracker) -> None:
    tracker.start()


def in_a_task(tracker: LabTracker) -> None:
    tracker.start_task("a")


def stopped(tracker: LabTracker) -> None:
    tracker.start()
    tracker.stop()


def serve(tracker: LabTracker) -> None:
    requests = tracker.requests()
    with requests.request(tokens=1):
        requests.done()


# What is done before, and the method that is interrupted.
FIRST: dict[str, tuple[Act, Act]] = {
    "start": (nothing, lambda t: t.start()),
    "start again": (stopped, lambda t: t.start()),
    "start_task": (nothing, lambda t: t.start_task("a")),
    "mark": (started, lambda t: t.mark("a")),
    "flush": (started, lambda t: t.flush()),
    "report": (started, lambda t: t.report()),
    "window": (started, lambda t: t.window("w").close()),
    "window report": (started, lambda t: t.window("w").report()),
    "segments": (started, lambda t: t.segments),
    "note_others": (started, lambda t: t.note_others(())),
    "continue_from": (started, lambda t: t.continue_from([])),
    "continue_last": (started, lambda t: t.continue_last()),
    "requests": (started, serve),
    "over_budget": (started, lambda t: t.over_budget),
    "final results": (started, lambda t: (t.final_emissions, t.final_emissions_data)),
    "stop_task": (in_a_task, lambda t: t.stop_task()),
    "stop": (in_a_task, lambda t: t.stop()),
}


def restart(tracker: LabTracker) -> None:
    tracker.stop()
    tracker.start()


SECOND: dict[str, Act] = {
    "stop": lambda t: t.stop(),
    "start": lambda t: t.start(),
    "restart": restart,
    "mark": lambda t: t.mark("z"),
    "flush": lambda t: t.flush(),
    "start_task": lambda t: t.start_task("b"),
    "stop_task": lambda t: t.stop_task(),
}


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    gc.collect()
    gc.disable()  # it would trace lines of its own
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pytest.PytestUnraisableExceptionWarning)
        yield
    gc.enable()


class Lab:
    """A tracker whose meters are kept, to see that all are closed.

    Args:
        directory: Of its results; None for a tracker that writes none.
    """

    def __init__(self, directory: Path | None = None) -> None:
        clock, meters = FakeClock(), list[FakeMeter]()

        def detect() -> list[FakeMeter]:
            meters.append(steady(clock))
            return meters[-1:]

        parts = {} if directory is None else {"make_outputs": lambda: [_files_in(directory)]}
        self.meters = meters
        self.tracker = LabTracker(clock, detect, start_patience_s=0.2, **parts)
        self.raised: list[BaseException] = []

    def guarded(self, act: Act) -> Call:
        """Return a call whose exceptions are kept."""

        def call() -> None:
            try:
                act(self.tracker)
            except BaseException as error:  # what the program would see
                self.raised.append(error)

        return call

    def check(self) -> None:
        """Stop the tracker; nothing may be left, and nothing have failed."""
        self.tracker.stop()
        assert not self.raised
        assert not [line for line in said(self.tracker) if _is_a_fault(line)]
        assert self.tracker.final_report is not None
        assert not self.tracker.running
        assert eventually(lambda: not own_threads()), own_threads()
        assert all(meter.closed for meter in self.meters)


def own_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("carbon-")]


def _files_in(directory: Path) -> RunDirectory:
    return RunDirectory(directory, "emissions.csv", always_update=False, keep_journal=True)


def _is_a_fault(line: str) -> bool:
    return any(word in line for word in ("failed", "did not", "stopped", "cannot", "not written"))


def swept(first: str, directory: Path | None = None) -> tuple[Act, Act, list[Place]]:
    """Return what is done before, the method, and its lines."""
    before, method = FIRST[first]
    lab = Lab(directory and directory / "lines")
    before(lab.tracker)
    found = places(lambda: method(lab.tracker))
    lab.check()
    return before, method, found


@pytest.mark.parametrize(
    ("second", "how"),
    [*((one, by_signal) for one in SECOND), ("stop", by_thread), ("restart", by_thread)],
)
@pytest.mark.parametrize("first", FIRST)
def test_a_second_method_at_any_line_of_a_first_one(
    first: str, second: str, how: Interrupt
) -> None:
    before, method, lines = swept(first)
    assert lines
    for line in lines:
        lab = Lab()
        before(lab.tracker)
        try:
            interrupted(lab.guarded(method), line, how, lab.guarded(SECOND[second]))
            lab.check()
        except AssertionError as error:
            raise AssertionError(f"{second} at {line[0].co_filename}:{line[1]}: {error}") from error


@pytest.mark.parametrize("how", [by_signal, by_thread])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("start", "stop"),
        ("flush", "stop"),
        ("stop", "stop"),
        ("stop", "start"),
        ("mark", "restart"),
    ],
)
def test_every_run_has_one_row_and_no_file_or_lock_stays_open(
    first: str, second: str, how: Interrupt, tmp_path: Path
) -> None:
    before, method, lines = swept(first, tmp_path)
    files = set(os.listdir("/proc/self/fd"))
    for i, line in enumerate(lines):
        lab, out = Lab(tmp_path / str(i)), tmp_path / str(i)
        before(lab.tracker)
        interrupted(lab.guarded(method), line, how, lab.guarded(SECOND[second]))
        lab.check()
        ids = [row["run_id"] for row in rows(out)]
        place = f"{line[0].co_filename}:{line[1]}"
        assert len(ids) == len(set(ids)) == len(lab.meters), place
        assert not list(out.glob("carbon_runs/*.jsonl.lock")), place
    assert set(os.listdir("/proc/self/fd")) == files


@pytest.mark.parametrize("first", ["start", "mark", "flush", "report", "stop_task", "stop"])
def test_another_tracker_is_collected_at_any_line(first: str) -> None:
    before, method, lines = swept(first)
    for line in lines:
        lab, forgotten = Lab(), Lab()
        forgotten.tracker.start_task("left open")
        others = [forgotten.__dict__.pop("tracker")]
        before(lab.tracker)
        interrupted(lab.guarded(method), line, by_collector, others.clear)
        lab.check()
        assert eventually(lambda meters=forgotten.meters: all(one.closed for one in meters))


@pytest.mark.parametrize("name", ["carbon-sampler", "carbon-files"])
def test_a_tracker_is_collected_at_any_line_of_its_own_threads(name: str, tmp_path: Path) -> None:
    lines: dict[Place, None] = {}

    def note(frame: FrameType) -> None:
        if threading.current_thread().name == name:
            lines.setdefault((frame.f_code, frame.f_lineno))

    lab = Lab(tmp_path / "lines")
    with OwnThreads(note):
        lab.tracker.start()
        assert lab.tracker._run is not None
        assert eventually(lambda: bool(list((tmp_path / "lines").glob("*/*.jsonl"))))
        until_then = list(lines)
    lab.check()
    assert len(until_then) > 50
    for i, line in enumerate(until_then):
        out = tmp_path / str(i)
        _collected_at(line, name, out)
        assert len(rows(out)) == 1, f"{line[0].co_filename}:{line[1]}"


def _collected_at(line: Place, name: str, out: Path) -> None:
    """Have a tracker be collected at a line of one of its threads, and see that its run is saved."""
    lab = Lab(out)
    trackers, messages = [lab.__dict__.pop("tracker")], None

    def collect(frame: FrameType) -> None:
        if (frame.f_code, frame.f_lineno) == line and threading.current_thread().name == name:
            trackers.clear()

    messages = trackers[0].messages
    with OwnThreads(collect):
        trackers[0].start()
        eventually(lambda: not trackers, 0.3)
    trackers.clear()
    assert eventually(lambda: not own_threads()), f"{own_threads()} at {line}"
    assert not [text for text in sorted(messages._seen) if _is_a_fault(text)], line
    assert all(meter.closed for meter in lab.meters)
