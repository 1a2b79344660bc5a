"""Interfaces of outputs, and atomic writing of their files."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple, Protocol

from carbon_core.records import Amounts
from carbon_core.report import Report

# Beside the CSV file: receipts, journals, locks.
RUNS_DIRECTORY = "carbon_runs"


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_NAME = 100


class FileOutput(Protocol):
    """An output that writes files: receives the reports of one run in order, on the files' thread.

    A method may raise `OutputError`; the run continues, with one warning.
    """

    def open(self, report: Report) -> None:
        """The run has begun and its hardware is known."""
        ...

    def update(self, report: Report) -> None:
        """The totals so far, at every heartbeat."""
        ...

    def flush(self, report: Report) -> None:
        """The totals so far, because the user called ``flush()``."""
        ...

    def close(self, report: Report) -> None:
        """The run has ended."""
        ...


class Output(Protocol):
    """An output that may block: a service, or an object of the user's; receives the results of a run.

    All methods are called on the network's thread, one after the other. After a call that raises or
    accepts a part only, the next call delivers the rest: what was accepted adds up to the run's total.
    """

    def open(self, report: Report) -> None:
        """The run has begun and its hardware is known; called again after it has raised."""
        ...

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """The totals so far, every ``api_call_interval`` readings.

        Args:
            report: The totals.
            delta: The increment since what was accepted last.

        Returns:
            The part of the delta that was accepted; None for all of it.
        """
        ...

    def close(self, report: Report, delta: Amounts) -> Amounts | None:
        """The run has ended; as `update` otherwise. Not called again, whatever it does."""
        ...


class Delivered(NamedTuple):
    """Delivery progress of an output.

    Attributes:
        output: The output's name.
        amounts: The total that it has accepted.
        remote_id: Its own id of the run, or None.
    """

    output: str
    amounts: Amounts = Amounts()
    remote_id: str | None = None


def safe_name(text: str) -> str:
    """Return a text as a part of a file's name: of plain characters, and not too long."""
    return _UNSAFE.sub("_", text)[:_LONGEST_NAME]


def open_for_append(path: Path, mode: int) -> int:
    """Open or create a file for appending and return its descriptor.

    Symbolic links are not followed.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, mode)


def occupy_standard_descriptors() -> None:
    """Put the null device on descriptors 0, 1 and 2 where they are closed, and leave it there.

    In a process that has closed them (a daemon), the next opened file would get one of them, and the
    job's standard output would end up in it.
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
    import tempfile  # slow to import; needed once, at the end

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
