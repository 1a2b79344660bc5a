"""Queries the load of the GPUs on a thread of its own, for their driver may hang."""

from __future__ import annotations

from collections.abc import Callable

from carbon_core.threads import LazyThread

# Longest wait: the meters are due; at the end of a run, the query is the last one.
_WAIT_S = 0.05
_LAST_WAIT_S = 0.5
_THREAD = "carbon-load"


class LoadQuery:
    """Queries the load once for each heartbeat, unless the query before it still hangs.

    Args:
        sample: Samples the load of the GPUs.
        on_fault: Callback that receives the first message about a failure.
    """

    def __init__(self, sample: Callable[[], object], on_fault: Callable[[str], None]) -> None:
        self._sample = sample
        self._on_fault = on_fault
        self._thread = LazyThread(self._run, _THREAD)
        self._has_failed = False

    def make(self, *, is_last: bool) -> None:
        """Query the load and wait for it, but not for long.

        Args:
            is_last: Whether the run ends here.
        """
        if self._thread.alive:
            self._report(
                "the query of the GPUs' load does not respond: it is not sampled meanwhile"
            )
            return
        self._thread = LazyThread(self._run, _THREAD)
        if not self._thread.start():
            self._run()
        else:
            self._thread.join(_LAST_WAIT_S if is_last else _WAIT_S)

    def _run(self) -> None:
        try:
            self._sample()
        except Exception as error:  # noqa: BLE001 - the guard of its thread
            self._report(f"the load of the GPUs is unknown: {error!r}")

    def _report(self, text: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._on_fault(text)
