"""Which runs measure a process: the variable that `carbon-callbacks run` sets is checked."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest

from carbon_core import EmissionsTracker
from carbon_core.outputs import enclosing
from carbon_core.outputs.enclosing import enclosing_runs, variable_for
from carbon_core.rank_environment import WITHIN

SHOW = (
    "import os; from carbon_core.outputs.enclosing import enclosing_runs; "
    "print(*enclosing_runs(os.environ))"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc shows ancestors")


def set_for(run_id: str, *, whole_machine: bool = False) -> dict[str, str]:
    return variable_for(run_id, {}, whole_machine=whole_machine)


def seen_by(code: str, **variables: str) -> str:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def changed(**owner: Any) -> dict[str, str]:
    return {WITHIN: json.dumps({**json.loads(set_for("outer")[WITHIN]), **owner})}


def test_a_child_and_its_children_are_within() -> None:
    assert seen_by(SHOW, **set_for("outer")) == "outer"
    deeper = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SHOW!r}])"
    assert seen_by(deeper, **set_for("outer")) == "outer"


def test_the_innermost_run_is_first() -> None:
    nested = (
        "import os, subprocess, sys; from carbon_core.outputs.enclosing import variable_for\n"
        "more = variable_for('inner', os.environ, whole_machine=False)\n"
        f"subprocess.run([sys.executable, '-c', {SHOW!r}], env={{**os.environ, **more}})"
    )
    assert seen_by(nested, **set_for("outer")) == "inner outer"


@linux
def test_the_process_itself_and_those_that_it_did_not_start_are_not_within() -> None:
    """As a job that a batch system starts on the same host, with the same environment."""
    assert enclosing_runs(set_for("outer")) == ()
    child = subprocess.Popen(["sleep", "60"])
    try:
        with open(f"/proc/{child.pid}/stat") as file:
            started = int(file.read().rpartition(")")[2].split()[19])
        beside = {"pid": child.pid, "started": started}
        assert seen_by(SHOW, **changed(**beside)) == ""
        assert seen_by(SHOW, **changed(**beside, whole_machine=True)) == "outer"
    finally:
        child.kill()
        child.wait()
    assert seen_by(SHOW, **changed(**beside, whole_machine=True)) == ""


@pytest.mark.parametrize(
    "owner",
    [
        {"host": "another"},
        {"boot_id": "another"},
        {"pid_namespace": "another"},
        {"started": 1},
        {"pid": "1"},
        {"pid": 10**30},
        {"pid": -1},
        {"runs": None},
        {"runs": [1, "../../etc"]},
    ],
)
@linux
def test_a_run_of_another_place_or_time_does_not_count(owner: dict[str, Any]) -> None:
    assert seen_by(SHOW, **changed(**owner)) == ""


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", "1", "null", "[" * 4000, "x" * 10_000])
def test_any_text_is_no_error(text: str) -> None:
    assert enclosing_runs({WITHIN: text}) == ()


@linux
def test_a_task_of_the_same_job_is_within_whatever_started_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with `srun` in a batch script that `carbon-callbacks run` measures."""
    monkeypatch.setattr(enclosing, "_own_group", lambda: "sys/fs/cgroup/job_1/cpu.stat")
    found = json.loads(set_for("outer")[WITHIN])
    assert enclosing_runs({WITHIN: json.dumps({**found, "group": "other"})}) == ()
    assert enclosing_runs({WITHIN: json.dumps(found)}) == ("outer",)
    monkeypatch.undo()
    assert enclosing_runs({WITHIN: json.dumps(found)}) == ()


def run_of_copy(pickled: bytes) -> str:
    """Return the runs that a tracker's copy is within, if another process measures with it."""
    return seen_by(
        f"import pickle; tracker = pickle.loads(bytes.fromhex({pickled.hex()!r}))\n"
        "tracker.start(); tracker.stop(); print(*tracker.final_report.run.within)"
    )


@linux
def test_a_process_that_gets_a_copy_of_a_tracker_is_within_the_run_that_is_active() -> None:
    tracker = EmissionsTracker(save_to_file=False)
    with EmissionsTracker(save_to_file=False) as outer:
        during = pickle.dumps(tracker)
        assert run_of_copy(during) == outer.run_id
        # A copy of the copy, as of an estimator that a search clones, is made anew.
        assert run_of_copy(pickle.dumps(pickle.loads(during))) == outer.run_id
    assert run_of_copy(pickle.dumps(tracker)) == ""


@linux
def test_a_copy_that_stays_in_its_process_is_within_what_is_active_when_it_begins() -> None:
    with EmissionsTracker(save_to_file=False):
        copied = pickle.loads(pickle.dumps(EmissionsTracker(save_to_file=False)))
    with copied:
        pass
    assert copied.final_report is not None
    assert copied.final_report.run.within == ()
