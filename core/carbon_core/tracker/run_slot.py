"""The place of a tracker's run: its threads and signal handlers may start and stop it at once."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from carbon_core.tracker.run import Run


class RunSlot:
    """Holds the run of a tracker, one at a time.

    No lock is held while a run is closed, or while a meter or a file is waited for.

    Attributes:
        run: The run that was started last, until it is cleared; may be read on any thread.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        self._renew()

    def __reduce__(self) -> tuple[type[RunSlot], tuple[()]]:
        return RunSlot, ()  # a copy is that of another tracker

    def _renew(self) -> None:
        self._pid = os.getpid()
        # Both are re-entrant: a signal handler may start or stop the tracker within its start or stop.
        self._starting = threading.RLock()
        self._changing = threading.RLock()
        self._is_starting = False

    @property
    def current(self) -> Run | None:
        """The run, if it is active in this process."""
        run = self.run
        return run if run is not None and run.pid == os.getpid() and not run.closing else None

    def start(self, make: Callable[[], Run]) -> Run | None:
        """Fill the slot unless its run is active; return the run, to be opened, if it is a new one.

        Args:
            make: Makes the run; called by one thread at a time, and not within itself.
        """
        if self._pid != os.getpid():
            self._renew()  # a thread that does not exist in this child may have held them
        with self._starting:
            if self._is_starting:
                return None  # by the code that this signal handler has interrupted
            self._is_starting = True
            try:
                if self.current is not None:
                    return None
                run = make()
                with self._changing:
                    self.run = run
            finally:
                self._is_starting = False
        return run

    def clear(self, run: Run) -> None:
        """Empty the slot, unless another run is in it by now."""
        with self._changing:
            # In one statement, which no signal handler interrupts.
            self.run = None if self.run is run else self.run
