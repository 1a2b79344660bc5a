"""The interfaces of outputs, and functions that open files and replace them atomically."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from carbon_core.records import Amounts
from carbon_core.report import Report

# Directory next to the CSV file: receipts, journals, locks.
RUNS_DIRECTORY = "carbon_runs"


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_NAME = 100


class FileOutput(Protocol):
    """An output that writes files: receives the reports of one run, in order, on the files' thread.

    A method may raise `OutputError`; the run continues, and the user is warned once.
    """

    def open(self, report: Report) -> None:
        """Prepare the files; called when the run has begun and its hardware is detected."""
        ...

    def update(self, report: Report) -> None:
        """Save the totals so far; called at every heartbeat."""
        ...

    def flush(self, report: Report) -> None:
        """Save the totals so far; called when the user requests it."""
        ...

    def close(self, report: Report) -> None:
        """Save the final totals; called when the run has ended."""
        ...


class Output(Protocol):
    """An output that may block: receives run results on a thread of its own.

    It is a service or an object supplied by the user. All methods are called on the network's
    thread, one after the other. After a call that raises or accepts only a part, the next call gets
    the rest: the sum of the accepted amounts is the run's total.
    """

    def open(self, report: Report) -> None:
        """Prepare the output: the run has begun, its hardware is detected. Retried if it raises."""
        ...

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """Send the totals so far; called every ``api_call_interval`` readings.

        Args:
            report: The totals.
            delta: The amounts since the last ones that were accepted.

        Returns:
            The part of the delta that was accepted; None for all of it.
        """
        ...

    def close(self, report: Report, delta: Amounts) -> Amounts | None:
        """Send the final totals; as `update` otherwise. Not retried if it raises."""
        ...


class Delivered(NamedTuple):
    """Delivery progress of an output for one run.

    Attributes:
        output: The output's name.
        amounts: Total of the accepted amounts.
        remote_id: The service's id of the run; None if it has none.
    """

    output: str
    amounts: Amounts = Amounts()
    remote_id: str | None = None


def safe_name(text: str) -> str:
    """Return a text as part of a file name: only safe characters, limited in length."""
    return _UNSAFE.sub("_", text)[:_LONGEST_NAME]


def open_for_append(path: Path, mode: int) -> int:
    """Open or create an output file for appending and return its descriptor.

    Symbolic links are not followed.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, mode)


def occupy_standard_descriptors() -> None:
    """Open the null device on those of the descriptors 0, 1 and 2 that are closed.

    In a process that has closed them (a daemon), the next file to be opened would get one of them,
    and the output of the job would be written into it.
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


def replace(path: Path, data: bytes | Iterable[bytes], mode: int = 0o644) -> None:
    """Write a whole file atomically: temporary file in the same directory, fsync, rename.

    Args:
        path: The file.
        data: Its content, or blocks of it.
        mode: Its mode.
    """
    import tempfile  # slow to import with its dependencies; needed once, at the end

    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines((data,) if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
