"""The reporter: everything that may be slow (files, network) away from training and sampling.

Files and network have a thread each, so that a server that never answers cannot hold back the
journal. The network's thread exists only when something asks for it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_QUEUE_SIZE = 2048


class Worker:
    """A daemon thread that runs jobs one after the other, from a bounded queue.

    Args:
        name: Name of the thread.
        on_fault: Told in words when a job raises.
    """

    def __init__(self, name: str, on_fault: Callable[[str], None]) -> None:
        self._name = name
        self._on_fault = on_fault
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(_QUEUE_SIZE)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def submit(self, job: Callable[[], None]) -> bool:
        """Queue a job; tell whether there was room. Starts the thread when needed."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        with self._starting:
            if self._thread is None:
                self._start()
        return True

    def close(self, timeout_s: float) -> bool:
        """Finish what is queued and end the thread; tell whether that took at most `timeout_s`."""
        try:
            self._jobs.put_nowait(None)
        except queue.Full:
            return False
        if self._thread is None:
            # No thread ever came to be (none was needed, or the system refused one).
            self._run()
            return True
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread to be had now; the next job tries again
            return
        self._thread = thread

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - one failing job must not stop the others
                self._on_fault(f"{getattr(job, '__qualname__', job)} failed: {error!r}")


class Reporter:
    """The two workers, closed together.

    Args:
        on_fault: Told in words when a job raises.
    """

    def __init__(self, on_fault: Callable[[str], None]) -> None:
        self.files = Worker("carbon-files", on_fault)
        self.network = Worker("carbon-network", on_fault)
