"""Log messages of a run: never from a measuring thread, never twice.

A thread other than the caller's may only `post`; the next call of the tracker from the user's own
thread `deliver`s. A forked child can therefore never inherit a logging lock held by the sampler.
Where the program has not configured logging, the line goes to standard error; no handler is
installed, no level is changed.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from carbon_core.escaping import one_line
from carbon_core.interruptions import suppressed

LOGGER_NAME = "carbon_callbacks"
# Levels of `logging`, which is used where the program has imported it.
INFO = 20
WARNING = 30
ERROR = 40
_MAX_PENDING = 64

_Lines = Callable[[], Sequence[str]]


class Messages:
    """The lines of one run.

    Args:
        level: Least severe level to show, as in `logging`.
        preamble: Put before each line.

    Attributes:
        preamble: As above.
    """

    def __init__(self, level: int = INFO, preamble: str = "") -> None:
        self.preamble = one_line(preamble)
        self._level = level
        self._seen: set[str] = set()
        self._pending: deque[tuple[int, str, _Lines | None]] = deque(maxlen=_MAX_PENDING)
        self._target: Messages | None = None

    def post(self, level: int, text: str, lines: _Lines | None = None) -> None:
        """Keep a line for later, unless it was kept before. Safe from any thread.

        Args:
            level: As in `logging`.
            text: The line.
            lines: Called on the user's thread, if the level is shown at all; returns the lines to show
                in place of this one, with their preambles.
        """
        if self._target is not None:
            self._target.post(level, text, lines)
            return
        from carbon_core.addresses import masked_text  # slow to import

        text = masked_text(text)
        if text not in self._seen and (level >= ERROR or len(self._seen) < _MAX_PENDING):
            self._seen.add(text)
            self._pending.append((level, text, lines))

    @property
    def is_waiting(self) -> bool:
        """Whether lines are kept. Costs next to nothing."""
        return bool(self._pending)

    def forward(self, target: Messages) -> None:
        """Pass the kept lines, and all that follow, on to others. Safe from any thread."""
        if target is self:
            return
        self._target = target
        for one in self._taken():
            target.post(*one)

    def warn(self, text: str) -> None:
        """Keep a warning for later. Safe from any thread."""
        self.post(WARNING, text)

    def error(self, text: str) -> None:
        """Keep an error for later: a result is lost. Safe from any thread."""
        self.post(ERROR, text)

    def shows(self, level: int) -> bool:
        """Return whether lines of a level are shown."""
        return level >= self._level

    def info(self, text: str, lines: _Lines | None = None) -> None:
        """Keep a line of information for later, as `post` does. Safe from any thread."""
        self.post(INFO, text, lines)

    def deliver(self) -> None:
        """Show what was kept. Only from the user's thread."""
        for level, text, lines in self._taken():
            if level >= self._level:
                for line in self._lines(text, lines):
                    _show(level, line)

    def deliver_errors_at_exit(self) -> None:
        """Show the kept errors if the interpreter is ending: no call of the tracker follows."""
        if threading.main_thread().is_alive():
            return
        kept = list(self._taken())
        self._pending.extendleft(
            reversed(kept)
        )  # an exit function of the program may still deliver
        for level, text, lines in kept:
            if level >= max(self._level, ERROR):
                show_at_exit(self._lines(text, lines), level)

    def _lines(self, text: str, lines: _Lines | None) -> Sequence[str]:
        return lines() if lines is not None else (self.preamble + one_line(text),)

    def _taken(self) -> Iterator[tuple[int, str, _Lines | None]]:
        """Remove and yield what was kept; other threads may do so at the same time."""
        while True:
            try:
                one = self._pending.popleft()
            except IndexError:
                return
            yield one


def show_at_exit(lines: Sequence[str], level: int = INFO) -> None:
    """Show lines while the interpreter ends; quiet where logging no longer can."""
    if not lines:
        return
    logging: Any = sys.modules.get("logging")
    if logging is None:
        for line in lines:
            _show(level, line)
        return
    # A handler's file may be closed by now: that deserves no traceback after the program's own end.
    raises, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        for line in lines:
            _show(level, line)
    finally:
        logging.raiseExceptions = raises


def _show(level: int, line: str) -> None:
    from carbon_core.fresh_line import (
        begin_line,
        begin_lines,
    )  # not for a tracker that shows nothing

    # A program that has not imported logging has no handlers.
    logging: Any = sys.modules.get("logging")
    logger = logging.getLogger(LOGGER_NAME) if logging is not None else None
    is_for_notebook = level < WARNING and _is_notebook(sys.stdout)
    is_hidden = is_for_notebook and _is_hidden_by_default(logger, level)
    if logger is not None and logger.hasHandlers() and not is_hidden:
        begin_lines(logger)
        logger.log(level, "%s", line)
        return
    # A notebook shows standard error in red, as an error.
    stream = sys.stdout if is_for_notebook else sys.stderr
    # Standard error may be closed or absent, as in a daemon: the message is dropped.
    with suppressed(AttributeError, OSError, ValueError):
        begin_line(stream)
        stream.write(f"carbon-callbacks: {line}\n")


def _is_notebook(stream: Any) -> bool:
    """Return whether a stream belongs to a kernel of Jupyter, as in Colab and Kaggle."""
    return type(stream).__module__.partition(".")[0] == "ipykernel"


def _is_hidden_by_default(logger: Any, level: int) -> bool:
    """Return whether a line is below the root logger's default level, which the program has not set.

    Colab adds a handler to the root logger, but no level.
    """
    if logger is None or logger.level or logger.root.level != WARNING:
        return False
    return not logger.isEnabledFor(level)
