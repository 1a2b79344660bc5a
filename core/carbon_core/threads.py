"""Daemon threads: one that is started on first use, and parallel calls."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

_PREFIX = "carbon-"


class LazyThread:
    """A daemon thread that is created on first use, at most once.

    Several threads may call `start()` at the same time, and so may a signal handler that interrupts it.

    Args:
        run: The function that it runs.
        name: Its name, which begins with ``carbon-`` like those of all threads of this package.
    """

    def __init__(self, run: Callable[[], object], name: str) -> None:
        self._run = run
        self._name = name
        # Re-entrant: a signal handler may run on the thread that is starting this one.
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._ended = False

    @property
    def exists(self) -> bool:
        """Whether the thread was started, even if it has ended since."""
        return self._thread is not None

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> bool:
        """Start the thread unless it exists; return False if the system refused, to be retried."""
        with self._starting:
            if self._thread is None:
                try:
                    # Some interpreters within a program refuse daemon threads already here.
                    self._thread = threading.Thread(
                        target=self._run_to_end, name=self._name, daemon=True
                    )
                    self._thread.start()
                except (RuntimeError, MemoryError):  # a limit of the container, or no memory
                    self._thread = None
            return self._thread is not None

    def join(self, timeout_s: float | None) -> bool:
        """Wait for the thread to end and return whether it has.

        Args:
            timeout_s: Longest time to wait in seconds; None for no limit.
        """
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return False
        # Python's join raises if a signal handler calls it within itself or within the start.
        with contextlib.suppress(RuntimeError):
            thread.join(timeout_s)
        return self._ended

    def _run_to_end(self) -> None:
        try:
            self._run()
        finally:
            self._ended = True


def without_log_records(*loggers: str) -> None:
    """Drop the log records that libraries create on this package's threads.

    The program's handler would lock its stream; a worker that is forked at that moment inherits the
    lock and waits for it forever.

    Args:
        loggers: Names of the libraries' loggers.
    """
    import logging  # these libraries import it anyway

    for name in loggers:
        logging.getLogger(name).addFilter(_is_of_the_program)


def _is_of_the_program(record: object) -> bool:
    return not threading.current_thread().name.startswith(_PREFIX)


def in_parallel(calls: Sequence[Callable[[], object]], name: str) -> None:
    """Run functions in parallel, each on its own thread, and wait for all of them.

    Args:
        calls: The functions; must not raise.
        name: The threads' name.
    """
    *others, own = calls
    threads = [LazyThread(call, name) for call in others]
    waiting = [call for call, thread in zip(others, threads) if not thread.start()]
    for call in (*waiting, own):
        call()
    for thread in threads:
        thread.join(None)
