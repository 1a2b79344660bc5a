"""Daemon threads: one that is started at most once, whoever needs it first; several for slow calls."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

_PREFIX = "carbon-"


class LazyThread:
    """A daemon thread that does not exist before somebody needs it.

    Several threads may need it at once, and so may a signal's handler within `start()` itself.

    Args:
        run: What it runs.
        name: Its name, begun with ``carbon-`` like those of all threads of this package.
    """

    def __init__(self, run: Callable[[], object], name: str) -> None:
        self._run = run
        self._name = name
        # Re-entrant: a signal's handler runs on the very thread that may be starting this one.
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._ended = False

    @property
    def exists(self) -> bool:
        """Whether it was started, even if it has ended since."""
        return self._thread is not None

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> bool:
        """Start it unless it exists; tell whether the system allowed it (the next call tries again)."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._to_the_end, name=self._name, daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:  # "can't start new thread": a limit of the container
                    self._thread = None
            return self._thread is not None

    def join(self, timeout_s: float | None) -> bool:
        """Wait at most `timeout_s` seconds for its end, None for ever; tell whether it has ended."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return False
        # Python's own join may be interrupted neither by itself nor within the thread's start.
        with contextlib.suppress(RuntimeError):
            thread.join(timeout_s)
        return self._ended

    def _to_the_end(self) -> None:
        try:
            self._run()
        finally:
            self._ended = True


def without_log_records(*loggers: str) -> None:
    """Keep what libraries log on our threads from the program's handlers.

    A handler writes to a stream, whose lock a worker that is forked at that moment would inherit and
    wait for in vain.

    Args:
        loggers: Names of the libraries' loggers.
    """
    import logging  # loaded by these libraries in any case

    for name in loggers:
        logging.getLogger(name).addFilter(_is_of_the_program)


def _is_of_the_program(record: object) -> bool:
    return not threading.current_thread().name.startswith(_PREFIX)


def in_parallel(calls: Sequence[Callable[[], object]], name: str) -> None:
    """Make calls at once, each on a thread of its own, and wait for all of them.

    Args:
        calls: What to call; must not raise.
        name: The threads' name.
    """
    *others, own = calls
    threads = [LazyThread(call, name) for call in others]
    waiting = [call for call, thread in zip(others, threads) if not thread.start()]
    for call in (*waiting, own):
        call()
    for thread in threads:
        thread.join(None)
