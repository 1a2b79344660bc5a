"""The terminal's size in ``COLUMNS`` and ``LINES``, and standard output that cannot be written."""

from __future__ import annotations

import contextlib
import os
import sys

from carbon_core.config.sources import process_environment

# EX_IOERR of sysexits.h.
IO_ERROR = 74
_LEAST, _MOST = 20, 10_000

_removed: dict[str, str] = {}


def ignore_unusable_size() -> None:
    """Remove ``COLUMNS`` and ``LINES`` if they are unusable: a table without width prints nothing."""
    for name in ("COLUMNS", "LINES"):
        size = os.environ.get(name, "")  # noqa: TID251 - rich reads it from there
        if size.isdigit() and not (size.isdecimal() and _LEAST <= int(size) <= _MOST):
            _removed[name] = os.environ.pop(name)  # noqa: TID251


def environment_of_child() -> dict[str, str]:
    """Return the environment that this process was started with."""
    return {**process_environment(), **_removed}


def report_failed_output(error: OSError) -> int:
    """Print one line about an error that ended the command; return the exit status."""
    what = error.filename or "cannot write to standard output"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"carbon-callbacks: {what}: {error.strerror or error}\n")
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
