"""The series of a run in Prometheus' text format: CodeCarbon's names, and those of `metric_families`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from carbon_core.errors import OutputError
from carbon_core.escaping import one_line
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.outputs.metric_families import FAMILIES, gauges_of, infos_of
from carbon_core.outputs.present_power import PresentPower
from carbon_core.outputs.process_counters import process_counters
from carbon_core.report import Report

# Older versions of the library have no name for it.
CONTENT_TYPE = "; ".join(("text/plain", "version=0.0.4", "charset=utf-8"))
# CodeCarbon's, each the value of the column of its CSV file.
CODECARBON_GAUGES = {
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


class Series(NamedTuple):
    """A series: metric, labels and value.

    Attributes:
        name: Name of the metric.
        kind: ``counter`` or ``gauge``; as ``gauge`` also what is only information.
        help: Description of the metric.
        labels: Its labels by name.
        value: Its value.
    """

    name: str
    kind: str
    help: str
    labels: Mapping[str, str]
    value: float


class RunSeries:
    """Returns the series of one run for one output.

    Args:
        experiment_name: Value of the label ``experiment``.
        ids: Labels that `carbon_run_info` has beside those that are always there.
    """

    def __init__(self, experiment_name: str, ids: Sequence[str] = ()) -> None:
        self._experiment_name = experiment_name
        self._ids = tuple(ids)
        self._power = PresentPower()

    def of(self, report: Report) -> list[Series]:
        """Return the series; the power is that since the last call.

        Args:
            report: The totals so far.
        """
        self._power.note(report)
        labels, counters = process_counters().update(report, self._experiment_name)
        samples = [*counters, *gauges_of(report, self._power.window), *infos_of(report, self._ids)]
        return [
            *_codecarbon(report),
            *(
                Series(
                    one.family,
                    _kind(one.family),
                    FAMILIES[one.family].help,
                    {**labels, **one.labels},
                    one.value,
                )
                for one in samples
            ),
        ]


def page_of(series: Iterable[Series]) -> bytes:
    """Return series in the text format, those of a metric together; the last of those with equal labels.

    Raises:
        OutputError: The library is not installed.
    """
    library = load_library()
    families: dict[str, dict[tuple[tuple[str, str], ...], Series]] = {}
    for one in series:
        families.setdefault(one.name, {})[tuple(one.labels.items())] = one
    registry = library.CollectorRegistry(auto_describe=False)
    registry.register(_Collected(library, families))
    text: bytes = library.generate_latest(registry)
    return text


class _Collected:
    """A collector, as the library calls it, of metrics that are known."""

    def __init__(self, library: Any, families: Mapping[str, Mapping[Any, Series]]) -> None:
        self._library = library
        self._families = families

    def collect(self) -> Iterable[Any]:
        for name, series in self._families.items():
            first = next(iter(series.values()))
            metric = self._library.Metric(name.removesuffix("_total"), first.help, first.kind)
            for one in series.values():
                metric.add_sample(name, dict(one.labels), one.value)
            yield metric


def load_library() -> Any:
    """Import the library that writes the format.

    Raises:
        OutputError: It is not installed.
    """
    try:
        import prometheus_client
    except ImportError as error:
        raise OutputError(
            "Prometheus needs the module prometheus_client: pip install 'carbon-callbacks[prometheus]'"
        ) from error
    return prometheus_client


def _kind(family: str) -> str:
    return "counter" if FAMILIES[family].kind == "counter" else "gauge"


def _codecarbon(report: Report) -> Iterable[Series]:
    data = emissions_data(report).values
    labels = {name: one_line(str(data[name] if data[name] is not None else "")) for name in _LABELS}
    for name, meaning in CODECARBON_GAUGES.items():
        if data[name] is not None:
            yield Series(f"codecarbon_{name}", "gauge", meaning, labels, data[name])
    if data["energy_consumed"] is not None:
        yield Series(
            "codecarbon_energy_total", "counter", "Energy in kWh.", labels, data["energy_consumed"]
        )
