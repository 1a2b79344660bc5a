"""Worker threads for files and network, away from training and sampling.

Files and network have a thread each, so that a server that never answers cannot hold back the
journal. The network's thread exists only when something asks for it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from carbon_core.threads import LazyThread

_QUEUE_SIZE = 2048


class Worker:
    """A daemon thread that runs jobs one after the other, from a bounded queue.

    Args:
        name: Name of the thread.
        on_fault: Told in words when a job raises.
        on_silence: Called when no job has come for a while.
        silence_s: How long that is, in seconds; None for never.
    """

    def __init__(
        self,
        name: str,
        on_fault: Callable[[str], None],
        on_silence: Callable[[], None] = lambda: None,
        silence_s: float | None = None,
    ) -> None:
        self._on_silence = on_silence
        self._silence_s = silence_s
        self._on_fault = on_fault
        # SimpleQueue, for its `put` may be interrupted by a signal's handler that puts as well.
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = LazyThread(self._run, name)

    def submit(self, job: Callable[[], object]) -> bool:
        """Queue a job; tell whether there was room. Starts the thread when needed."""
        if self._jobs.qsize() >= _QUEUE_SIZE:
            return False
        self._jobs.put(job)
        self._thread.start()
        return True

    def settle(self, timeout_s: float) -> bool:
        """Wait until all that is queued by now is done; tell whether that took at most `timeout_s`."""
        settled = threading.Event()
        return self._thread.alive and self.submit(settled.set) and settled.wait(timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Finish what is queued and end the thread; tell whether that took at most `timeout_s`."""
        self._jobs.put(None)
        if self._thread.exists:
            return self._thread.join(timeout_s)
        # No thread ever came to be: none was needed, or the system refused one.
        self._run()
        return True

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - one failing job must not stop the others
                self._on_fault(f"{getattr(job, '__qualname__', job)} failed: {error!r}")

    def _next(self) -> Callable[[], object] | None:
        while True:
            try:
                return self._jobs.get(timeout=self._silence_s)
            except queue.Empty:
                self._on_silence()


class Workers:
    """The two workers.

    The files' one hears from the sampler at every heartbeat, so it is the one to notice when the
    sampler falls silent.

    Args:
        on_fault: Told in words when a job raises.
        on_silence: Called when no heartbeat came for `silence_s` seconds.
        silence_s: How long that is, in seconds.
    """

    def __init__(
        self, on_fault: Callable[[str], None], on_silence: Callable[[], None], silence_s: float
    ) -> None:
        self.files = Worker("carbon-files", on_fault, on_silence, silence_s)
        self.network = Worker("carbon-network", on_fault)
