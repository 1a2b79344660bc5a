"""Output of the commands: text of others as it is, sizes of terminals, and output that fails.

Names and messages may come from files of others. Only this module prints, so that neither Rich's markup
nor escape sequences in them have an effect.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from typing import Any

from rich.console import Console, ConsoleDimensions  # noqa: TID251 - only here
from rich.text import Text

from carbon_core.config.sources import process_environment
from carbon_core.escaping import one_line

# EX_IOERR of sysexits.h.
IO_ERROR = 74
_LEAST, _MOST = 20, 10_000
# With fewer columns, help is written without tables.
NARROW = 70

_removed: dict[str, str] = {}


class PlainConsole(Console):
    """A console that shows strings as they are, also in the cells and titles of tables.

    Args:
        **options: Those of Rich's console.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.is_dumb_terminal and "width" not in options:
            self.size = ConsoleDimensions(*shutil.get_terminal_size())  # Rich takes 80 columns

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text without interpretation; styles and alignment are applied."""
        plain = {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(one_line(text), **{**options, **plain})


def say(line: object = "") -> None:
    """Print a line to standard output, at once."""
    text = str(line)
    print(one_line(text, len(text)), flush=True)


def say_wrapped(line: object) -> None:
    """Print a line to standard output; in a terminal it is wrapped between words."""
    console = PlainConsole()
    if console.is_terminal:
        console.print(str(line))
    else:
        say(line)


def warn(line: object) -> None:
    """Print a line to standard error."""
    text = str(line)
    print(one_line(text, len(text)), file=sys.stderr)


def write_data(text: str) -> None:
    """Write data to standard output as they are; to a terminal, with each line as `say` prints it."""
    if sys.stdout.isatty():
        for line in text.split("\n"):
            say(line)
    else:
        print(text, flush=True)


def width() -> int:
    """Return the number of columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size().columns


def ignore_unusable_size() -> None:
    """Remove ``COLUMNS`` and ``LINES`` if they are unusable: a table without width prints nothing."""
    for name in ("COLUMNS", "LINES"):
        size = os.environ.get(name, "")  # noqa: TID251 - rich reads it from there
        is_number = size.isdecimal() and len(size) <= len(str(_MOST))
        if size.isdigit() and not (is_number and _LEAST <= int(size) <= _MOST):
            _removed[name] = os.environ.pop(name)  # noqa: TID251


def environment_of_child() -> dict[str, str]:
    """Return the environment that this process was started with."""
    return {**process_environment(), **_removed}


def report_failed_output(error: OSError) -> int:
    """Print one line about an error that ended the command; return the exit status."""
    what = error.filename or "cannot write to standard output"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(one_line(f"carbon-callbacks: {what}: {error.strerror or error}") + "\n")
        sys.stderr.flush()
    return discard_output()


def discard_output() -> int:
    """Discard what is left of the output; return the exit status.

    The interpreter would write it when it ends, and print a traceback.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    return IO_ERROR
