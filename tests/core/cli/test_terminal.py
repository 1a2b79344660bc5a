"""Commands whose output cannot be written, in terminals without a size, and with files that are none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from core.cli.conftest import PROGRAM, Command, kept

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
COMMANDS = ["report", "report --json", "merge", "config show", "config check", "sources", "--help"]


def ended(
    tmp_path: Path, arguments: str, out: int, err: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments.split()],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=out,
        stderr=err,
        text=True,
        timeout=60,
    )


@needs_full
@pytest.mark.parametrize("arguments", COMMANDS)
def test_output_that_cannot_be_written_is_one_line_and_a_status(
    tmp_path: Path, arguments: str
) -> None:
    kept(tmp_path, 1.0)
    with FULL.open("w") as full:
        done = ended(tmp_path, arguments, full.fileno())
    assert done.returncode != 0
    assert done.stderr == (
        "carbon-callbacks: cannot write to standard output: No space left on device\n"
    )


@needs_full
def test_errors_that_cannot_be_written_either_are_a_status(tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    with FULL.open("w") as full:
        assert ended(tmp_path, "report", full.fileno(), full.fileno()).returncode != 0


def test_a_reader_that_ends_early_is_no_traceback(tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    reader, writer = os.pipe()
    os.close(reader)
    done = ended(tmp_path, "sources", writer)
    os.close(writer)
    assert (done.returncode != 0, done.stderr) == (True, "")


@pytest.mark.parametrize("arguments", ["report", "merge", "config show", "--help", "detect"])
@pytest.mark.parametrize("columns", ["0", "1", "²", "9" * 12])
def test_a_terminal_without_a_size_is_one_of_eighty_columns(
    command: Command, tmp_path: Path, arguments: str, columns: str
) -> None:
    kept(tmp_path, 1.0)
    done = command(*arguments.split(), COLUMNS=columns, LINES=columns)
    assert done.returncode == 0, done.stderr
    assert 40 < max(map(len, done.stdout.splitlines())) <= 80


def test_a_command_gets_the_size_that_was_set(command: Command) -> None:
    done = command("run", "--", "sh", "-c", "echo $COLUMNS $LINES", COLUMNS="0", LINES="1")
    assert done.stdout == "0 1\n"


@needs_fifo
@pytest.mark.parametrize(
    "arguments",
    [
        "report fifo",
        "report fifo.csv",
        "compare fifo {receipt}",
        "compare {receipt} fifo.csv",
        "reprice fifo --intensity 50",
        "reprice fifo.jsonl --intensity 50",
        "reprice {receipt} --intensity fifo",
    ],
)
def test_a_fifo_is_named_and_not_waited_for(
    command: Command, tmp_path: Path, arguments: str
) -> None:
    kept(tmp_path, 1.0)
    for name in ("fifo", "fifo.csv", "fifo.jsonl"):
        os.mkfifo(tmp_path / name)
    receipt = "carbon_runs/digits-0.receipt.json"
    done = command(*arguments.format(receipt=receipt).split())
    assert done.returncode == 2
    assert "not a regular file" in done.stderr
    assert "Traceback" not in done.stderr


@needs_fifo
def test_an_html_report_replaces_no_device(command: Command, tmp_path: Path) -> None:
    """As the superuser, ``--html /dev/null`` would be the end of the null device."""
    pytest.importorskip("jinja2", reason="the extra report is not installed here")
    kept(tmp_path, 1.0)
    os.mkfifo(tmp_path / "fifo")
    done = command("report", "--html", "fifo")
    assert done.returncode == 2
    assert "not a regular file" in done.stderr
    assert (tmp_path / "fifo").is_fifo()
