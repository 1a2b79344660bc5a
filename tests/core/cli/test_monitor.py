"""`carbon-callbacks monitor`: in a real pseudo-terminal, and through a pipe."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")
pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")

pytestmark = pytest.mark.slow

TIMEOUT_S = 60.0
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **options: Any) -> subprocess.Popen[bytes]:
        environ = {
            "HOME": str(tmp_path / "home"),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "COLUMNS": "100",
            "TERM": "xterm",
        }
        program = "from carbon_callbacks.cli import main; main()"
        argv = [sys.executable, "-c", program, "monitor", "--every", "0.2", *words]
        process = subprocess.Popen(argv, cwd=tmp_path, env=environ, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def receipt(directory: Path) -> dict[str, Any]:
    (path,) = (directory / "carbon_runs").glob("*.receipt.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_a_terminal_it_shows_each_device_and_a_signal_leaves_a_whole_run(
    number: int, start: Start, tmp_path: Path
) -> None:
    master, slave = pty.openpty()
    process = start(stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    deadline = time.monotonic() + TIMEOUT_S
    while shown.count(b"press Ctrl-C") < 3 and time.monotonic() < deadline:
        shown += os.read(master, 4096)
    process.send_signal(number)
    while True:
        try:
            shown += os.read(master, 4096)
        except OSError:  # its end has closed
            break
    os.close(master)
    assert process.wait(TIMEOUT_S) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode("utf-8", "replace"))
    assert "ram.model" in text
    assert "g CO2e" in text
    assert "completed after" in text
    found = receipt(tmp_path)
    assert found["status"] == "completed"
    assert found["energy_kwh"]["value"] > 0


def test_through_a_pipe_it_writes_plain_lines_for_a_while(start: Start, tmp_path: Path) -> None:
    words = ["--seconds", "0.8", "--set", "budget_kwh=1000"]
    process = start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, _ = process.communicate(timeout=TIMEOUT_S)
    lines = out.decode().splitlines()
    assert process.returncode == 0
    assert len(lines) == 4
    pattern = r"\d\d:\d\d:\d\d \S+ [\d.]+ W, .* [nµm]?Wh, .* m?g CO2e \(.* g/kWh, .*\); "
    pattern += r"energy budget 0 % used \(.* of 1.00 MWh\), about [\d,]+ h left"
    assert all(re.fullmatch(pattern, line) for line in lines), lines
    assert receipt(tmp_path)["duration_s"] > 0.7


def test_a_signal_within_a_wait_ends_it() -> None:
    """The handler runs on the waiting thread: it may take no lock that this thread holds."""
    from carbon_callbacks.cli.monitor import _stop_signal

    calls = 0

    def interrupt(frame: Any, event: str, argument: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < 20:  # at the first lines of what `wait` calls
            signal.raise_signal(signal.SIGTERM)
        return interrupt

    with _stop_signal() as stop:
        sys.settrace(interrupt)
        try:
            assert stop.wait(TIMEOUT_S)
        finally:
            sys.settrace(None)
    assert calls > 0
