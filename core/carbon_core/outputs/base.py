"""What an output is, and how its files are opened and replaced without ever tearing one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

from carbon_core.report import Report


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

    Symbolic links are not followed, and the descriptor is never one of the three standard ones, even
    in a process that has closed them.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags, mode)
    if descriptor > 2 or os.name != "posix":
        return descriptor
    import fcntl  # POSIX only

    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a whole file at once: temporary file beside it, fsync, rename."""
    import tempfile  # with what it imports, the dearest module of all; needed once, at the end

    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        # What others wrote in odd bytes goes back as it came.
        with os.fdopen(
            descriptor, "w", encoding="utf-8", errors="surrogateescape", newline=""
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
