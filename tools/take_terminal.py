"""Takes the pictures of progress bars: runs a page's training in a terminal and draws its last lines.

Requires the packages that `nox -s pictures` installs. The figures depend on the machine.
"""

from __future__ import annotations

import os
import pty
import re
import struct
import sys
import tempfile
import termios
from fcntl import ioctl
from pathlib import Path

import pyte
from documents import blocks_of
from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent.parent / "docs"
# Columns of each page's terminal: its framework's bar fits.
PAGES = {"lightning": 132, "keras": 118}
LINES = 40
# What the frameworks write before the first line of a run is about the machine.
FIRST = "carbon-callbacks: measuring"


def output_of(program: str, columns: int) -> str:
    """Return what a program writes to a terminal of some columns."""
    with tempfile.TemporaryDirectory() as directory:
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(directory)
            os.execve(sys.executable, [sys.executable, "-W", "ignore", "-c", program], os.environ)
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        pieces = []
        try:
            while piece := os.read(terminal, 65_536):
                pieces.append(piece)
        except OSError:  # Linux: the program has ended
            pass
        os.close(terminal)
        os.waitpid(pid, 0)
    return b"".join(pieces).decode("utf-8", "replace")


def drawn(output: str, columns: int) -> str:
    """Return a picture of the lines that a terminal shows after an output, as SVG."""
    screen = pyte.HistoryScreen(columns, LINES, history=1000)
    pyte.Stream(screen).feed(output)
    lines = [line.rstrip() for line in screen.display if line.strip()]
    first = next(i for i, line in enumerate(lines) if line.startswith(FIRST))
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=columns, file=nowhere)
        for line in lines[first:]:
            console.print(Text(line))
    svg = console.export_svg(title="python train.py")
    # Fonts of the reader: a picture requests nothing.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def with_bar(program: str) -> str:
    """Return a page's program with a progress bar, and without what it prints at its end."""
    lines = program.replace("verbose=2", "verbose=1").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("print("))


def main() -> None:
    """Draw the terminal of each page's first program."""
    for page, columns in PAGES.items():
        document = (DOCS / f"{page}.md").read_text(encoding="utf-8")
        program = next(block.text for block in blocks_of(document) if block.language == "python")
        picture = drawn(output_of(with_bar(program), columns), columns)
        (DOCS / "images" / f"{page}-terminal.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
