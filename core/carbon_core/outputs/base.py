"""The interfaces of outputs, and functions that open files and replace them atomically."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from carbon_core.records import Amounts
from carbon_core.report import Report
from carbon_core.system_files import not_regular
from carbon_core.trials import TrialResult

# Directory next to the CSV file: receipts, journals, locks.
RUNS_DIRECTORY = "carbon_runs"


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_NAME = 100

# Of which the umask takes its part.
NEW_FILE_MODE = 0o666
_DIRECTORY_MODE = 0o775
# `fsync` on file systems that have none.
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


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


@runtime_checkable
class WithReceipt(Protocol):
    """A `FileOutput` that writes a receipt, whose path the last line of the run contains."""

    def receipt_path(self, run_id: str) -> Path:
        """Return the path of a run's receipt."""
        ...


@runtime_checkable
class WithTrials(Protocol):
    """A `FileOutput` that keeps the begin and the end of each trial, also where no heartbeat follows."""

    def note_trial(self, facts: TrialResult) -> None:
        """Keep the status, value and parameters of a trial; its figures are those of a heartbeat."""
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

    Symbolic links are not followed. The null device is allowed; a FIFO is not, because writing to a
    full one waits for its reader.

    Raises:
        OSError: It cannot be opened, or is a FIFO, a socket or a directory.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, mode)
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind) or stat.S_ISCHR(kind):
        return descriptor
    os.close(descriptor)
    raise not_regular(path)


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
    except OSError as error:
        # A file of a server that is gone is open, too.
        return error.errno != errno.EBADF
    return True


def make_directory(path: Path) -> None:
    """Create a directory and its parents where they are absent.

    The modes follow the umask and the parent's set-group-ID bit and ACL; never writable for all users.

    Raises:
        OSError: It cannot be created.
    """
    try:
        path.mkdir(_DIRECTORY_MODE, exist_ok=True)
    except FileNotFoundError:
        for each in (*reversed(path.parents), path):
            if not each.is_dir():
                each.mkdir(_DIRECTORY_MODE, exist_ok=True)


def sync(descriptor: int) -> None:
    """Write a file's data to the disk, where the file system can."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def replace(path: Path, data: bytes | Iterable[bytes], mode: int | None = None) -> None:
    """Write a whole file atomically: temporary file in the same directory, fsync, rename.

    Args:
        path: The file. Of one that is there, mode, group and owner are kept as far as possible.
        data: Its new content, or blocks of it.
        mode: Its mode; None for that of the file that is there, or, if there is none, as the umask and
            the directory's ACL decide.
    """
    before = _status(path)
    if mode is None and before is not None:
        mode = stat.S_IMODE(before.st_mode)
    temporary = path.with_name(f".{path.name[:_LONGEST_NAME]}.{os.urandom(6).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, NEW_FILE_MODE if mode is None else mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _adopt(file.fileno(), before, mode)
            file.writelines((data,) if isinstance(data, bytes) else data)
            file.flush()
            sync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _status(path: Path) -> os.stat_result | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _adopt(descriptor: int, before: os.stat_result | None, mode: int | None) -> None:
    """Give a new file owner, group and mode of the one that it replaces, as far as permitted."""
    if sys.platform == "win32":
        return
    if before is not None:
        own = os.fstat(descriptor)
        if (own.st_uid, own.st_gid) != (before.st_uid, before.st_gid):
            try:
                os.fchown(descriptor, before.st_uid, before.st_gid)
            except OSError:
                with contextlib.suppress(OSError):
                    os.fchown(descriptor, -1, before.st_gid)
    if mode is not None:
        with contextlib.suppress(OSError):  # a file system without modes
            os.fchmod(descriptor, mode)
