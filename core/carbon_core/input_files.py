"""Reads files that a user names or a directory contains, and that may be anything.

They are opened by `carbon_core.system_files.open_regular`; unlike there, what cannot be read is an error
with its reason.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

from carbon_core.errors import OutputError
from carbon_core.system_files import not_regular, open_regular

# A receipt of a week with a thousand tasks has less than one.
_MOST_BYTES = 2**24


class InputFileError(OutputError):
    """A file cannot be used, and is skipped.

    Attributes:
        path: The file.
        reason: Why.
        may_change: Whether it may be usable later, or by a newer version: its content is not damaged.
    """

    def __init__(self, path: Path, reason: object, *, may_change: bool = False) -> None:
        self.may_change = may_change or isinstance(reason, OSError)
        if isinstance(reason, OSError):
            reason = f"cannot be read: {reason.strerror or reason}"
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = str(reason)


def open_bytes(path: Path) -> IO[bytes]:
    """Open a regular file for reading.

    Raises:
        OSError: As for `open_regular`.
    """
    return os.fdopen(open_regular(path), "rb")


def open_text(path: Path, errors: str | None = None) -> IO[str]:
    """Open a regular file of text in UTF-8 for reading, without changes of its line ends.

    Args:
        path: The file.
        errors: How bytes that are not UTF-8 are handled, as for `open`.

    Raises:
        OSError: As for `open_regular`.
    """
    return os.fdopen(open_regular(path), "r", encoding="utf-8-sig", errors=errors, newline="")


def bytes_of(path: Path, most: int = _MOST_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: It cannot be read, is not a regular file, or has more than `most` bytes.
    """
    with open_bytes(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1) if size <= most else b""
        if len(data) > size:  # it grows, or does not state its size, as in /proc
            data += file.read(most - size)
    if size > most or len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most / 2**20:g} MiB", str(path))
    return data


def text_of(path: Path) -> str:
    """Return the text of a regular file.

    Raises:
        OSError: As for `bytes_of`.
        UnicodeDecodeError: It is not UTF-8.
    """
    return bytes_of(path).decode("utf-8")


def require_regular(path: Path) -> None:
    """Check that a path leads to a regular file, before it is replaced.

    Raises:
        OSError: It is absent, or something else.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise not_regular(path)
