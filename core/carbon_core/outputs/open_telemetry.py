"""Exports the totals as OpenTelemetry metrics over OTLP/HTTP.

``hw.energy`` (J, a counter) and ``hw.power`` (W) with ``hw.id`` and ``hw.type`` for each device follow
the semantic conventions for hardware, https://opentelemetry.io/docs/specs/semconv/hardware/;
``carbon.emissions`` (g) is the run's. If no setting has the endpoint, it is that of the variables
``OTEL_EXPORTER_OTLP_*``. The exporter encodes and retries; its requests are made by `carbon_core.fetch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from carbon_core import uncertainty
from carbon_core.addresses import joined, with_scheme
from carbon_core.clock import Clock
from carbon_core.errors import OutputError
from carbon_core.fetch import TOTAL_TIMEOUT_S, authorization, session, without_user
from carbon_core.records import Amounts, Component
from carbon_core.report import Report
from carbon_core.threads import without_log_records
from carbon_core.units import GRAMS_PER_KG

_DEFAULT_ENDPOINT = "http://localhost:4318"
_TYPES: Mapping[Component, str] = {"cpu": "cpu", "gpu": "gpu", "ram": "memory"}


class OpenTelemetry:
    """An output (see `carbon_core.outputs.base.Output`).

    Args:
        url: Full URL for metrics; without a scheme, HTTP.
        headers: HTTP headers, such as ``Authorization``. Those of the exporter's variables are not sent
            beside them: they may be the key of another service.
        clock: Source of time.
        timeout_s: Timeout of one export in seconds.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        clock: Clock,
        timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        self._url = with_scheme(url)
        self._headers = dict(headers)
        self._clock = clock
        self._timeout_s = timeout_s
        self._problem = ""
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
                f"OpenTelemetry needs the module {error.name}: pip install 'carbon-callbacks[otel]'"
            ) from error
        # Its messages contain the address, with a key that may be in its query.
        without_log_records(OTLPMetricExporter.__module__)
        run = report.run
        about = {"service.name": run.project_name, "service.instance.id": run.run_id}
        self._exporter = OTLPMetricExporter(
            endpoint=without_user(self._url),
            timeout=self._timeout_s,
            session=session(
                self._clock,
                self._timeout_s,
                {**authorization(self._url), **self._headers},
                self._failed,
            ),
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
        self._problem = ""
        data = self._reader.get_metrics_data()
        accepted = data is not None and self._exporter.export(data) is MetricExportResult.SUCCESS
        if self._problem or not accepted:
            raise OutputError(self._problem or "the collector did not accept the metrics")
        return None

    def close(self, report: Report, delta: Amounts) -> Amounts | None:
        """Export the final totals and shut the exporter down."""
        try:
            return self.update(report, delta)
        finally:
            self._exporter.shutdown()
            self._provider.shutdown()

    def _failed(self, problem: str) -> None:
        self._problem = problem

    def _observe(self, figures: Callable[[Report], Iterable[tuple[float, dict[str, str]]]]) -> Any:
        from opentelemetry.metrics import Observation

        def callback(_: Any) -> list[Any]:
            report = self._report
            return [Observation(*pair) for pair in figures(report)] if report else []

        return callback


def endpoint_of(environ: Mapping[str, str]) -> str:
    """Return the endpoint for metrics that the exporter's variables have, or its default."""
    own = environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "").strip()
    base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or _DEFAULT_ENDPOINT
    return own or joined(with_scheme(base), "v1", "metrics")


def headers_of(text: str) -> dict[str, str]:
    """Return the headers of ``OTEL_EXPORTER_OTLP_HEADERS``: pairs with commas between, quoted."""
    pairs = (pair.partition("=") for pair in text.split(","))
    found = {unquote(name).strip().lower(): unquote(value).strip() for name, _, value in pairs}
    return {name: value for name, value in found.items() if name}


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
