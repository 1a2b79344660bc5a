"""Lines for people: through logging, never from a measuring thread, never twice.

A thread other than the caller's may only `post`; the next call of the tracker from the user's own
thread `deliver`s. A forked child can therefore never inherit a logging lock held by the sampler.
Where the program has not configured logging, the line goes to standard error; no handler is
installed, no level is changed.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque

LOGGER_NAME = "carbon_callbacks"
# Levels of `logging`, which is imported when there is something to say.
INFO = 20
WARNING = 30
_MAX_PENDING = 64
_MAX_LINE = 1000


class Notices:
    """The lines of one run.

    Args:
        level: Least severe level to show, as in `logging`.
        preamble: Put before each line.
    """

    def __init__(self, level: int = INFO, preamble: str = "") -> None:
        self._level = level
        self._preamble = preamble
        self._seen: set[str] = set()
        self._pending: deque[tuple[int, str]] = deque(maxlen=_MAX_PENDING)

    def post(self, level: int, text: str) -> None:
        """Keep a line for later, unless it was said before. Safe from any thread."""
        if text not in self._seen and len(self._seen) < _MAX_PENDING:
            self._seen.add(text)
            self._pending.append((level, text))

    def warn(self, text: str) -> None:
        """Keep a warning for later. Safe from any thread."""
        self.post(WARNING, text)

    def tell(self, text: str) -> None:
        """Keep a line of information for later. Safe from any thread."""
        self.post(INFO, text)

    def deliver(self) -> None:
        """Show what was kept. Only from the user's thread."""
        while self._pending:
            level, text = self._pending.popleft()
            if level >= self._level:
                _show(level, self._preamble + printable(text))


def printable(text: str) -> str:
    """Return text without control characters or escapes, at most 1,000 characters long."""
    clean = "".join(c if c.isprintable() else " " for c in text[:_MAX_LINE])
    return clean.encode("utf-8", "replace").decode()


def _show(level: int, line: str) -> None:
    import logging

    logger = logging.getLogger(LOGGER_NAME)
    if logger.hasHandlers():
        logger.log(level, "%s", line)
        return
    # Standard error may be closed or absent, as in a daemon: then there is nobody to tell.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"carbon-callbacks: {line}\n")
