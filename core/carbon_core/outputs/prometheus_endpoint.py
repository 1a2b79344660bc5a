"""Prometheus scrapes the process: an address that serves the series of its runs while they last."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from carbon_core.clock import Clock
from carbon_core.errors import OutputError
from carbon_core.outputs.metrics_server import MetricsServer
from carbon_core.outputs.prometheus_text import CONTENT_TYPE, RunSeries, Series, page_of
from carbon_core.report import Report


class PrometheusEndpoint:
    """A file output (see `carbon_core.outputs.base.FileOutput`) that serves what others write.

    The runs of a process with the same address share a server, which ends with the last of them. While
    the port is in use, it is tried again at each reading.

    Args:
        address: IP address to listen on.
        port: Port to listen on.
        experiment_name: See `RunSeries`.
        ids: See `RunSeries`.
        clock: Source of time.
        warn: Called with a message if the server fails.
    """

    def __init__(
        self,
        address: str,
        port: int,
        experiment_name: str,
        ids: Sequence[str],
        *,
        clock: Clock,
        warn: Callable[[str], None],
    ) -> None:
        self._where = address, port
        self._clock = clock
        self._warn = warn
        self._series = RunSeries(experiment_name, ids)
        self._has_failed = False

    def update(self, report: Report) -> None:
        """Serve the totals so far; start the server, or add the run to that of another run.

        Raises:
            OutputError: It cannot listen; only the first time.
        """
        try:
            _servers().show(self._where, report.run.run_id, self._series.of(report), self._made)
        except OutputError:
            if not self._has_failed:
                self._has_failed = True
                raise

    open = flush = update

    def close(self, report: Report) -> None:
        """Add the final totals to the counters of the process, and end the server."""
        self._series.of(report)
        _servers().leave(self._where, report.run.run_id)

    def _made(self) -> MetricsServer:
        return MetricsServer(*self._where, CONTENT_TYPE, clock=self._clock, warn=self._warn)


class _Servers:
    """The servers of this process, each with the series of its runs."""

    def __init__(self) -> None:
        # Re-entrant: the garbage collector may close a run within any line.
        self._lock = threading.RLock()
        self._running: dict[tuple[str, int], tuple[MetricsServer, dict[str, list[Series]]]] = {}

    def show(
        self,
        where: tuple[str, int],
        run_id: str,
        series: list[Series],
        make: Callable[[], MetricsServer],
    ) -> None:
        """Serve the series of a run, instead of its earlier ones; start the server if needed."""
        with self._lock:
            if where in self._running:
                server, runs = self._running[where]
                runs[run_id] = series
                server.page = _page(runs)
                return
            server, runs = make(), {run_id: series}
            server.page = _page(runs)  # before the first request
            server.start()
            self._running[where] = server, runs

    def leave(self, where: tuple[str, int], run_id: str) -> None:
        """Remove a run; end the server without any."""
        with self._lock:
            if where not in self._running:
                return
            server, runs = self._running[where]
            runs.pop(run_id, None)
            server.page = _page(runs)
            if not runs:
                del self._running[where]
                server.close()


def _page(runs: dict[str, list[Series]]) -> bytes:
    return page_of(one for of_run in list(runs.values()) for one in of_run)


_of_process: dict[int, _Servers] = {}


def _servers() -> _Servers:
    # A forked child has copies of its parent's, which it must not use.
    return _of_process.setdefault(os.getpid(), _Servers())
