"""Exports the totals as OpenTelemetry metrics over OTLP/HTTP.

``hw.energy`` (J, a counter) and ``hw.power`` (W) with ``hw.id`` and ``hw.type`` for each device follow
the semantic conventions for hardware, https://opentelemetry.io/docs/specs/semconv/hardware/;
``carbon.emissions`` (g) is the run's. If no setting has the endpoint, the exporter reads the variables
``OTEL_EXPORTER_OTLP_*``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from carbon_core import uncertainty
from carbon_core.errors import OutputError
from carbon_core.records import Amounts, Component
from carbon_core.report import Report
from carbon_core.threads import without_log_records
from carbon_core.units import GRAMS_PER_KG

_TYPES: Mapping[Component, str] = {"cpu": "cpu", "gpu": "gpu", "ram": "memory"}


class OpenTelemetry:
    """An output (see `carbon_core.outputs.base.Output`).

    Args:
        url: Full URL for metrics; None for the endpoint of the exporter's variables.
        headers: HTTP headers, such as ``Authorization``.
        timeout_s: Timeout of one export in seconds.
    """

    def __init__(
        self, url: str | None, headers: Mapping[str, str] | None = None, timeout_s: float = 5.0
    ) -> None:
        self._url = url
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s
        self._report: Report | None = None
        self._reader: Any = None
        self._provider: Any = None
        self._exporter: Any = None

    def open(self, report: Report) -> None:
        """Create the exporter and the instruments, without a thread of their own."""
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import InMemoryMetricReader
            from opentelemetry.sdk.resources import Resource
        except ImportError as error:
            raise OutputError(
                "OpenTelemetry is not installed: pip install 'carbon-callbacks[otel]'"
            ) from error
        # Its messages contain the address, with a key that may be in its query.
        without_log_records(OTLPMetricExporter.__module__)
        run = report.run
        about = {"service.name": run.project_name, "service.instance.id": run.run_id}
        self._exporter = OTLPMetricExporter(
            endpoint=self._url, headers=self._headers or None, timeout=self._timeout_s
        )
        self._reader = InMemoryMetricReader()
        self._provider = MeterProvider(
            [self._reader], resource=Resource.create(about), shutdown_on_exit=False
        )
        meter = self._provider.get_meter("carbon_callbacks", run.package_version)
        meter.create_observable_counter("hw.energy", [self._observe(_energies)], unit="J")
        meter.create_observable_gauge("hw.power", [self._observe(_powers)], unit="W")
        meter.create_observable_counter(
            "carbon.emissions",
            [self._observe(_emissions)],
            unit="g",
            description="Emissions of the run in grams of CO2e.",
        )

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """Export the totals so far."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        self._report = report
        data = self._reader.get_metrics_data()
        if data is None or self._exporter.export(data) is not MetricExportResult.SUCCESS:
            raise OutputError("the collector did not accept the metrics")
        return None

    def close(self, report: Report, delta: Amounts) -> Amounts | None:
        """Export the final totals and shut the exporter down."""
        try:
            return self.update(report, delta)
        finally:
            self._exporter.shutdown()
            self._provider.shutdown()

    def _observe(self, figures: Callable[[Report], Iterable[tuple[float, dict[str, str]]]]) -> Any:
        from opentelemetry.metrics import Observation

        def callback(_: Any) -> list[Any]:
            report = self._report
            return [Observation(*pair) for pair in figures(report)] if report else []

        return callback


def _energies(report: Report) -> Iterable[tuple[float, dict[str, str]]]:
    unread = uncertainty.unread(report.window)
    for device, energy in report.window.by_device.items():
        if device in unread:
            continue
        about = {"hw.id": device.id, "hw.type": _TYPES[device.component], "hw.name": device.name}
        yield energy.joules, {**about, "carbon.method": device.method.name}


def _powers(report: Report) -> Iterable[tuple[float, dict[str, str]]]:
    if report.duration_s > 0:
        for joules, about in _energies(report):
            yield joules / report.duration_s, about


def _emissions(report: Report) -> Iterable[tuple[float, dict[str, str]]]:
    if report.is_known:
        yield report.emissions_kg.value * GRAMS_PER_KG, {"carbon.place": report.place}
