"""What several users and processes find of each other: modes, groups, owners of journals."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any

import pytest

from carbon_core.errors import OutputError
from carbon_core.outputs import journal, owner, run_directory
from carbon_core.outputs.base import make_directory, replace
from carbon_core.outputs.journal import SUFFIX, Journal, abandoned
from carbon_core.outputs.owner import state_of, this_process
from carbon_core.outputs.run_directory import RunDirectory
from carbon_core.records import HourEnergy
from carbon_core.report import Report

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and users are POSIX")

MakeReport = Callable[..., Report]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o077, 0o027, 0o002, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


# --- modes ---------------------------------------------------------------------------------------


def test_a_new_file_follows_the_umask(tmp_path: Path, umask: int) -> None:
    replace(tmp_path / "file", b"data")
    assert mode(tmp_path / "file") == 0o666 & ~umask
    replace(tmp_path / "secret", b"data", 0o600)
    assert mode(tmp_path / "secret") == 0o600


@pytest.mark.parametrize("given", [0o600, 0o640, 0o664, 0o666])
def test_a_replaced_file_keeps_its_mode(tmp_path: Path, umask: int, given: int) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(given)
    replace(path, b"data")
    assert (path.read_bytes(), mode(path)) == (b"data", given)
    replace(path, b"data", 0o600)
    assert mode(path) == 0o600


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="needs the superuser")
def test_a_replaced_file_keeps_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.chown(path, 4_001, 4_000)
    replace(path, b"data")
    assert (path.stat().st_uid, path.stat().st_gid) == (4_001, 4_000)


def test_no_new_directory_is_writable_for_all(tmp_path: Path, umask: int) -> None:
    make_directory(tmp_path / "a" / "b" / "c")
    for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"):
        assert mode(path) == 0o775 & ~umask
    make_directory(tmp_path / "a" / "b")


@pytest.fixture
def group_directory() -> Iterator[Path]:
    """A directory that two users of a group share; pytest's own are private."""
    if os.geteuid() != 0:
        pytest.skip("only the superuser can act as two users")
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        place = Path(base) / "shared"
        place.mkdir()
        os.chown(place, 0, 4_000)
        place.chmod(0o2770)
        yield place


@pytest.mark.parametrize("flushed", [False, True])
def test_two_users_share_a_directory_of_their_group(
    group_directory: Path, tmp_path: Path, make_report: MakeReport, flushed: bool
) -> None:
    place = group_directory
    # The other users cannot read what Python imports at first use.
    warm = RunDirectory(tmp_path, "emissions.csv", always_update=False, keep_journal=True)
    for write in (warm.open, warm.flush, warm.close):
        write(make_report("warm"))
    for user in (4_001, 4_002):
        report = make_report(f"run-{user}", "running")
        child = os.fork()
        if child == 0:
            _run_as(user, place, report, flushed)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, user
    table = place / "emissions.csv"
    assert len(table.read_text().splitlines()) == 3
    for path in (table, place / "carbon_runs", *(place / "carbon_runs").glob("*.receipt.json")):
        assert path.stat().st_gid == 4_000
        assert mode(path) & stat.S_IWGRP


def _run_as(user: int, place: Path, report: Report, flushed: bool) -> None:
    """Write a run as another user, and end the process."""
    try:
        os.setgroups([4_000])
        os.setgid(user)
        os.setuid(user)
        os.umask(0o002)
        output = RunDirectory(place, "emissions.csv", always_update=False, keep_journal=True)
        output.open(report)
        if flushed:
            output.flush(report)
        output.close(with_changes(report, status="completed"))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


# --- owners of journals --------------------------------------------------------------------------


def test_this_process_is_alive() -> None:
    assert state_of(this_process()._asdict()) == "alive"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, the start of a process is unknown")
def test_a_process_that_has_ended_is_dead_even_before_its_parent_collects_it() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reader, 1)
        os._exit(0)
    mine = this_process()
    theirs = mine._replace(pid=child, started=owner._started(child) or 0)._asdict()
    assert state_of(theirs) == "alive"
    assert state_of({**theirs, "started": theirs["started"] + 1}) == "dead", "a number used again"
    os.write(writer, b"x")
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert state_of(theirs) == "dead", "a zombie"
    os.waitpid(child, 0)
    assert state_of(theirs) == "dead"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("field", ["host", "boot_id", "pid_namespace"])
