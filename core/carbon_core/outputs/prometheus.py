"""Prometheus: a Pushgateway, or a file for the text-file collector of node_exporter.

The metrics have CodeCarbon's names; all are totals of the run, so that a missed push loses nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from carbon_core.addresses import joined, with_scheme
from carbon_core.errors import OutputError
from carbon_core.escaping import one_line
from carbon_core.fetch import Send
from carbon_core.outputs.base import replace
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.records import Amounts
from carbon_core.report import Report

_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]")
_GAUGES = {
    "duration": "Duration of the run in seconds.",
    "emissions": "Emissions of the run in kg CO2e.",
    "emissions_rate": "Mean emissions of the run in kg CO2e per second.",
    "cpu_power": "Mean power of the processors in watts.",
    "gpu_power": "Mean power of the GPUs in watts.",
    "ram_power": "Mean power of the memory in watts.",
    "cpu_energy": "Energy of the processors in kWh.",
    "gpu_energy": "Energy of the GPUs in kWh.",
    "ram_energy": "Energy of the memory in kWh.",
    "energy_consumed": "Energy of the run in kWh.",
}
_LABELS = (
    "project_name", "country_name", "country_iso_code", "region", "cloud_provider", "cloud_region",
    "os", "codecarbon_version", "cpu_model", "cpu_count", "gpu_model", "gpu_count", "tracking_mode",
    "ram_total_size",
)  # fmt: skip


class Pushgateway:
    """An output (see `carbon_core.outputs.base.Output`): pushes the totals, and leaves them there.

    Args:
        url: Address of the Pushgateway; without a scheme, HTTP.
        experiment_name: The job is called by the project and this.
        send: Sends a request.
        headers: Such as an ``Authorization``.
    """

    def __init__(
        self, url: str, experiment_name: str, send: Send, headers: dict[str, str] | None = None
    ) -> None:
        self._url = with_scheme(url)
        self._experiment_name = experiment_name
        self._send = send
        self._headers = headers or {}

    def open(self, report: Report) -> None:
        """Find the library that writes the format."""
        _library()

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """Replace what was pushed before."""
        job = job_name(report, self._experiment_name)
        # Each rank has a group of its own; one would replace another's.
        rank = ("rank", str(report.run.rank)) if report.run.rank else ()
        headers = {"Content-Type": _library().CONTENT_TYPE_PLAIN_0_0_4, **self._headers}
        self._send("PUT", joined(self._url, "metrics", "job", job, *rank), text_of(report), headers)
        return None

    close = update


class TextFile:
    """An output that keeps the totals in a ``.prom`` file, replaced as a whole each time.

    Args:
        directory: The directory of node_exporter's ``--collector.textfile.directory``.
        experiment_name: The file is called by the project and this.
    """

    def __init__(self, directory: Path, experiment_name: str) -> None:
        self._directory = directory
        self._experiment_name = experiment_name

    def open(self, report: Report) -> None:
        """Find the library that writes the format."""
        _library()

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """Replace the file."""
        rank = f"_{report.run.rank}" if report.run.rank else ""
        name = f"carbon_{job_name(report, self._experiment_name)}{rank}.prom"
        try:
            replace(self._directory / name, text_of(report))
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"cannot write {self._directory / name}: {reason}") from error
        return None

    close = update


def basic_authorization(user: str | None, password: str | None) -> dict[str, str]:
    """Return the header of HTTP basic authentication; none without user and password."""
    if not user or not password:
        return {}
    import base64

    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def job_name(report: Report, experiment_name: str) -> str:
    """Return CodeCarbon's name of the job: project and experiment, with plain characters only."""
    return _UNSAFE.sub("_", f"{report.run.project_name}_{experiment_name}")


def text_of(report: Report) -> bytes:
    """Return the totals in Prometheus' text format.

    Raises:
        OutputError: The library is not installed.
    """
    library = _library()
    registry = library.CollectorRegistry()
    data = emissions_data(report).values
    labels = {name: one_line(str(data[name] if data[name] is not None else "")) for name in _LABELS}
    for name, meaning in _GAUGES.items():
        if data[name] is not None:
            gauge = library.Gauge(f"codecarbon_{name}", meaning, _LABELS, registry=registry)
            gauge.labels(**labels).set(data[name])
    if data["energy_consumed"] is not None:
        energy = library.Counter("codecarbon_energy", "Energy in kWh.", _LABELS, registry=registry)
        energy.labels(**labels).inc(data["energy_consumed"])
    text: bytes = library.generate_latest(registry)
    return text


def _library() -> Any:
    try:
        import prometheus_client
    except ImportError as error:
        raise OutputError(
            "Prometheus needs the module prometheus_client: pip install 'carbon-callbacks[prometheus]'"
        ) from error
    return prometheus_client
