"""Reads small files of the machine: those of sysfs and procfs, of ``/etc``, of Git.

Any of them may be missing, hidden, damaged, a directory or a FIFO, or of any size. What cannot be read
is unknown: no function here raises or waits for a writer, and none reads more than its limit.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# A sysfs file is at most a page.
SMALL = 4096
# /proc/meminfo, /proc/self/cgroup, and the statistics of a control group.
MEDIUM = 64 * 2**10
# /proc/cpuinfo of a machine with 2000 processors, /proc/self/mountinfo of one with 10000 mounts.
LARGE = 4 * 2**20
_MOST_ENTRIES = 4096
_FLAGS = (
    getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0) -> int:
    """Open a regular file and return its descriptor; never wait.

    Opening a FIFO would wait for its writer, and a device such as ``/dev/zero`` never ends.

    Args:
        path: The file.
        flags: As of `os.open`.
        mode: Of a file that is created.

    Raises:
        OSError: It cannot be opened, or is something else: a FIFO, a device, a socket, a directory.
        ValueError: Its path is invalid.
    """
    # Checked before, because opening a device may change it, and after, because it may be replaced.
    try:
        _require_regular(path.stat(), path)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    descriptor = os.open(path, flags | _FLAGS, mode)
    try:
        _require_regular(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def not_regular(path: Path) -> OSError:
    """Return the error of a file that is not a regular one."""
    return OSError(errno.EINVAL, "not a regular file", str(path))


def bytes_in(path: Path, most_bytes: int = SMALL, *, cut: bool = False) -> bytes | None:
    """Return what a file contains, or None where it cannot be read.

    Args:
        path: The file.
        most_bytes: Longest contents to read.
        cut: Whether to return the beginning of longer contents, up to the last complete line, instead
            of None.
    """
    try:
        descriptor = open_regular(path)
    except (OSError, ValueError):
        return None
    try:
        found = _read(descriptor, most_bytes + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if len(found) <= most_bytes:
        return found
    return found[: found.rfind(b"\n", 0, most_bytes) + 1] if cut else None


def text_in(path: Path, most_bytes: int = SMALL, *, cut: bool = False) -> str:
    """Return a file's text without blanks around it; empty where it cannot be read.

    Args:
        path: The file.
        most_bytes: As above.
        cut: As above.
    """
    return (bytes_in(path, most_bytes, cut=cut) or b"").decode("utf-8", "replace").strip()


def matches(directory: Path, *patterns: str) -> list[Path]:
    """Return the paths that match any of some patterns, sorted; at most a few thousand.

    Args:
        directory: Where to search.
        patterns: As of `Path.glob`.
    """
    found: set[Path] = set()
    for pattern in patterns:
        try:
            for path in directory.glob(pattern):
                found.add(path)
                if len(found) >= _MOST_ENTRIES:
                    break
        except (OSError, RuntimeError, ValueError):  # a loop of links, a device that fails
            continue
    return sorted(found)


def exists(path: Path) -> bool:
    """Return whether a path exists; False where that is unknown."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _read(descriptor: int, most_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = most_bytes
    while left > 0 and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise not_regular(path)