def test_another_machine_boot_or_container_is_elsewhere(field: str) -> None:
    assert state_of({**this_process()._asdict(), field: "other"}) == "elsewhere"


@pytest.mark.parametrize("record", [None, "me", [], 1])
def test_an_owner_that_is_none_is_unknown(record: Any) -> None:
    assert state_of(record) == "unknown"


@pytest.mark.parametrize("record", [{}, {"host": 1}, {"pid": "x"}])
def test_an_incomplete_owner_is_not_this_machines(record: Any) -> None:
    assert state_of(record) == "elsewhere"


@pytest.mark.parametrize("pid", [-1, 0, 2**22 + 1, 2**70, "1", None, 1.5])
def test_odd_numbers_of_processes_do_no_harm(pid: Any) -> None:
    assert state_of({**this_process()._asdict(), "pid": pid, "started": 1}) in ("dead", "unknown")


def test_a_process_that_runs_on_after_an_unsaved_run_does_not_keep_its_journal(
    tmp_path: Path, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a notebook whose row was refused: another process recovers the run."""
    path = tmp_path / f"run-1{SUFFIX}"
    one = Journal(path, make_report(status="running"))
    one.append(make_report(status="running"))
    one.close(saved=False)
    child = os.fork()
    if child == 0:
        with abandoned(tmp_path) as found:
            os._exit(len(found))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "it may still write"
    again = Journal(path, make_report())
    again.append(make_report())
    again.close(saved=False)
    child = os.fork()
    if child == 0:
        with abandoned(tmp_path) as found:
            os._exit(len(found))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_run_of_another_host_that_was_saved_is_free_for_resending(
    tmp_path: Path, make_report: MakeReport
) -> None:
    path = tmp_path / f"run-1{SUFFIX}"
    for status, saved in [("completed", True), ("running", True), ("completed", False)]:
        path.unlink(missing_ok=True)
        one = Journal(path, make_report(status=status))
        one.append(make_report(status=status))
        one.close(saved=saved)
        here = f'"host": "{this_process().host}"'
        path.write_text(path.read_text().replace(here, '"host": "elsewhere"', 1))
        with journal.locked(path) as free:
            assert free is (saved and status == "completed")
        assert Path(f"{path}.lock").exists() is not saved


# --- recovery ------------------------------------------------------------------------------------


def kept(place: Path, count: int, make_report: MakeReport) -> list[Path]:
    """Write the journals of runs that were not saved."""
    runs = place / "carbon_runs"
    paths = [runs / f"old-{i}{SUFFIX}" for i in range(count)]
    for i, path in enumerate(paths):
        one = Journal(path, make_report(f"old-{i}", "running"))
        one.append(make_report(f"old-{i}", "running"))
        one.close(saved=False)
    return paths


def rows(place: Path) -> list[str]:
    path = place / "emissions.csv"
    return path.read_text().splitlines()[1:] if path.exists() else []


def test_recovery_goes_on_until_every_run_has_its_row(
    tmp_path: Path, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_directory, "_RECOVERY_S", 600.0)  # on a busy machine, too
    kept(tmp_path, 130, make_report)
    for i in range(130):
        output = RunDirectory(tmp_path, "emissions.csv", always_update=False, keep_journal=True)
        report = make_report(f"new-{i}", "running")
        before = len(rows(tmp_path))
        output.open(report)
        assert (tmp_path / "carbon_runs" / f"new-{i}{SUFFIX}").exists()
        assert 1 <= len(rows(tmp_path)) - before <= 50
        output.close(make_report(f"new-{i}"))
        if len(rows(tmp_path)) == 130 + i + 1:
            break
    assert len({row.split(",")[2] for row in rows(tmp_path)}) == 130 + i + 1
    assert not list((tmp_path / "carbon_runs").glob(f"*{SUFFIX}.lock"))


def test_an_unusable_journal_is_tried_until_it_is_old(
    tmp_path: Path, make_report: MakeReport
) -> None:
    runs = tmp_path / "carbon_runs"
    runs.mkdir()
    junk, lock = runs / f"junk{SUFFIX}", runs / f"junk{SUFFIX}.lock"
    junk.write_bytes(b"junk")
    lock.touch()
    for age_s, tried_again in [(0, True), (journal_age_s(), False)]:
        os.utime(junk, (junk.stat().st_mtime - age_s,) * 2)
        output = RunDirectory(tmp_path, "emissions.csv", always_update=False, keep_journal=True)
        output.open(make_report("new", "running"))
        output.close(make_report("new"))
        assert lock.exists() is tried_again
    assert junk.read_bytes() == b"junk"


def journal_age_s() -> float:
    from carbon_core.outputs.journal_locks import STALE_S

    return STALE_S + 60


@pytest.mark.parametrize(
    "error", [OutputError("full"), LookupError("no codec"), OSError(28, "full")]
)
def test_a_row_that_fails_in_any_way_does_not_cost_the_receipt(
    tmp_path: Path, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    output = RunDirectory(tmp_path, "emissions.csv", always_update=False, keep_journal=True)
    output.open(make_report("run-1", "running"))

    def fail(data: object) -> None:
        raise error

    monkeypatch.setattr(output._csv, "append", fail)
    with pytest.raises(OutputError):
        output.close(make_report("run-1"))
    assert output.receipt_path("run-1").exists()
    again = RunDirectory(tmp_path, "emissions.csv", always_update=False, keep_journal=True)
    again.open(make_report("run-2", "running"))
    assert [row.split(",")[2] for row in rows(tmp_path)] == ["run-1"]


def test_a_last_journal_record_that_fails_costs_nothing_once_the_results_are_saved(
    tmp_path: Path, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    output = RunDirectory(
        tmp_path, "emissions.csv", always_update=False, keep_journal=True, warn=warnings.append
    )
    output.open(make_report("run-1", "running", kwh=1.0))

    def fail(report: object) -> None:
        raise OutputError("full")

    monkeypatch.setattr(output._journal, "append", fail)
    output.close(make_report("run-1", kwh=2.0))
    assert warnings == ["full"]
    again = RunDirectory(tmp_path, "emissions.csv", always_update=False, keep_journal=True)
    again.open(make_report("run-2", "running"))
    (row,) = rows(tmp_path)
    assert float(row.split(",")[13]) == pytest.approx(3.0), "not what the journal had"


# --- a journal that is lost ----------------------------------------------------------------------


def test_a_journal_that_is_deleted_is_written_again_as_a_whole(
    tmp_path: Path, make_report: MakeReport
) -> None:
    path = tmp_path / "runs" / f"run-1{SUFFIX}"
    hours = tuple(HourEnergy(f"2026-01-01T{i:02}:00Z", 1.0 + i, 2.0) for i in range(6))
    path.parent.mkdir()
    one = Journal(path, make_report(status="running"))
    for count in (2, 4):
        one.append(with_changes(make_report(status="running"), hours=hours[:count]))
    path.unlink()
    Path(f"{path}.lock").unlink()
    path.parent.rmdir()
    one.append(with_changes(make_report(status="running"), hours=hours))
    assert journal.read(path).hours == hours
    with abandoned(path.parent) as found:
        assert found == [], "it is locked again"
    one.close()


def test_a_journal_whose_directory_cannot_be_made_again_is_tried_later(
    tmp_path: Path, make_report: MakeReport
) -> None:
    runs = tmp_path / "carbon_runs"
    output = RunDirectory(tmp_path, "emissions.csv", always_update=False, keep_journal=True)
    output.open(make_report("run-1", "running", kwh=1.0))
    os.rename(runs, tmp_path / "away")
    runs.write_text("in the way")
    with pytest.raises(OutputError):
        output.update(make_report("run-1", "running", kwh=2.0))
    runs.unlink()
    output.update(make_report("run-1", "running", kwh=3.0))
    restored = journal.read(runs / f"run-1{SUFFIX}")
    assert restored.energy_kwh.value == pytest.approx(4.5)


def test_a_journal_that_could_not_be_started_is_started_later(
    tmp_path: Path, make_report: MakeReport
) -> None:
    (tmp_path / "carbon_runs").write_text("in the way")
    output = RunDirectory(tmp_path, "emissions.csv", always_update=False, keep_journal=True)
    with pytest.raises(OutputError):
        output.open(make_report("run-1", "running"))
    (tmp_path / "carbon_runs").unlink()
    output.update(make_report("run-1", "running"))
    assert (tmp_path / "carbon_runs" / f"run-1{SUFFIX}").exists()
    output.close(make_report("run-1"))
    output.update(make_report("run-1"))
    assert not list((tmp_path / "carbon_runs").glob("*.journal.jsonl.lock"))
