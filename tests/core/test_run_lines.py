"""Lines of many short runs: folded, counted, complete; warnings as ever."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from faults.lab import LabTracker, eventually, steady

from carbon_core import EmissionsTracker
from carbon_core.messages import Messages
from carbon_core.testing import FakeClock, FakeMeter
from carbon_core.tracker import run_lines

GREETING = "measuring cpu by"


class Program:
    """A program of many runs of 100 W, on a clock of its own."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "carbon_callbacks")
        self._caplog = caplog
        self.clock = FakeClock()

    def run(
        self,
        seconds: float,
        status: str = "completed",
        *,
        warn: str = "",
        power_w: float = 100.0,
        level: int = logging.INFO,
        preamble: str = "",
    ) -> None:
        """Have one run, with messages of its own, as every run of `EmissionsTracker` has."""
        tracker = LabTracker(self.clock, lambda: [steady(self.clock, power_w)])
        tracker.messages = Messages(level, preamble)
        tracker.start()
        self.clock.advance(seconds)
        if warn:
            tracker.warn(warn)
        tracker.stop(status)

    @property
    def shown(self) -> list[str]:
        """Everything shown so far."""
        return [record.getMessage() for record in self._caplog.records]

    @property
    def ends(self) -> list[str]:
        """The lines about the ends of runs, each without what follows the energy."""
        return [line.partition(",")[0] for line in self.shown if GREETING not in line]


@pytest.fixture
def program(caplog: pytest.LogCaptureFixture) -> Program:
    return Program(caplog)


def test_a_hundred_trials_show_a_greeting_a_first_result_and_a_few_sums(program: Program) -> None:
    for _ in range(100):
        program.run(3)
    assert [GREETING in line for line in program.shown[:2]] == [True, False]
    assert len(program.shown) <= 2 + 100 * 3 / 30
    assert program.ends[0] == "completed after 3.00 s: 83.3 mWh"
    assert program.shown[2].startswith("10 more runs: 833 mWh, 833 mg CO2e in 30.0 s")
    folded = sum(int(line.split()[0]) for line in program.ends[1:])
    rest = "".join(run_lines.of_process().rest())
    assert folded + int(rest.split()[0]) == 99
    assert run_lines.of_process().rest() == ()


def test_a_longer_run_ends_the_series(program: Program) -> None:
    for seconds in (1, 2, 3, 10, 1, 2):
        program.run(seconds)
    assert program.ends == [
        "completed after 1.00 s: 27.8 mWh",
        "2 more runs: 139 mWh",
        "completed after 10.0 s: 278 mWh",
        "completed after 1.00 s: 27.8 mWh",
    ]


def test_short_runs_now_and_then_are_shown_as_they_are(program: Program) -> None:
    for _ in range(3):
        program.run(1)
        program.clock.advance(60)
    assert program.ends == ["completed after 1.00 s: 27.8 mWh"] * 3


def test_a_single_run_that_was_folded_is_shown_as_it_is(program: Program) -> None:
    program.run(1)
    program.run(2)
    program.run(20)
    assert [line.split(":")[0] for line in program.ends] == [
        "completed after 1.00 s",
        "completed after 2.00 s",
        "completed after 20.0 s",
    ]


def test_how_the_folded_runs_ended_is_said(program: Program) -> None:
    for status in ("completed", "failed", "pruned", "completed", "pruned"):
        program.run(1, status)
    (line,) = run_lines.of_process().rest()
    assert line.startswith("4 more runs (1 failed, 2 pruned): ")


def test_no_warning_is_folded_or_lost(program: Program) -> None:
    for i in range(20):
        program.run(1, warn=f"warning {i}")
    assert [line for line in program.shown if "warning" in line] == [
        f"warning {i}" for i in range(20)
    ]


def test_a_greeting_comes_again_when_it_differs(program: Program) -> None:
    for preamble in ("", "", "[a] ", "[a] ", ""):
        program.run(1, preamble=preamble)
    greetings = [line for line in program.shown if GREETING in line]
    assert [line.startswith("[a] ") for line in greetings] == [False, True, False]


def test_runs_with_different_preambles_are_not_folded_together(program: Program) -> None:
    for preamble in ("[a] ", "[a] ", "[a] ", "[b] "):
        program.run(1, preamble=preamble)
    assert program.ends == [
        "[a] completed after 1.00 s: 27.8 mWh",
        "[a] 2 more runs: 55.6 mWh",
        "[b] completed after 1.00 s: 27.8 mWh",
    ]


def test_runs_whose_lines_are_not_wanted_are_not_counted(program: Program) -> None:
    program.run(1)
    for _ in range(5):
        program.run(1, level=logging.WARNING)
    assert len(program.shown) == 2
    assert run_lines.of_process().rest() == ()


def test_any_number_of_statuses_takes_no_more_room(program: Program) -> None:
    for i in range(100):
        program.run(0.1, f"status {i}")
    assert len(run_lines.of_process()._statuses) == 8


