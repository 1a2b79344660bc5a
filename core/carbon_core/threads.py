"""Daemon threads: one that is started on first use, and parallel calls.

No signal is delivered to them: a program that blocks a signal in its own threads, to wait for it with
`sigwait` or `sigpending`, would otherwise be ended by it.
"""

from __future__ import annotations

# The functions of `signal` make a member of an enumeration of each number in their results, which would
# take most of the time of starting a thread.
import _signal  # type: ignore[import-not-found]
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from carbon_core import forks
from carbon_core.interruptions import interrupts_core, of_program

_PREFIX = "carbon-"
# Until the end of a call is checked again.
_LONGEST_WAIT_S = 1.0
# Faults of the thread itself: blocked, they would end the process without the lines of `faulthandler`.
_FAULTS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL")


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
        # Of several, where a signal handler has started it as well, the one that runs the function.
        self._runner: threading.Thread | None = None
        self._claim = threading.Lock()
        self._begun = Latch()
        self._ended = False
        # Signals that the thread blocks by itself: those of its creator.
        self._program_mask: set[int] | None = None

    @property
    def exists(self) -> bool:
        """Whether the thread was started, even if it has ended since."""
        return self._thread is not None

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        thread = self._runner or self._thread
        return thread is not None and thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the caller is on this thread."""
        return threading.current_thread() in (self._runner, self._thread)

    def start(self) -> bool:
        """Start the thread unless it exists; return False if the system refused, to be retried."""
        if self._thread is not None:
            return True
        forks.watch(_PREFIX)
        with self._starting:
            if self._thread is None:
                outer = sys.exc_info()[1]
                try:
                    # Some interpreters within a program refuse daemon threads already here.
                    self._thread = threading.Thread(
                        target=self._run_to_end, name=self._name, daemon=True
                    )
                    with _signals_blocked() as self._program_mask:
                        self._thread.start()
                except BaseException as error:
                    # Refused ("can't start new thread": a limit of the container, or no memory), or
                    # interrupted by a signal handler, when it may begin yet.
                    refused = (
                        isinstance(error, (RuntimeError, MemoryError))
                        and of_program(error, outer) is None
                    )
                    if refused or not self._begun.wait(_LONGEST_WAIT_S):
                        self._thread = None
                    if not refused:
                        raise
            return self._thread is not None

    def join(self, timeout_s: float | None) -> bool:
        """Wait for the thread to end and return whether it has.

        Args:
            timeout_s: Longest time to wait in seconds; None for no limit.
        """
        thread = self._runner or self._thread
        if thread is None or thread is threading.current_thread():
            return False
        outer = sys.exc_info()[1]
        try:
            thread.join(timeout_s)
        except RuntimeError as error:
            # Python's join raises if a signal handler calls it within itself or within the start.
            if of_program(error, outer) is not None:
                raise
        return self._ended

    def run_instead(self) -> bool:
        """Run the function on the calling thread, unless the thread runs; return whether it did.

        For the end of what has not begun: the thread was not needed, was refused by the system, or is
        being started by the code that a signal handler has interrupted.
        """
        if self.alive or not self._claim.acquire(blocking=False):
            return False
        self._begun.set()
        try:
            self._run()
        finally:
            self._ended = True
        return True

    def _run_to_end(self) -> None:
        # A start that was interrupted may be repeated while its thread begins.
        if not self._claim.acquire(blocking=False):
            self._begun.wait(_LONGEST_WAIT_S)
            return
        self._runner = threading.current_thread()
        self._begun.set()
        _own.program_mask = self._program_mask
        try:
            self._run()
        finally:
            self._ended = True


class Latch:
    """An event that is set once.

    A signal handler may raise while a thread waits here, and may wait here itself: after either,
    `threading.Event` fails or blocks.
    """

    __slots__ = ("_closed", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._closed = threading.Lock()
        self._closed.acquire()

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it: no thread waits any longer."""
        if not self._is_set:
            self._is_set = True
            with contextlib.suppress(RuntimeError):  # another thread has set it at the same time
                self._closed.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set, at most so many seconds; return whether it is."""
        if not self._is_set and self._closed.acquire(timeout=max(0.0, timeout_s)):
            self._closed.release()  # for the next who waits
        return self._is_set


class UninterruptedCall:
    """A call, made at most once, that no signal handler interrupts: it runs on a thread of its own.

    Args:
        call: The function; must not raise.
        name: Name of the thread.
    """

    def __init__(self, call: Callable[[], object], name: str) -> None:
        self._call = call
        self._thread = LazyThread(self._run, name)
        self._ended = Latch()

    def wait(self) -> bool:
        """Make the call and wait for its end; return False if it has to be made on this thread.

        It has to on other threads than the main one, which no signal handler interrupts; in a signal
        handler that interrupted this package, whose locks it may need; and where no thread can be
        started. An exception that a signal handler raises ends the waiting, not the call: wait again.
        """
        if threading.current_thread() is not threading.main_thread() or interrupts_core():
            return self._ended.is_set()
        if not self._thread.start():
            return False
        while not self._ended.wait(_LONGEST_WAIT_S):
            pass
        self._thread.join(
            _LONGEST_WAIT_S
        )  # it ends now: no thread is left for a fork to warn about
        return True

    def _run(self) -> None:
        try:
            self._call()
        finally:
            self._ended.set()


_own = threading.local()


@contextlib.contextmanager
def program_signals() -> Iterator[None]:
    """On a thread of this package, block the signals of the program only, for a ``with`` block.

    For code of the program: a process that it starts inherits the mask of its thread, and could not be
    ended by SIGTERM.
    """
    mask = getattr(_own, "program_mask", None)
    if mask is None:
        yield
        return
    before = _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    try:
        yield
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _signals_blocked() -> Iterator[set[int] | None]:
    """Block all signals on this thread, for a thread inherits what its creator blocks.

    Yields the mask of the program; None where signals cannot be blocked.
    """
    if not hasattr(_signal, "pthread_sigmask"):  # Windows
        yield None
        return
    faults = {getattr(_signal, name) for name in _FAULTS}
    # Read first: a pending signal's handler may raise within the call that blocks.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    try:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals() - faults)
        # A thread of this package blocks all signals; its creator's mask is the program's.
        inherited = getattr(_own, "program_mask", None)
        yield set(before) if inherited is None else inherited
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


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
