"""File systems without locks, other hosts and users, files and descriptors that disappear."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.children import (
    INTERVAL_S,
    KWH_PER_S,
    SLACK_S,
    Ended,
    Job,
    receipts,
    rows,
)

pytestmark = pytest.mark.slow

Start = Callable[..., Job]
Run = Callable[..., Ended]

SHORT_RUN = """
t = tracker({settings})
t.start()
known(t)
time.sleep(0.2)
t.flush()
t.stop()
"""
LONG_RUN = """
t = tracker(project_name="long")
t.start()
began = time.monotonic()
known(t)
time.sleep(0.3)
{then}
say("now")
{wait}
t.stop()
"""
UNTIL_TOLD = "while not os.path.exists('out/go'): time.sleep(0.02)"
# Stands in for a file system: the kernel call at the edge, not our code.
LOCKS = """
import fcntl
def refuse(descriptor, operation):
    raise OSError({number}, os.strerror({number}))
fcntl.flock = refuse
"""
NO_LOCKS = LOCKS.format(number=errno.ENOLCK)
# As mounted with `localflock` or `nolock`: every host gets every lock.
LOCAL_LOCKS = "import fcntl\nfcntl.flock = lambda descriptor, operation: None\n"


def short(locks: str = "", **settings: object) -> str:
    return locks + SHORT_RUN.format(settings=", ".join(f"{k}={v!r}" for k, v in settings.items()))


def long_run(locks: str = "", then: str = "", wait: str = "time.sleep(30)") -> str:
    return locks + LONG_RUN.format(then=then, wait=wait)


def kill(job: Job) -> None:
    job.wait_for("now")
    job.signal(signal.SIGKILL)
    assert job.end().status == -signal.SIGKILL


def unusual(ended: Ended) -> list[str]:
    """Return the lines but those that a run without any fault logs."""
    usual = (": measuring", ": completed", ": receipt: ")
    return [line for line in ended.own_lines if not any(one in line for one in usual)]


def journals(out: Path) -> list[Path]:
    return sorted((out / "carbon_runs").glob("*.journal.jsonl"))


# --- no locks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO])
def test_without_locks_everything_is_written_and_it_is_said_once(
    run: Run, out: Path, number: int
) -> None:
    ended = run(short(LOCKS.format(number=number)), "-W", "error")
    assert ended.status == 0, ended.err
    assert len(rows(out)) == len(receipts(out)) == len(journals(out)) == 1
    said = [line for line in ended.own_lines if "locks" in line]
    assert len(said) == 1, ended.err
    assert len(unusual(ended)) == 1, ended.err
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_with_locks_nothing_is_said_of_them(run: Run, out: Path) -> None:
    ended = run(short(), "-W", "error")
    assert len(rows(out)) == 1
    assert "lock" not in ended.err


def test_without_locks_first_rows_of_several_runs_share_one_header(start: Start, out: Path) -> None:
    jobs = [start(short(NO_LOCKS, project_name=f"job-{i}")) for i in range(4)]
    assert [job.end().status for job in jobs] == [0] * 4
    assert sorted(row["project_name"] for row in rows(out)) == [f"job-{i}" for i in range(4)]


def test_without_locks_a_killed_run_is_recovered_once(start: Start, run: Run, out: Path) -> None:
    kill(start(long_run(NO_LOCKS)))
    for name in ("next", "last"):
        assert run(short(NO_LOCKS, project_name=name)).status == 0
    assert [row["project_name"] for row in rows(out)] == ["long", "next", "last"]


@pytest.mark.parametrize("locks", [NO_LOCKS, LOCAL_LOCKS], ids=["no locks", "local locks"])
def test_a_live_run_is_left_alone_where_locks_do_not_protect_it(
    start: Start, run: Run, out: Path, locks: str
) -> None:
    job = start(long_run(locks, wait=UNTIL_TOLD))
    job.wait_for("now")
    assert run(short(locks, project_name="other")).status == 0
    assert [row["project_name"] for row in rows(out)] == ["other"]
    (out / "go").touch()
    assert job.end().status == 0
    assert sorted(row["project_name"] for row in rows(out)) == ["long", "other"]


def test_a_run_of_another_host_is_recovered_when_its_journal_is_old(
    start: Start, run: Run, out: Path
) -> None:
    kill(start(long_run()))
    (journal,) = journals(out)
    first, *others = journal.read_text().splitlines(keepends=True)
    record = json.loads(first)
    assert record["owner"]["host"] == os.uname().nodename
    record["owner"]["host"] = "elsewhere"
    journal.write_text("".join([json.dumps(record) + "\n", *others]))
    run(short(project_name="soon"))
    assert [row["project_name"] for row in rows(out)] == ["soon"]
    before = journal.stat().st_mtime - 3_600
    os.utime(journal, (before, before))
    run(short(project_name="later"))
    assert [row["project_name"] for row in rows(out)] == ["soon", "long", "later"]


def test_a_journal_without_an_owner_is_recovered_by_its_lock(
    start: Start, run: Run, out: Path
) -> None:
    kill(start(long_run()))
    (journal,) = journals(out)
    first, *others = journal.read_text().splitlines(keepends=True)
    record = json.loads(first)
    del record["owner"]
    journal.write_text("".join([json.dumps(record) + "\n", *others]))
    run(short(project_name="next"))
    assert [row["project_name"] for row in rows(out)] == ["long", "next"]


def test_a_file_system_without_fsync_costs_nothing(run: Run, out: Path) -> None:
    no_sync = """
