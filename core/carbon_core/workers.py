"""Worker threads for files and network, away from training and sampling.

Files and network have a thread each, so that an unresponsive server cannot delay the journal. The
network thread exists only when a request is made.
"""

from __future__ import annotations

import queue
from collections.abc import Callable

from carbon_core.threads import Latch, LazyThread

_QUEUE_SIZE = 2048


class Worker:
    """A daemon thread that runs jobs one after the other, from a bounded queue.

    Args:
        name: Name of the thread.
        on_fault: Callback that receives a message when a job raises.
        watch: Called after each job, and where none was submitted for `watch_s`.
        watch_s: That time in seconds; None for never.
    """

    def __init__(
        self,
        name: str,
        on_fault: Callable[[str], None],
        watch: Callable[[], None] = lambda: None,
        watch_s: float | None = None,
    ) -> None:
        self._watch = watch
        self._watch_s = watch_s
        self._on_fault = on_fault
        # SimpleQueue, for its `put` may be interrupted by a signal's handler that puts as well.
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = LazyThread(self._run, name)
        self._closed = False

    def start(self) -> None:
        """Start the thread for its watch, before there is a job."""
        self._thread.start()

    def submit(self, job: Callable[[], object]) -> bool:
        """Queue a job; return whether there was room. Starts the thread when needed.

        After the end, a job is dropped: a run that was closed meanwhile has nothing to add.
        """
        if self._closed:
            return True
        if self._jobs.qsize() >= _QUEUE_SIZE:
            return False
        self._jobs.put(job)
        self._thread.start()
        return True

    def settle(self, timeout_s: float) -> bool:
        """Wait until all queued jobs are done; return whether that took at most `timeout_s`."""
        settled = Latch()
        return self._thread.alive and self.submit(settled.set) and settled.wait(timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Finish all queued jobs and end the thread; return whether that took at most `timeout_s`."""
        self._closed = True
        self._jobs.put(None)
        if self._thread.is_current:
            return True  # the garbage collector has closed the run here: the jobs follow
        return self._thread.run_instead() or self._thread.join(timeout_s)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - one failing job must not stop the others
                self._on_fault(f"{getattr(job, '__qualname__', job)} failed: {error!r}")
            self._watch()

    def _next(self) -> Callable[[], object] | None:
        while True:
            try:
                return self._jobs.get(not self._closed, self._watch_s)
            except queue.Empty:
                if self._closed:
                    return None  # another thread has started this one during the end
                self._watch()


class Workers:
    """The two workers.

    The files' worker watches the sampler: it continues while the sampler hangs.

    Args:
        on_fault: Callback that receives a message when a job raises.
        watch: Checks the sampler; called after each job, and where none was submitted for `watch_s`.
        watch_s: That time in seconds.
    """

    def __init__(
        self, on_fault: Callable[[str], None], watch: Callable[[], None], watch_s: float
    ) -> None:
        self.files = Worker("carbon-files", on_fault, watch, watch_s)
        self.network = Worker("carbon-network", on_fault)
