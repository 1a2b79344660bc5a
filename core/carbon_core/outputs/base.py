"""What an output is, and how its files are opened and replaced without ever tearing one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

from carbon_core.report import Report

# Beside the CSV file: receipts, journals, locks.
RUNS_DIRECTORY = "carbon_runs"


class Output(Protocol):
    """Gets the reports of one run, on the reporter's thread, in order.

    A method may raise `OutputError`; the run goes on, and the user is told once.
    """

    def open(self, report: Report) -> None:
        """The run has begun and its hardware is known."""
        ...

    def update(self, report: Report) -> None:
        """The totals so far, at every heartbeat."""
        ...

    def flush(self, report: Report) -> None:
        """The totals so far, because the user asked for them to be saved."""
        ...

    def close(self, report: Report) -> None:
        """The run has ended."""
        ...


def open_for_append(path: Path, mode: int) -> int:
    """Open or create a file of ours for appending and return its descriptor.

    Symbolic links are not followed.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, mode)


def occupy_standard_descriptors() -> None:
    """Put the null device on descriptors 0, 1 and 2 where they are closed, and leave it there.

    In a process that has closed them (a daemon), the next file opened by anybody would get one of
    them, and what the job prints would end up in it.
    """
    with contextlib.suppress(OSError):
        while not all(map(_is_open, (0, 1, 2))):
            os.open(os.devnull, os.O_RDWR)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def replace(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a whole file at once: temporary file beside it, fsync, rename."""
    import tempfile  # with what it imports, the dearest module of all; needed once, at the end

    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
