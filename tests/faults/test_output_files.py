"""Nowhere to write, or no room: said once, the run is measured and returned, no file is torn."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.children import KWH_PER_S, SLACK_S, Ended, Job, receipts, rows, total_kwh

pytestmark = pytest.mark.slow

Start = Callable[..., Job]
Run = Callable[..., Ended]

MEASURE = """
t = tracker({settings})
t.start()
began = time.monotonic()
known(t)
time.sleep(0.3)
t.flush()
say(t.stop(), time.monotonic() - began)
say(threading.active_count(), sorted(n for n in descriptors().values() if "carbon_runs" in n))
"""


def measured(run: Run, **settings: object) -> Ended:
    ended = run(MEASURE.format(settings=", ".join(f"{k}={v!r}" for k, v in settings.items())))
    assert ended.status == 0, ended.err
    assert_returned(ended)
    return ended


def assert_returned(ended: Ended) -> None:
    """The figure came back, and nothing of ours is left in the process."""
    figures, left = ended.out.splitlines()
    kilograms, seconds = map(float, figures.split())
    assert kilograms == pytest.approx(KWH_PER_S * seconds, abs=SLACK_S * KWH_PER_S)
    assert left == "1 []", "no thread and no open file is left"


def warnings_in(ended: Ended) -> list[str]:
    return [line for line in ended.own_lines if "cannot" in line or "failed" in line]


def test_control_a_directory_that_is_absent_is_made(run: Run, out: Path) -> None:
    ended = measured(run, output_dir="out/of/the/way")
    assert warnings_in(ended) == []
    assert len(rows(out / "of" / "the" / "way")) == 1


@pytest.mark.parametrize(
    "directory", ["a_file", "a_file/below", "/proc/nowhere", "dangling", "loop", "x" * 300]
)
def test_a_directory_that_cannot_be_made_is_said_once(
    run: Run, tmp_path: Path, directory: str
) -> None:
    (tmp_path / "a_file").write_text("mine")
    (tmp_path / "dangling").symlink_to("/proc/nowhere/at/all")
    (tmp_path / "loop").symlink_to("loop")
    ended = measured(run, output_dir=directory)
    assert len(warnings_in(ended)) == 1, ended.err
    assert len(ended.own_lines) <= 5
    assert (tmp_path / "a_file").read_text() == "mine"


@pytest.mark.parametrize("setting", ["output_dir", "output_file"])
@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "sub\0/x", "\ud800/x"], ids=ascii)
def test_a_name_that_no_file_can_have_costs_no_energy(run: Run, setting: str, name: str) -> None:
    ended = measured(run, **{setting: name})
    assert sum("not written" in line for line in ended.own_lines) == 1, ended.err


def test_a_directory_without_leave_to_write(run: Run, tmp_path: Path) -> None:
    # The superuser may write anywhere but where the kernel itself refuses.
    if os.geteuid() == 0:
        directory = "/proc/self"
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        directory = "locked"
    ended = measured(run, output_dir=directory)
    assert len(warnings_in(ended)) == 1, ended.err


def test_directories_in_the_place_of_files(run: Run, out: Path) -> None:
    (out / "emissions.csv").mkdir(parents=True)
    ended = measured(run)
    assert len(warnings_in(ended)) == 1, ended.err
    (out / "emissions.csv").rmdir()
    assert run(MEASURE.format(settings="")).status == 0
    assert len(rows(out)) == 2, "the first run is recovered from its journal"


def test_a_directory_that_vanishes_is_made_again(run: Run, out: Path) -> None:
    ended = run(
        """
        import shutil
        t = tracker()
        t.start()
        time.sleep(0.3)
        shutil.rmtree("out")
        time.sleep(0.3)
        say(t.stop() is not None)
        """
    )
    assert (ended.status, ended.out) == (0, "True\n"), ended.err
    assert float(rows(out)[0]["duration"]) >= 0.6


# --- no room -------------------------------------------------------------------------------------

# No file of the job may grow beyond a number of bytes, as on a full disk: a real refusal by the
# kernel, which also cuts a write short. The signal that goes with it is ignored by Python.
NO_ROOM = """
import resource
def room(size):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
"""


def no_room(when: str, size: int, then: str = "") -> str:
    before, after = (f"room({size})", "") if when == "before" else ("", f"room({size})")
    return f"""{NO_ROOM}
{before}
t = tracker()
t.start()
began = time.monotonic()
known(t)
time.sleep(0.2)
{after}
time.sleep(0.2)
say(t.stop(), time.monotonic() - began)
say(threading.active_count(), sorted(n for n in descriptors().values() if "carbon_runs" in n))
{then}
"""


def assert_whole(directory: Path) -> None:
    text = (directory / "emissions.csv").read_text()
    assert text == "" or text.endswith("\n"), "no torn row"
    rows(directory)
    receipts(directory)


@pytest.mark.parametrize("when", ["before", "later"])
@pytest.mark.parametrize("size", [0, 700, 3000])
def test_a_full_disk_is_said_and_tears_nothing(run: Run, out: Path, when: str, size: int) -> None:
    assert run(MEASURE.format(settings="project_name='old'")).status == 0
    ended = run(no_room(when, size))
    assert ended.status == 0, ended.err
    assert_returned(ended)
    assert 1 <= len(warnings_in(ended)) <= 3, ended.err
    assert_whole(out)
    assert rows(out)[0]["project_name"] == "old"


def test_when_there_is_room_again_the_run_is_recovered(run: Run, out: Path) -> None:
    """Even by the process that could not save it."""
    assert run(MEASURE.format(settings="project_name='old'")).status == 0
    size = (out / "emissions.csv").stat().st_size + 20
    then = "old = t\nroom(None)\nt = tracker(project_name='next')\n"
    then += "t.start()\ntime.sleep(0.1)\nt.stop()\n"
    # The journal is cut off at the same size: enough for its first record, not for them all.
    ended = run(no_room("later", max(size, 4000), then))
    assert ended.status == 0, ended.err
    assert_whole(out)
    if len(rows(out)) == 3:
        return
    raise AssertionError(f"{[row['project_name'] for row in rows(out)]}: {ended.err}")


def test_no_free_descriptor_from_mid_run_on(run: Run, out: Path) -> None:
    ended = run(
        """
        import resource
        t = tracker()
        t.start()
        began = time.monotonic()
        known(t)
        time.sleep(0.3)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        time.sleep(0.3)
        say(t.stop(), time.monotonic() - began)
        for fd in held:
            os.close(fd)
        t = tracker(project_name="next")
        t.start()
        t.stop()
        """
    )
    assert ended.status == 0, ended.err
    kilograms, seconds = map(float, ended.out.split())
    assert kilograms == pytest.approx(KWH_PER_S * seconds, abs=SLACK_S * KWH_PER_S)
    assert_whole(out)
    assert "next" in [row["project_name"] for row in rows(out)]
    assert len(rows(out)) == 2, "what was measured is recovered by the next run"


# --- a result that is not written ----------------------------------------------------------------


LOST = re.compile(r"result not written \((.*)\): (\S+) (\S*)Wh, \S+ m?g CO2e in .*, run \S+$")
KWH = {"µ": 1e-9, "m": 1e-6, "": 1e-3, "k": 1.0}


def lost(ended: Ended) -> tuple[str, float]:
    """Return the reason and the energy (kWh) in the only line about the lost result."""
    [line] = [line for line in ended.own_lines if "not written" in line]
    found = LOST.search(line)
    assert found, line
    return found[1], float(found[2]) * KWH[found[3]]


@pytest.mark.parametrize("level", ["error", "warning", "info"])
def test_a_result_that_is_not_written_is_an_error_with_the_figures(
    run: Run, tmp_path: Path, level: str
) -> None:
    (tmp_path / "a_file").write_text("mine")
    ended = measured(run, output_dir="a_file", log_level=level)
    reason, kwh = lost(ended)
    assert kwh == pytest.approx(float(ended.out.split()[0]), rel=1e-5), "1 kg/kWh"
    if level == "error":
        assert len(ended.own_lines) == 1
        assert "Not a directory" in reason or "File exists" in reason
    else:
        assert len(warnings_in(ended)) == 1, "the reason is said once"


def test_a_full_disk_is_an_error_with_the_figures(run: Run, out: Path) -> None:
    script = no_room("before", 0).replace("tracker()", "tracker(log_level='error')")
    ended = run(script)
    assert lost(ended)[1] > 0
    assert len(ended.own_lines) == 1


@pytest.mark.parametrize("end", ["", "raise ValueError", "sys.exit(3)"])
def test_a_run_that_is_never_stopped_says_it_too(run: Run, tmp_path: Path, end: str) -> None:
    (tmp_path / "a_file").write_text("mine")
    ended = run(
        f"""
        t = tracker(output_dir="a_file", log_level="error")
        t.start()
        known(t)
        time.sleep(0.2)
        {end}
        """
    )
    assert lost(ended)[1] > 0


def test_files_that_do_not_end_in_time_are_an_error_with_the_figures(run: Run, out: Path) -> None:
    ended = run(
        """
        t = tracker(log_level="error", shutdown_timeout_s=0.3)
        t.start()
        known(t)
        from carbon_core.outputs import receipt
        receipt.write = lambda report, path: time.sleep(5)
        time.sleep(0.1)
        say(t.stop() > 0)
        os._exit(0)
        """
    )
    assert ended.out == "True\n"
    assert "did not finish in time" in lost(ended)[0]


# --- what lies there already ---------------------------------------------------------------------


def test_a_symbolic_link_at_a_files_place_harms_no_file(run: Run, out: Path) -> None:
    victim = out.parent / "victim"
    victim.write_text("precious")
    (out / "carbon_runs").mkdir(parents=True)
    (out / "carbon_runs" / "emissions.csv.lock").symlink_to(victim)
    (out / "emissions.csv").symlink_to(victim)
    ended = run(MEASURE.format(settings=""))
    assert ended.status == 0, ended.err
    assert victim.read_text() == "precious"


def test_the_users_own_link_to_a_csv_file_is_followed(run: Run, out: Path) -> None:
    out.mkdir()
    (out / "emissions.csv").symlink_to("../group/emissions.csv")
    for directory in ("group", "out"):
        measured(run, output_dir=directory)
    assert (out / "emissions.csv").is_symlink()
    assert len(rows(out)) == 2


def test_a_torn_row_is_set_aside_and_said(run: Run, out: Path) -> None:
    measured(run)
    with (out / "emissions.csv").open("a") as file:
        file.write("2026-01-01T00:00:00,torn")
    ended = measured(run)
    assert len(rows(out)) == 2
    assert (out / "emissions.csv.invalid").read_text() == "2026-01-01T00:00:00,torn\n"
    assert sum("emissions.csv.invalid" in line for line in ended.own_lines) == 1


def test_older_columns_are_kept_and_said(run: Run, out: Path) -> None:
    out.mkdir()
    older = "timestamp,project_name,duration,emissions,energy_consumed\n2021,x,1.0,2.0,3.0\n"
    (out / "emissions.csv").write_text(older)
    ended = measured(run)
    assert len(rows(out)) == 1
    assert (out / "emissions.csv.bak").read_text() == older
    assert sum("emissions.csv.bak" in line for line in ended.own_lines) == 1


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_csv_file_in_a_subdirectory(run: Run, out: Path, by_variable: bool) -> None:
    if by_variable:
        ended = run(MEASURE.format(settings=""), CODECARBON_OUTPUT_FILE="sub/way/x.csv")
        assert_returned(ended)
    else:
        ended = measured(run, output_file="sub/way/x.csv")
    assert warnings_in(ended) == []
    assert len((out / "sub" / "way" / "x.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("name", ["../x.csv", "a/../../x.csv", "link/x.csv", "{tmp}/x.csv"])
def test_a_variable_names_no_file_outside_of_the_directory(
    run: Run, out: Path, tmp_path: Path, name: str
) -> None:
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    ended = run(MEASURE.format(settings=""), CODECARBON_OUTPUT_FILE=name.format(tmp=tmp_path))
    assert_returned(ended)
    assert not (tmp_path / "x.csv").exists()
    assert len((out / "x.csv").read_text().splitlines()) == 2


def test_a_tilde_is_the_home_directory(run: Run, tmp_path: Path) -> None:
    """HOME is the test's own directory."""
    measured(run, output_dir="~/results")
    assert len(rows(tmp_path / "results")) == 1
    assert not (tmp_path / "~").exists()


