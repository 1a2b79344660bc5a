"""Exports the totals as OpenTelemetry metrics over OTLP/HTTP.

``hw.energy`` (J, a counter) and ``hw.power`` (W, of the last interval) of each device with ``hw.id`` and
``hw.type``, and their sums ``hw.host.energy`` and ``hw.host.power``, follow the semantic conventions for
hardware, https://opentelemetry.io/docs/specs/semconv/hardware/; ``carbon.emissions`` (g) is the run's.
If no setting has the endpoint, it is that of the variables ``OTEL_EXPORTER_OTLP_*``. The exporter
encodes and retries; its requests are made by `carbon_core.fetch`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from carbon_core import uncertainty
from carbon_core.addresses import joined, with_scheme
from carbon_core.clock import Clock
from carbon_core.errors import OutputError
from carbon_core.escaping import one_line
from carbon_core.fetch import TOTAL_TIMEOUT_S, authorization, session, without_user
from carbon_core.outputs.present_power import PresentPower
from carbon_core.records import Amounts, Component, Window
from carbon_core.report import Report
from carbon_core.threads import without_log_records
from carbon_core.units import GRAMS_PER_KG

_DEFAULT_ENDPOINT = "http://localhost:4318"
# The run's energy is that of its host only in this `tracking_mode`.
_WHOLE_MACHINE = "machine"
_TYPES: Mapping[Component, str] = {"cpu": "cpu", "gpu": "gpu", "ram": "memory"}
# The resource has its name.
_HOST = {"hw.id": "host"}
_Figure = tuple[float, dict[str, str]]
_Totals = Callable[[Report], Iterable[_Figure]]
_Present = Callable[[Report, Window], Iterable[_Figure]]


class OpenTelemetry:
    """An output (see `carbon_core.outputs.base.Output`).

    Args:
        url: Full URL for metrics; without a scheme, HTTP.
        headers: HTTP headers, such as ``Authorization``. Those of the exporter's variables are not sent
            beside them: they may be the key of another service.
        clock: Source of time.
        timeout_s: Timeout of one export in seconds.
        names_host: Whether the resource has the name of the host.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        clock: Clock,
        timeout_s: float = TOTAL_TIMEOUT_S,
        names_host: bool = True,
    ) -> None:
        self._url = with_scheme(url)
        self._headers = dict(headers)
        self._clock = clock
        self._timeout_s = timeout_s
        self._names_host = names_host
        self._problem = ""
        self._report: Report | None = None
        self._power = PresentPower()
        self._highest: dict[tuple[object, ...], float] = {}
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
        # Their messages contain the address, with a key that may be in its query, and headers of the
        # variables that they cannot read.
        without_log_records(OTLPMetricExporter.__module__, "opentelemetry.util.re")
        resource = Resource.create(resource_of(report))
        # The program's OTEL_RESOURCE_ATTRIBUTES may have better ones.
        more = place_of(report, names_host=self._names_host)
        more = {key: value for key, value in more.items() if key not in resource.attributes}
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
            [self._reader], resource=resource.merge(Resource(more)), shutdown_on_exit=False
        )
        meter = self._provider.get_meter("carbon_callbacks", report.run.package_version)
        meter.create_observable_counter("hw.energy", [self._count(_energies)], unit="J")
        meter.create_observable_gauge("hw.power", [self._observe(_powers)], unit="W")
        meter.create_observable_counter("hw.host.energy", [self._count(_host_energy)], unit="J")
        meter.create_observable_gauge("hw.host.power", [self._observe(_host_power)], unit="W")
        meter.create_observable_counter(
            "carbon.emissions",
            [self._count(_emissions)],
            unit="g",
            description="Emissions of the run in grams of CO2e.",
        )

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """Export the totals so far."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        self._power.note(report)
        self._report = report
        self._problem = ""
        data = self._reader.get_metrics_data()
        if data is None:  # nothing is known yet
            return None
        accepted = self._exporter.export(data) is MetricExportResult.SUCCESS
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

    def _count(self, figures: _Totals) -> Any:
        """Return a callback with totals that never fall: a late reading may correct one downwards."""

        def totals() -> Iterable[_Figure]:
            for value, about in figures(self._report) if self._report else ():
                key = figures.__name__, *about.items()
                self._highest[key] = max(value, self._highest.get(key, 0.0))
                yield self._highest[key], about

        return _observed(totals)

    def _observe(self, figures: _Present) -> Any:
        """Return a callback with values of the last interval."""

        def present() -> Iterable[_Figure]:
            if self._report is not None and self._power.window is not None:
                yield from figures(self._report, self._power.window)

        return _observed(present)


def _observed(figures: Callable[[], Iterable[_Figure]]) -> Any:
    from opentelemetry.metrics import Observation

    return lambda _: [Observation(*pair) for pair in figures()]


def resource_of(report: Report) -> dict[str, str]:
    """Return the attributes of the resource that identify the run."""
    name = one_line(report.run.project_name)
    return {"service.name": name, "service.instance.id": report.run.run_id}


def place_of(report: Report, *, names_host: bool) -> dict[str, str]:
    """Return the attributes of the resource with host and job, as far as they are known.

    Args:
        report: The run.
        names_host: Whether to return the name of the host.
    """
    job = report.run.job
    in_pod = job is not None and job.scheduler == "kubernetes"
    # The host name of a pod is that of the pod.
    host = (job.node if job else "") or ("" if in_pod else platform.node())
    found = {"host.name": host if names_host else ""}
    if job is not None and in_pod:
        found |= {
            "k8s.cluster.name": job.cluster,
            "k8s.namespace.name": job.namespace,
            "k8s.node.name": job.node if names_host else "",
            "k8s.pod.name": job.step,
            "k8s.job.name": job.job_id if job.job_id != job.step else "",
        }
    elif job is not None:
        found |= {
            "carbon.job.scheduler": job.scheduler,
            "carbon.job.id": job.job_id,
            "carbon.job.array_index": job.array_index,
            "carbon.job.step": job.step,
            "carbon.job.cluster": job.cluster,
        }
    return {key: value for key, value in found.items() if value}


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


def _energies(report: Report) -> Iterable[_Figure]:
    return _of_devices(report.window)


def _of_devices(window: Window) -> Iterable[_Figure]:
    unread = uncertainty.unread(window)
    for device, energy in window.by_device.items():
        if device in unread:
            continue
        about = {"hw.id": device.id, "hw.type": _TYPES[device.component], "hw.name": device.name}
        yield energy.joules, {**about, "carbon.method": device.method.name}


def _powers(report: Report, latest: Window | None = None) -> Iterable[_Figure]:
    latest = latest or report.window
    for joules, about in _of_devices(latest):
        if joules >= 0.0:  # else it is a correction of what was extrapolated earlier
            yield joules / latest.duration_s, about


def _host_energy(report: Report) -> Iterable[_Figure]:
    if report.is_known and report.run.tracking_mode == _WHOLE_MACHINE:
        yield report.window.joules, _HOST


def _host_power(report: Report, latest: Window) -> Iterable[_Figure]:
    powers = [watts for watts, _ in _powers(report, latest)]
    if powers and report.run.tracking_mode == _WHOLE_MACHINE:
        yield sum(powers), _HOST


def _emissions(report: Report) -> Iterable[_Figure]:
    if report.is_known:
        yield report.emissions_kg.value * GRAMS_PER_KG, {"carbon.place": report.place}
