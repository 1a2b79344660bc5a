"""Prometheus: a Pushgateway, or a file for the text-file collector of node_exporter.

Totals of the run, so that a missed push loses nothing; `prometheus_text` has their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from carbon_core.addresses import joined, with_scheme
from carbon_core.errors import OutputError
from carbon_core.fetch import Send, basic
from carbon_core.outputs.base import replace
from carbon_core.outputs.prometheus_text import CONTENT_TYPE, RunSeries, load_library, page_of
from carbon_core.records import Amounts
from carbon_core.report import Report

_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]")
# It is a part of the name of a file, which has at most 255 bytes, and of an address.
_LONGEST_NAME = 200


class Pushgateway:
    """An output (see `carbon_core.outputs.base.Output`): pushes the totals, and leaves them there.

    Args:
        url: Address of the Pushgateway; without a scheme, HTTP.
        experiment_name: The job is called by the project and this.
        send: Sends a request.
        headers: Such as an ``Authorization``.
        ids: See `RunSeries`.
    """

    def __init__(
        self,
        url: str,
        experiment_name: str,
        send: Send,
        headers: dict[str, str] | None = None,
        ids: Sequence[str] = (),
    ) -> None:
        self._url = with_scheme(url)
        self._experiment_name = experiment_name
        self._send = send
        self._headers = headers or {}
        self._series = RunSeries(experiment_name, ids)

    def open(self, report: Report) -> None:
        """Find the library that writes the format."""
        load_library()

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """Replace what was pushed before."""
        job = job_name(report, self._experiment_name)
        # Each rank has a group of its own; one would replace another's.
        rank = ("rank", str(report.run.rank)) if report.run.rank else ()
        headers = {"Content-Type": CONTENT_TYPE, **self._headers}
        text = page_of(self._series.of(report))
        self._send("PUT", joined(self._url, "metrics", "job", job, *rank), text, headers)
        return None

    close = update


class TextFile:
    """An output that keeps the totals in a ``.prom`` file, replaced as a whole each time.

    Args:
        directory: The directory of node_exporter's ``--collector.textfile.directory``.
        experiment_name: The file is called by the project and this.
        ids: See `RunSeries`.
    """

    def __init__(self, directory: Path, experiment_name: str, ids: Sequence[str] = ()) -> None:
        self._directory = directory
        self._experiment_name = experiment_name
        self._series = RunSeries(experiment_name, ids)

    def open(self, report: Report) -> None:
        """Find the library that writes the format."""
        load_library()

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """Replace the file."""
        rank = f"_{report.run.rank}" if report.run.rank else ""
        name = f"carbon_{job_name(report, self._experiment_name)}{rank}.prom"
        try:
            replace(self._directory / name, page_of(self._series.of(report)))
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"cannot write {self._directory / name}: {reason}") from error
        return None

    close = update


def basic_authorization(user: str | None, password: str | None) -> dict[str, str]:
    """Return the header of HTTP basic authentication; none without user and password."""
    if not user or not password:
        return {}
    return {"Authorization": basic(user, password)}


def job_name(report: Report, experiment_name: str) -> str:
    """Return CodeCarbon's name of the job: project and experiment, with plain characters only.

    The end of a long one is replaced by a checksum.
    """
    given = f"{report.run.project_name}_{experiment_name}"
    name = _UNSAFE.sub("_", given)
    if len(name) <= _LONGEST_NAME:
        return name
    import zlib

    return f"{name[:_LONGEST_NAME]}_{zlib.crc32(given.encode('utf-8', 'replace')):08x}"


def text_of(report: Report, experiment_name: str = "base") -> bytes:
    """Return the series of a run in the text format.

    Raises:
        OutputError: The library is not installed.
    """
    return page_of(RunSeries(experiment_name).of(report))