def test_a_lock_that_another_process_holds_costs_a_bounded_time(
    start: Start, run: Run, out: Path
) -> None:
    (out / "carbon_runs").mkdir(parents=True)
    holder = start(
        """
        import fcntl
        lock = open("out/carbon_runs/emissions.csv.lock", "w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        say("held")
        time.sleep(30)
        """
    )
    holder.wait_for("held")
    ended = run(
        """
        t = tracker()
        t.start()
        time.sleep(0.3)
        began = time.monotonic()
        say(t.stop() > 0, time.monotonic() - began < 2.5)
        """
    )
    assert (ended.status, ended.out) == (0, "True True\n"), ended.err
    holder.kill()
    run(MEASURE.format(settings="project_name='next'"))
    assert len(rows(out)) == 2, "the row comes with the next run"


def test_a_journal_that_is_no_journal_stays_and_harms_nothing(run: Run, out: Path) -> None:
    runs = out / "carbon_runs"
    runs.mkdir(parents=True)
    for name, content in [("a", b"\x80\x04\x95"), ("b", b""), ("c", b'{"type": "run"}\n[]\n1\n')]:
        (runs / f"{name}.journal.jsonl").write_bytes(content)
        (runs / f"{name}.journal.jsonl.lock").touch()
    (runs / "d.journal.jsonl").mkdir()
    (runs / "d.journal.jsonl.lock").touch()
    (runs / "e.journal.jsonl.lock").mkdir()
    ended = run(MEASURE.format(settings=""))
    assert ended.status == 0, ended.err
    assert len(rows(out)) == 1
    assert total_kwh(out) > 0
    assert (runs / "a.journal.jsonl").read_bytes() == b"\x80\x04\x95"


def test_modes_of_the_files(run: Run, out: Path) -> None:
    ended = run("os.umask(0o022)\n" + MEASURE.format(settings=""))
    assert ended.status == 0, ended.err
    (journal,) = (out / "carbon_runs").glob("*.jsonl")
    (receipt,) = (out / "carbon_runs").glob("*.json")
    assert journal.stat().st_mode & 0o777 == 0o600
    assert receipt.stat().st_mode & 0o777 == 0o644
    assert (out / "emissions.csv").stat().st_mode & 0o777 == 0o644
