"""Begins a log line on a new line, where a progress bar or half a line is on the present one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from carbon_core.interruptions import suppressed

# Of a terminal that states no width.
_COLUMNS = 80


def begin_line(stream: Any) -> None:
    """Move a stream to the begin of a line, unless it is there. Only from the user's thread.

    A terminal wraps spaces of its width but one only where the cursor is not in the first column; a file
    or a pipe gets a line end only while a bar of tqdm, the library of most progress bars, is on it.
    """
    with suppressed(Exception):  # a stream of the program's own may lack anything
        if stream.isatty():
            stream.write(f"{' ' * (_columns(stream) - 1)}\r")
        elif _has_bar(stream):
            stream.write("\n")


def begin_lines(logger: Any) -> None:
    """Do so on standard output and error where a logger's handlers write to them.

    Args:
        logger: A `logging.Logger`.
    """
    streams = [getattr(handler, "stream", None) for handler in _handlers(logger)]
    for stream in (sys.stdout, sys.stderr):
        if any(one is stream for one in streams):
            begin_line(stream)


def _columns(stream: Any) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except (AttributeError, OSError, ValueError):
        return _COLUMNS


def _has_bar(stream: Any) -> bool:
    tqdm = sys.modules.get("tqdm")
    bars = tuple(getattr(getattr(tqdm, "tqdm", None), "_instances", ()))
    # A bar of a notebook (`gui`) is an element of its own, not on the stream that it names.
    return any(not bar.disable and not bar.gui and bar.fp == stream for bar in bars)


def _handlers(logger: Any) -> Iterator[Any]:
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None
