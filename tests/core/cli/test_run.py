"""`carbon-callbacks run`: a command measured as a whole, through real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.lab import eventually

pytestmark = pytest.mark.slow

TIMEOUT_S = 60.0
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Return what starts the command in a directory of its own."""
    home = tmp_path / "home"
    environ = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **options: Any) -> subprocess.Popen[str]:
        # The test's own process may ignore Ctrl-C, as one in the background does.
        interruptible = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        program = "from carbon_callbacks.cli import main; main()"
        if not options.get("preexec_fn"):
            program = interruptible + program
        process = subprocess.Popen(
            [sys.executable, "-c", program, "run", *words],
            cwd=tmp_path,
            env=environ,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def receipt(directory: Path) -> dict[str, Any]:
    (path,) = (directory / "carbon_runs").glob("*.receipt.json")
    return json.loads(path.read_text())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_input_output_and_exit_status_are_the_command_s(start: Start, tmp_path: Path) -> None:
    program = "import sys; print(sys.stdin.read().upper(), end=''); sys.exit(3)"
    done = start("--", sys.executable, "-c", program)
    out, error = done.communicate("words\n", timeout=TIMEOUT_S)
    assert (out, done.returncode) == ("WORDS\n", 3)
    assert "failed after" in error
    found = receipt(tmp_path)
    assert found["status"] == "failed"
    assert found["run"]["tracking_mode"] == "process"


def test_options_after_the_command_are_its_own(start: Start, tmp_path: Path) -> None:
    done = start("--set", "project_name=mine", sys.executable, "-c", "", "--help", "--set", "x")
    _, error = done.communicate(timeout=TIMEOUT_S)
    assert done.returncode == 0, error
    assert receipt(tmp_path)["run"]["project_name"] == "mine"


def test_what_the_command_starts_is_counted_with_it(start: Start, tmp_path: Path) -> None:
    busy = "import time; end = time.time() + 1.5\nwhile time.time() < end: pass"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    start("--", sys.executable, "-c", program).communicate(timeout=TIMEOUT_S)
    (cpu,) = (one for one in receipt(tmp_path)["devices"] if one["component"] == "cpu")
    busy_j = cpu["measured_j"] + cpu["extrapolated_j"]
    assert busy_j > 0.5 * receipt(tmp_path)["duration_s"] * 0.1


@pytest.mark.parametrize(
    ("command", "code"), [("no-such-command-here", 127), ("./not_executable", 126)]
)
def test_a_command_that_cannot_be_started_is_named(
    command: str, code: int, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "not_executable").write_text("text")
    done = start("--", command)
    _, error = done.communicate(timeout=TIMEOUT_S)
    assert done.returncode == code
    assert command in error
    assert not (tmp_path / "carbon_runs").exists()


@pytest.mark.parametrize("words", [["--set", "pue", "true"], ["--set", "pue=abc", "true"]])
def test_a_wrong_setting_ends_it_before_the_command_starts(
    words: list[str], start: Start, tmp_path: Path
) -> None:
    done = start(*words)
    _, error = done.communicate(timeout=TIMEOUT_S)
    assert done.returncode == 2
    assert "pue" in error


def told_to_end(start: Start, program: str, number: int) -> tuple[subprocess.Popen[str], int]:
    """Start a program, wait until it is there, and signal the one who measures it."""
    process = start("--", sys.executable, "-c", program)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.send_signal(number)
    return process, pid


def test_a_terminated_command_ends_in_its_own_way_and_is_measured(
    start: Start, tmp_path: Path
) -> None:
    program = (
        "import os, signal, sys, time\n"
        "def end(*_): os.write(1, b'checkpoint written\\n'); os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    process, pid = told_to_end(start, program, signal.SIGTERM)
    out, error = process.communicate(timeout=TIMEOUT_S)
    assert (out, process.returncode) == ("checkpoint written\n", 0), error
    assert receipt(tmp_path)["status"] == "completed"
    assert not alive(pid)


SLEEPING = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def test_a_signal_that_comes_after_the_command_has_ended_costs_no_receipt(
    start: Start, tmp_path: Path
) -> None:
    """A batch system signals every process of a job, and not all at the same instant."""
    done = start("--", "sh", "-c", "trap '' TERM; echo ready; read word; exit 3")
    assert done.stdin is not None
    assert done.stdout is not None
    assert done.stdout.readline() == "ready\n"
    assert eventually(lambda: bool(list(tmp_path.glob("carbon_runs/*.journal.jsonl.lock"))))
    done.stdin.close()
    done.stdin = None
    deadline = time.monotonic() + TIMEOUT_S
    while done.poll() is None and time.monotonic() < deadline:
        done.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    assert receipt(tmp_path)["status"] == "failed"
    assert not list(tmp_path.glob("carbon_runs/*.journal.jsonl.lock"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_a_signal_ends_gives_its_number(
    number: int, start: Start, tmp_path: Path
) -> None:
    program = f"import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); {SLEEPING}"
    process, pid = told_to_end(start, program, number)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 128 + number
    found = receipt(tmp_path)
    assert found["status"] == "interrupted"
    assert found["energy_kwh"]["value"] > 0
    assert not alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means")
def test_a_command_does_not_outlive_the_one_who_measures_it(start: Start) -> None:
    _, pid = told_to_end(start, SLEEPING, signal.SIGKILL)
    assert eventually(lambda: not alive(pid), 10.0)


def test_a_run_without_a_command_says_what_is_missing(start: Start) -> None:
    done = start()
    _, error = done.communicate(timeout=TIMEOUT_S)
    assert done.returncode == 2
    assert "COMMAND" in error


def test_the_command_inherits_open_files(start: Start) -> None:
    """As in `carbon-callbacks run -- cat <(echo words)`."""
    reader, writer = os.pipe()
    os.write(writer, b"words\n")
    os.close(writer)
    done = start("--", "cat", f"/dev/fd/{reader}", pass_fds=[reader])
    os.close(reader)
    out, error = done.communicate(timeout=TIMEOUT_S)
    assert (out, done.returncode) == ("words\n", 0), error


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_process_substitution_is_read(start: Start, tmp_path: Path) -> None:
    runner = tmp_path / "runner"
    runner.write_text(
        f"#!{sys.executable}\nfrom carbon_callbacks.cli import main\nraise SystemExit(main())\n"
    )
    runner.chmod(0o755)
    script = "./runner run -- cat <(echo x); echo $?"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.stdout == "x\n0\n", done.stderr


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_is_ignored_is_ignored_by_the_command(
    number: int, start: Start, tmp_path: Path
) -> None:
    """As after `nohup`, or with `&` in a script."""
    program = (
        "import os, signal, sys\n"
        f"ignored = signal.getsignal({int(number)}) == signal.SIG_IGN\n"
        "print(ignored, flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = start(
        "--",
        sys.executable,
        "-c",
        program,
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    process.send_signal(number)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert receipt(tmp_path)["status"] == "completed"


def test_a_key_reaches_the_command_once_when_its_input_is_a_file(
    start: Start, tmp_path: Path
) -> None:
    """The terminal sends Ctrl-C to both processes: a forwarded one would be a second."""
    import fcntl
    import pty
    import termios

    keyboard, terminal = pty.openpty()
    program = (
        "import os, signal, sys, time\n"
        "def count(*_): os.write(1, b'interrupted\\n')\n"
        "signal.signal(signal.SIGINT, count)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    process = start(
        "--",
        sys.executable,
        "-c",
        program,
        pass_fds=[terminal],
        preexec_fn=lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.write(keyboard, b"\x03")
    assert process.stdout.readline() == "interrupted\n"
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=TIMEOUT_S)
    os.close(keyboard)
    os.close(terminal)
    assert (out, process.returncode) == ("", 0), error


TRACKER = """
import time
from carbon_callbacks import EmissionsTracker
for name in ("first", "second"):
    with EmissionsTracker(project_name=name, log_level="error"):
        time.sleep(0.3)
"""


def by_project(directory: Path) -> dict[str, dict[str, Any]]:
    paths = (directory / "carbon_runs").glob("*.receipt.json")
    receipts = [json.loads(path.read_text()) for path in paths]
    return {one["run"]["project_name"]: one for one in receipts}


def test_trackers_within_the_command_name_the_run_and_count_once(
    start: Start, tmp_path: Path
) -> None:
    words = ["--set", "project_name=outer", "--", sys.executable, "-c", TRACKER]
    _, error = start(*words).communicate(timeout=TIMEOUT_S)
    found = by_project(tmp_path)
    outer = found["outer"]["run"]
    assert outer["within"] == [], error
    assert [found[name]["run"]["within"] for name in ("first", "second")] == [[outer["run_id"]]] * 2
    shown = subprocess.run(
        [sys.executable, "-m", "carbon_callbacks", "report", "--json"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    data = json.loads(shown.stdout)
    assert data["total"]["energy_kwh"] == pytest.approx(found["outer"]["energy_kwh"])
    assert (data["total"]["runs"], data["total"]["runs_within_others"]) == (1, 2)
    parts = {run["project_name"]: run["part_of"] for run in data["runs"]}
    assert parts == {"outer": None, "first": outer["run_id"], "second": outer["run_id"]}
    # The CSV file has both: it is CodeCarbon's, and cannot say so.
    assert len((tmp_path / "emissions.csv").read_text().splitlines()) == 4


def test_a_run_within_a_run_names_both(start: Start, tmp_path: Path) -> None:
    inner = [sys.executable, "-m", "carbon_callbacks", "run", "--set", "project_name=middle", "--"]
    words = ["--set", "project_name=outer", "--", *inner, sys.executable, "-c", TRACKER]
    _, error = start(*words).communicate(timeout=TIMEOUT_S)
    found = by_project(tmp_path)
    ids = [found[name]["run"]["run_id"] for name in ("middle", "outer")]
    assert found["first"]["run"]["within"] == ids, error
    assert found["middle"]["run"]["within"] == ids[1:]
