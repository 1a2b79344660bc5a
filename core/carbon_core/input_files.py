"""Opens files that a user names or a directory contains, and that may be anything.

Opening a FIFO waits for its writer, and a device such as ``/dev/zero`` never ends.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

# A receipt of a week with a thousand tasks has less than one.
_MOST_BYTES = 64 * 2**20


def require_regular(path: Path) -> None:
    """Check that a path leads to a regular file, before it is opened.

    Raises:
        OSError: It is absent, or something else: a FIFO, a device, a directory.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def text_of(path: Path) -> str:
    """Return the text of a file.

    Raises:
        OSError: It cannot be read, is no regular file, or is too large.
        UnicodeDecodeError: It is not UTF-8.
    """
    require_regular(path)
    if path.stat().st_size > _MOST_BYTES:
        raise OSError(errno.EFBIG, "too large", str(path))
    return path.read_text("utf-8")
