"""What commands print fits the terminal: no number and no key is cut, and no escape sequence is left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from core.cli.conftest import PROGRAM, Command, kept

from carbon_core.config.schema import KEYS

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

pytestmark = pytest.mark.slow

LONG = "a-project-whose-name-is-much-longer-than-any-column"
RECEIPT = "carbon_runs/digits-0.receipt.json"
# Each with texts that have to be whole.
COMMANDS = {
    "report": ["18.5 kWh", "6.84 kWh", "598 g CO2e", "1.61 kg CO2e", "2 h"],
    "merge": ["18.5 kWh", "6.84 kWh", "598 g CO2e", "1.61 kg CO2e"],
    f"reprice {RECEIPT} --intensity 1000": ["6.84 kg CO2e", "598 g CO2e"],
    "config show": list(KEYS),
    "config show --origin": list(KEYS),
    "detect": ["grade", "GiB of memory"],
    "doctor --at-least E": ["grade", "GiB of memory"],
    "sources": ["cpu_tdp.csv"],
}


def fill(directory: Path) -> None:
    kept(directory, 12.3, project=LONG)
    kept(directory, 4.56)


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("words", COMMANDS)
def test_a_pipe(words: str, columns: int, command: Command, tmp_path: Path) -> None:
    fill(tmp_path)
    done = command(*words.split(), COLUMNS=str(columns), LD_LIBRARY_PATH="")
    assert done.returncode == 0, done.stderr
    check(done.stdout, COMMANDS[words], columns if words != "sources" else None)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(
    "variables", [{"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}], ids=str
)
@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_terminal(columns: int, variables: dict[str, str], tmp_path: Path) -> None:
    fill(tmp_path)
    for words in ("report", "merge", f"compare {RECEIPT} ."):
        check(shown_in_terminal(tmp_path, words, columns, variables), [], columns)
    shown = shown_in_terminal(tmp_path, "config show", columns, variables)
    check(shown, list(KEYS), columns)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_monitor_writes_lines_to_a_dumb_terminal(tmp_path: Path) -> None:
    words = "monitor --seconds 0.4 --every 0.2 --set log_level=error"
    lines = shown_in_terminal(tmp_path, words, 80, {"TERM": "dumb"}).splitlines()
    assert len(lines) == 2
    assert all(" W, " in line for line in lines)


def check(text: str, whole: list[str], columns: int | None) -> None:
    # NO_COLOR leaves bold and italic.
    text = re.sub(r"\x1b\[(?:[0-57](?:;[0-57])*)?m", "", text)
    lines = text.splitlines()
    assert lines
    assert columns is None or max(map(len, lines)) <= columns
    assert "\x1b" not in text
    assert "…" not in text
    joined = " ".join(text.split())
    assert [one for one in whole if one not in joined and one not in text] == []


def shown_in_terminal(directory: Path, words: str, columns: int, variables: dict[str, str]) -> str:
    import fcntl
    import pty
    import struct
    import termios

    keyboard, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    left_out = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    environ = {key: value for key, value in os.environ.items() if key not in left_out}
    environ |= {"HOME": str(directory), "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words.split()],
        cwd=directory,
        env=environ,
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.PIPE,
    )
    os.close(terminal)
    parts = []
    try:
        while part := os.read(keyboard, 2**16):
            parts.append(part)
    except OSError:  # Linux: no process has the terminal any more
        pass
    os.close(keyboard)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return b"".join(parts).decode().replace("\r", "")


def test_a_row_of_a_narrow_terminal_is_a_block_of_lines(command: Command, tmp_path: Path) -> None:
    fill(tmp_path)
    lines = command("report", COLUMNS="40").stdout.splitlines()
    assert "  energy: 18.5 kWh" in lines
    assert LONG[:38] in "".join(lines).replace(" ", "")
    assert json.loads(command("report", "--json", COLUMNS="40").stdout)["total"]["runs"] == 2
