"""A log line beside a progress bar: on a line of its own, and no empty line where there is no bar."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from carbon_core.fresh_line import begin_line, begin_lines
from carbon_core.messages import LOGGER_NAME, Messages

COLUMNS = 80


class Terminal(io.StringIO):
    """A terminal of 80 columns, which shows rows."""

    def isatty(self) -> bool:
        return True

    @property
    def rows(self) -> list[str]:
        rows, column = [""], 0
        for char in self.getvalue():
            if char == "\n":
                rows.append("")
                column = 0
            elif char == "\r":
                column = 0
            else:
                if column == COLUMNS:  # wraps with the next character, not with the last one
                    rows.append("")
                    column = 0
                rows[-1] = rows[-1][:column].ljust(column) + char + rows[-1][column + 1 :]
                column += 1
        return [row.rstrip() for row in rows]


@pytest.mark.parametrize("bar", ["\r 50%|#####     |", "Loading the model... ", "\r" + "#" * 79])
def test_a_line_on_a_terminal_is_not_glued_to_a_bar(bar: str) -> None:
    terminal = Terminal()
    terminal.write(bar)
    begin_line(terminal)
    terminal.write("measuring\n")
    assert terminal.rows == [bar.removeprefix("\r").rstrip(), "measuring", ""]


def test_a_line_on_an_empty_row_stays_there() -> None:
    terminal = Terminal()
    for text in ("one", "two"):
        begin_line(terminal)
        terminal.write(f"{text}\n")
    assert terminal.rows == ["one", "two", ""]


def test_messages_begin_a_line_beside_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    logger = logging.getLogger(LOGGER_NAME)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [])
    terminal.write("\r 50%|#####     |")
    messages = Messages()
    messages.info("first")
    messages.deliver()
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(terminal)])
    terminal.write("\r 60%|######    |")
    messages.warn("second")
    messages.deliver()
    assert terminal.rows == [
        " 50%|#####     |", "carbon-callbacks: first", " 60%|######    |", "second", ""
    ]  # fmt: skip


def test_a_log_that_goes_elsewhere_leaves_the_terminal_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logger = logging.Logger("elsewhere")
    logger.addHandler(logging.StreamHandler(io.StringIO()))
    begin_lines(logger)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("stream", [None, object(), io.StringIO()])
def test_any_other_stream_gets_nothing(stream: object) -> None:
    begin_line(stream)
    assert not isinstance(stream, io.StringIO) or stream.getvalue() == ""


def test_a_bar_of_a_notebook_is_not_on_the_stream() -> None:
    tqdm = pytest.importorskip("tqdm")
    stream = io.StringIO()
    with tqdm.tqdm(total=1, file=stream) as bar:
        bar.gui = True  # as `tqdm.notebook` sets it
        before = stream.getvalue()
        begin_line(stream)
        assert stream.getvalue() == before


def test_lines_in_a_file_are_not_glued_to_a_bar_of_tqdm(tmp_path: Path) -> None:
    pytest.importorskip("tqdm")
    script = """
import logging
from tqdm.auto import tqdm
from carbon_core import EmissionsTracker
bar = tqdm(range(3))
with EmissionsTracker(save_to_file=False):
    for _ in bar: pass
with EmissionsTracker(save_to_file=False, project_name="after the bar"): pass
"""
    environ = {name: v for name, v in os.environ.items() if not name.startswith("CODECARBON_")}
    environ |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path, env=environ, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    lines = done.stderr.decode().split("\n")
    ours = [line for line in lines if "carbon-callbacks" in line]
    assert len(ours) >= 3
    assert all(line.startswith("carbon-callbacks: ") for line in ours)
    assert "100%" in done.stderr.decode()
    assert lines.count("") == 1, "no empty line but the one after the last line end"
