"""A run that has not ended is shown as running, or as lost where that is certain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from core.outputs.conftest import report_of

from carbon_core.outputs.history import PastRun, Skipped, read
from carbon_core.outputs.journal import Journal, journal_path
from carbon_core.outputs.journal_locks import lock_of
from carbon_core.outputs.merging import merge

CHILD = """
import sys
from pathlib import Path
from core.outputs.conftest import report_of
from carbon_core.outputs.journal import Journal, journal_path
report = report_of("other", "running")
journal = Journal(journal_path(Path(sys.argv[1]), "other"), report)
journal.append(report)
print("ready", flush=True)
sys.stdin.readline()
"""


def begun(directory: Path, run_id: str = "own") -> Journal:
    report = report_of(run_id, "running")
    journal = Journal(journal_path(directory, run_id), report)
    journal.append(report)
    return journal


def only_run(directory: Path) -> PastRun:
    (run,) = (one for one in read([directory]) if not isinstance(one, Skipped))
    return run


def changed_owner(path: Path, **owner: object) -> None:
    first, rest = path.read_text().split("\n", 1)
    head = json.loads(first)
    head["owner"] = {**head["owner"], **owner}
    path.write_text(f"{json.dumps(head)}\n{rest}")


def test_a_run_of_this_process_is_running(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    files = sorted(tmp_path.rglob("*"))
    run = only_run(tmp_path)
    assert run.status == "running"
    assert run.writer is not None
    assert run.writer.heartbeat_at.endswith("+00:00")
    assert [part.status for training in merge(tmp_path) for part in training.parts] == ["running"]
    assert sorted(tmp_path.rglob("*")) == files
    journal.append(report_of("own"))
    assert only_run(tmp_path).status == "completed"
    journal.close(saved=False)


def test_a_run_of_another_process_is_running_until_it_is_killed(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            assert only_run(tmp_path).status == "running"
        finally:
            process.kill()
    run = only_run(tmp_path)
    assert (run.status, run.writer) == ("interrupted", None)


def test_a_run_that_its_process_gave_up_is_not_running(tmp_path: Path) -> None:
    begun(tmp_path).close(saved=False)
    assert only_run(tmp_path).status == "interrupted"


def test_a_copy_without_a_lock_is_not_running(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    path = journal_path(tmp_path / "copy", "own")
    path.parent.mkdir(parents=True)
    path.write_bytes(journal_path(tmp_path, "own").read_bytes())
    assert only_run(tmp_path / "copy").status == "interrupted"
    journal.close(saved=False)


@pytest.mark.parametrize(("age_s", "status"), [(0.0, "running or lost"), (1e6, "interrupted")])
def test_a_run_of_another_host_may_be_lost(tmp_path: Path, age_s: float, status: str) -> None:
    begun(tmp_path).close(saved=False)
    path = journal_path(tmp_path, "own")
    changed_owner(path, host="node17", boot_id="another")
    at_s = path.stat().st_mtime - age_s
    os.utime(path, (at_s, at_s))
    run = only_run(tmp_path)
    assert run.status == status
    assert (run.writer is not None and run.writer.host == "node17") == (age_s == 0.0)


def test_a_run_of_another_host_that_holds_its_lock_is_running(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    changed_owner(journal_path(tmp_path, "own"), host="node17", boot_id="another")
    run = only_run(tmp_path)
    assert run.status == "running"
    assert run.writer is not None
    assert run.writer.host == "node17"
    journal.close(saved=False)


def test_a_lock_that_cannot_be_opened_is_no_error(tmp_path: Path) -> None:
    begun(tmp_path).close(saved=False)
    lock = lock_of(journal_path(tmp_path, "own"))
    lock.unlink()
    lock.mkdir()
    assert only_run(tmp_path).status == "running"  # its process is alive