def refuse(descriptor):
    raise OSError(22, "Invalid argument")
os.fsync = refuse
"""
    ended = run(short(no_sync))
    assert ended.status == 0, ended.err
    assert not unusual(ended), ended.err
    assert len(rows(out)) == len(receipts(out)) == 1


# --- modes ---------------------------------------------------------------------------------------


def modes(out: Path) -> dict[str, int]:
    """Return the modes of what a run wrote, by a name that does not depend on the run."""
    found = {out.name: stat.S_IMODE(out.stat().st_mode)}
    for path in out.rglob("*"):
        name = path.name if path.is_dir() or path.suffix == ".csv" else path.suffixes[-2]
        found[name] = stat.S_IMODE(path.stat().st_mode)
    return found


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o022, 0o002, 0o000])
def test_modes_follow_the_umask_and_no_directory_is_writable_for_all(
    run: Run, out: Path, umask: int
) -> None:
    ended = run(f"os.umask({umask})\n" + short())
    assert ended.status == 0, ended.err
    found = modes(out)
    assert found["out"] == found["carbon_runs"] == 0o775 & ~umask
    assert found["emissions.csv"] == found[".receipt"] == 0o666 & ~umask
    assert found[".journal"] == 0o600


def test_a_flush_keeps_the_mode_of_the_file(run: Run, out: Path) -> None:
    assert run(short()).status == 0
    for mode in (0o660, 0o600, 0o666):
        (out / "emissions.csv").chmod(mode)
        ended = run("os.umask(0o022)\n" + short(on_csv_write="update"))
        assert ended.status == 0, ended.err
        assert modes(out)["emissions.csv"] == mode


# --- one file refused, and the files of others ---------------------------------------------------


def test_a_refused_row_does_not_cost_the_receipt(run: Run, out: Path) -> None:
    (out / "emissions.csv").mkdir(parents=True)
    ended = run(short())
    assert ended.status == 0, ended.err
    assert len(receipts(out)) == 1
    (out / "emissions.csv").rmdir()
    run(short(project_name="next"))
    assert len(rows(out)) == len(receipts(out)) == 2


def test_a_refused_receipt_does_not_cost_the_row(run: Run, out: Path) -> None:
    out.mkdir()
    (out / "carbon_runs").write_text("in the way")
    ended = run(short())
    assert ended.status == 0, ended.err
    assert len(rows(out)) == 1
    assert (out / "carbon_runs").read_text() == "in the way"


def test_many_and_odd_files_of_others_cost_the_new_run_nothing(
    start: Start, run: Run, out: Path
) -> None:
    kill(start(long_run()))
    (template,) = journals(out)
    text, runs = template.read_text(), template.parent
    run_id = template.name.removesuffix(".journal.jsonl")
    for i in range(1_000):
        other = f"{i:08x}{run_id[8:]}"
        (runs / f"{other}.journal.jsonl").write_text(text.replace(run_id, other))
        (runs / f"{other}.journal.jsonl.lock").touch()
    os.mkfifo(runs / "fifo.journal.jsonl")
    (runs / "link.journal.jsonl").symlink_to("/dev/zero")
    with (runs / "sparse.journal.jsonl").open("wb") as file:
        file.truncate(1_500_000_000)
    for name in ("fifo", "link", "sparse"):
        (runs / f"{name}.journal.jsonl.lock").touch()
    ended = run(
        """
        import pathlib
        t = tracker(project_name="new")
        began = time.monotonic()
        t.start()
        time.sleep(0.2)
        t.stop()
        # Not ru_maxrss: a child begins with its parent's.
        status = pathlib.Path("/proc/self/status").read_text()
        say(time.monotonic() - began, status.partition("VmHWM:")[2].split()[0])
        """
    )
    assert ended.status == 0, ended.err
    seconds, peak_kb = map(float, ended.out.split())
    assert "new" in [row["project_name"] for row in rows(out)]
    assert seconds < 4
    assert peak_kb < 400_000
    before = len(rows(out))
    run(short())
    assert len(rows(out)) > before + 1, "the next run continues"


# --- files and descriptors that disappear --------------------------------------------------------


def assert_whole(ended_rows: list[dict[str, str]], least_s: float) -> None:
    (row,) = [row for row in ended_rows if row["project_name"] == "long"]
    assert float(row["duration"]) >= least_s - 1.3 * INTERVAL_S - SLACK_S / 2
    assert float(row["energy_consumed"]) == pytest.approx(
        KWH_PER_S * float(row["duration"]), rel=0.02
    )


PURGES = {
    "directory": "shutil.rmtree('out')",
    "runs": "shutil.rmtree('out/carbon_runs')",
    "journal": "[p.unlink() for p in pathlib.Path('out/carbon_runs').glob('*.jsonl')]",
    "lock": "[p.unlink() for p in pathlib.Path('out/carbon_runs').glob('*.lock')]",
    "moved": "os.rename('out', 'away')",
}


@pytest.mark.parametrize("purge", PURGES.values(), ids=PURGES)
def test_a_run_whose_files_are_deleted_is_recovered_as_a_whole(
    start: Start, run: Run, out: Path, purge: str
) -> None:
    then = f"import pathlib, shutil\n{purge}\ntime.sleep(0.4)\n"
    kill(start(long_run(then=then)))
    run(short(project_name="next"))
    assert_whole(rows(out), least_s=0.7)


CLOSED = """
os.closerange(3, 1024)
checkpoint = [open(f"checkpoint-{i}", "wb", buffering=0) for i in range(32)]
for file in checkpoint:
    file.write(b"weights")
time.sleep(0.4)
"""


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_descriptors_that_the_program_closed_are_not_written_to(
    start: Start, run: Run, out: Path, end: str
) -> None:
    job = start(long_run(then=CLOSED, wait="time.sleep(30)" if end == "kill" else ""))
    if end == "kill":
        kill(job)
    else:
        ended = job.end()
        assert ended.status == 0, ended.err
        assert not unusual(ended), ended.err
    for i in range(32):
        assert (out.parent / f"checkpoint-{i}").read_bytes() == b"weights"
    run(short(project_name="next"))
    assert_whole(rows(out), least_s=0.7)


def test_our_end_closes_no_descriptor_of_the_program(run: Run, out: Path) -> None:
    ended = run(
        long_run(then=CLOSED, wait="")
        + "for file in checkpoint:\n    file.write(b'!')\nsay('whole')\n"
    )
    assert ended.status == 0, ended.err
    assert "whole" in ended.out
    assert len(rows(out)) == 1