def test_runs_on_several_threads_are_all_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    caplog.set_level("INFO", "carbon_callbacks")

    def runs() -> None:
        for _ in range(5):
            with EmissionsTracker(save_to_file=False):
                pass

    threads = [threading.Thread(target=runs) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (line,) = run_lines.of_process().rest()
    assert line.startswith("19 more runs: ")


# --- the end of the process ----------------------------------------------------------------------

TRIALS = """
import os, sys
from carbon_core import EmissionsTracker
from carbon_core.tracker import run_lines
def trial():
    with EmissionsTracker(save_to_file=False):
        pass
"""


def lines_of(script: str, tmp_path: Path) -> list[str]:
    environ = {name: v for name, v in os.environ.items() if not name.startswith("CODECARBON_")}
    environ |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    # From 3.12 on, Python warns of a fork beside a thread: a search for meters may just be ending.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", TRIALS + script]
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def begins(lines: list[str]) -> list[str]:
    """Return the first word of each line, but of the second ones of results."""
    words = [line.split()[1].strip(";") for line in lines]
    return [word for word in words if word != "for"]


def test_the_start_line_comes_at_the_start_of_a_plain_block(tmp_path: Path) -> None:
    """However slow the machine: what is known of the meters by then is said, the rest later."""
    script = """
with EmissionsTracker(save_to_file=False):
    print("the block begins", file=sys.stderr)
    for _ in range(3_000_000): pass
    print("the block ends", file=sys.stderr)
"""
    lines = lines_of(script, tmp_path)
    assert begins(lines) == ["measuring", "block", "block", "completed"]
    assert "g CO2e/kWh" in lines[0]


def test_the_start_line_does_not_wait_for_a_slow_search(program: Program) -> None:
    found = threading.Event()

    def slow() -> list[FakeMeter]:
        found.wait()
        return [steady(program.clock)]

    tracker = LabTracker(program.clock, slow, start_patience_s=0.01)
    tracker.messages = Messages()
    tracker.start()
    assert program.shown == ["measuring; meters are being detected; 1000 g CO2e/kWh (somewhere)"]
    found.set()
    tracker.stop()
    assert [line.split()[0] for line in program.shown] == ["measuring;", "completed"]


def test_what_is_found_later_is_logged_where_the_next_window_begins(program: Program) -> None:
    found = threading.Event()

    def slow() -> list[FakeMeter]:
        found.wait()
        return [steady(program.clock)]

    tracker = LabTracker(program.clock, slow, start_patience_s=0.01)
    tracker.messages = Messages()
    tracker.start()
    found.set()
    assert eventually(lambda: tracker.messages.is_waiting)
    with tracker.window("epoch"):
        assert GREETING in program.shown[-1]
    tracker.stop()


def test_a_run_that_may_be_too_short_says_nothing_at_its_start(program: Program) -> None:
    tracker = LabTracker(program.clock, lambda: [steady(program.clock)], min_duration_s=60.0)
    tracker.messages = Messages()
    tracker.start()
    program.clock.advance(1)
    tracker.stop()
    assert program.shown == []


def test_what_was_folded_is_shown_at_the_end_of_the_process(tmp_path: Path) -> None:
    lines = lines_of("for _ in range(5): trial()", tmp_path)
    assert [word for word in begins(lines) if word != "measuring"] == ["completed", "4"]
    assert lines[-1].startswith("carbon-callbacks: 4 more runs: ")


def test_a_forked_child_shows_nothing_of_its_parent_s(tmp_path: Path) -> None:
    script = """
for _ in range(3): trial()
if os.fork() == 0:
    sys.exit()  # with the handlers that were inherited
os.wait()
print("the child has ended", file=sys.stderr)
"""
    lines = lines_of(script, tmp_path)
    assert lines[-2] == "the child has ended"
    assert lines[-1].startswith("carbon-callbacks: 2 more runs: ")
    assert sum("more runs" in line for line in lines) == 1


def test_a_forked_child_has_lines_of_its_own(tmp_path: Path) -> None:
    script = """
for _ in range(3): trial()
if os.fork() == 0:
    for _ in range(4): trial()
    sys.exit()
os.wait()
"""
    lines = lines_of(script, tmp_path)
    assert begins(lines)[:2] == ["measuring", "completed"]
    assert [word for word in begins(lines) if word != "measuring"] == [
        "completed", "completed", "3", "2",
    ]  # fmt: skip


def test_a_log_that_is_closed_by_then_is_no_traceback(tmp_path: Path) -> None:
    script = """
import io, logging
stream = io.StringIO()
logging.basicConfig(stream=stream, level="INFO")
for _ in range(3): trial()
stream.close()
"""
    assert lines_of(script, tmp_path) == []


# --- the lines of a result -----------------------------------------------------------------------


def test_a_result_is_two_short_lines_with_all_that_a_reader_needs(tmp_path: Path) -> None:
    script = """
with EmissionsTracker(country_iso_code="FRA", project_name="two lines"):
    for _ in range(100_000): pass
"""
    environ = {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", TRIALS + script],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    result, details = [line for line in done.stderr.splitlines() if "measuring" not in line]
    assert re.fullmatch(
        r"carbon-callbacks: completed after \S+ m?s: \S+ [µm]?Wh, \S+ m?g CO2e "
        r"\(95 %: \S+ to \S+\), .*(measured|estimated|extrapolated).*; \S+ g CO2e/kWh, France"
        r"(; whole node estimated: \S+ [µm]?Wh)?",  # where the load of these milliseconds allows one
        result,
    )
    found = re.fullmatch(r"carbon-callbacks: receipt: (\S+)(; for a narrower .*)?", details)
    assert found is not None
    assert (tmp_path / found[1]).is_file()
    assert max(len(result), len(details)) < 200


def test_a_hint_comes_once_in_a_process(tmp_path: Path) -> None:
    lines = lines_of("for _ in range(2): trial(); run_lines.of_process()._series = None", tmp_path)
    assert sum("completed" in line for line in lines) == 2
    assert sum("set country_iso_code" in line for line in lines) == 1
