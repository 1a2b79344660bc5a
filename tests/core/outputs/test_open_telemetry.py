"""OpenTelemetry by the SDK's in-memory reader: instruments, values, and the resource."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from carbon_core import methods, units
from carbon_core.clock import SystemClock
from carbon_core.job_environment import JobFacts
from carbon_core.outputs.open_telemetry import OpenTelemetry
from carbon_core.records import Amounts, Device, Energy, Snapshot
from carbon_core.report import Report

MakeReport = Callable[..., Report]
CPU = Device("cpu:0", "cpu", "package-0", methods.RAPL_INTEL_SERVER)
GPU = Device("gpu:GPU-1", "gpu", "H200", methods.NVML_ENERGY)
POD = JobFacts("kubernetes", "train", step="train-x7", node="n1", cluster="c", namespace="ml")
JOB = JobFacts("slurm", "4711", array_index="3", step="0", node="n1", cluster="c", user="ada")


class InMemory(MetricExporter):
    """An exporter that keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[MetricsData] = []

    def export(self, data: MetricsData, *args: Any, **more: Any) -> MetricExportResult:
        self.got.append(data)
        return MetricExportResult.SUCCESS

    def shutdown(self, *args: Any, **more: Any) -> None:
        pass

    def force_flush(self, *args: Any, **more: Any) -> bool:
        return True


class Exported:
    """An output whose exports stay in memory."""

    def __init__(self, report: Report, **more: Any) -> None:
        self.output = OpenTelemetry("localhost:1", {}, clock=SystemClock(), **more)
        self.output.open(report)
        self.output._exporter = self.memory = InMemory()

    def of(self, report: Report) -> dict[str, Any]:
        """Return the metrics of an update by name."""
        self.output.update(report, Amounts())
        (resource,) = self.memory.got[-1].resource_metrics
        return {one.name: one for scope in resource.scope_metrics for one in scope.metrics}

    @property
    def resource(self) -> dict[str, Any]:
        (resource,) = self.memory.got[-1].resource_metrics
        return dict(resource.resource.attributes)


def at(report: Report, seconds: float, *joules: float | None, **run: Any) -> Report:
    energies = [Energy(j) if j is not None else Energy(0.0, 0.0, seconds) for j in joules]
    end = Snapshot(units.nanoseconds(seconds), (CPU, GPU)[: len(joules)], tuple(energies))
    facts = replace(report.run, **run)
    return replace(report, run=facts, status="running", window=end - Snapshot(0))


def values(metric: Any, by: str = "hw.id") -> dict[str, float]:
    return {point.attributes.get(by, ""): point.value for point in metric.data.data_points}


def test_the_power_is_that_of_the_last_interval(make_report: MakeReport) -> None:
    report = make_report()
    exported = Exported(report)
    exported.of(at(report, 10.0, 1000.0, 0.0))
    found = exported.of(at(report, 20.0, 1100.0, 500.0))
    assert values(found["hw.power"]) == {"cpu:0": 10.0, "gpu:GPU-1": 50.0}
    assert values(found["hw.host.power"]) == {"host": 60.0}
    assert values(found["hw.energy"]) == {"cpu:0": 1100.0, "gpu:GPU-1": 500.0}
    assert values(found["hw.host.energy"]) == {"host": 1600.0}
    units_of = {name: one.unit for name, one in found.items()}
    assert units_of == {
        "hw.energy": "J", "hw.power": "W", "hw.host.energy": "J", "hw.host.power": "W",
        "carbon.emissions": "g",
    }  # fmt: skip
    assert found["hw.host.energy"].data.is_monotonic


def test_totals_do_not_fall(make_report: MakeReport) -> None:
    report = make_report()
    exported = Exported(report)
    shown = [
        values(exported.of(at(report, 10.0 * i, joules))["hw.energy"])["cpu:0"]
        for i, joules in enumerate([100.0, 300.0, 250.0, 400.0], 1)
    ]
    assert shown == [100.0, 300.0, 300.0, 400.0]


def test_what_is_unknown_is_absent(make_report: MakeReport) -> None:
    report = make_report()
    found = Exported(report).of(at(report, 10.0, 100.0, None))
    assert list(values(found["hw.energy"])) == ["cpu:0"]
    assert values(found["hw.host.power"]) == {"host": 10.0}


def test_nothing_known_is_no_export_and_no_failure(make_report: MakeReport) -> None:
    exported = Exported(make_report())
    assert exported.output.update(at(make_report(), 10.0, None), Amounts()) is None
    assert exported.memory.got == []


def test_a_share_of_a_machine_is_no_total_of_the_host(make_report: MakeReport) -> None:
    report = make_report(tracking_mode="process")
    found = Exported(report).of(at(report, 10.0, 100.0))
    assert {"hw.energy", "hw.power"} <= found.keys()
    assert not {"hw.host.energy", "hw.host.power"} & found.keys()


def test_a_negative_power_is_no_value(make_report: MakeReport) -> None:
    report = make_report()
    exported = Exported(report)
    exported.of(at(report, 10.0, 100.0))
    assert "hw.power" not in exported.of(at(report, 20.0, 90.0))
    assert all(
        math.isfinite(value)
        for one in exported.of(at(report, 30.0, 120.0)).values()
        for value in values(one).values()
    )


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (
            POD,
            {
                "host.name": "n1",
                "k8s.cluster.name": "c",
                "k8s.namespace.name": "ml",
                "k8s.node.name": "n1",
                "k8s.pod.name": "train-x7",
                "k8s.job.name": "train",
            },
        ),
        (
            JOB,
            {
                "host.name": "n1",
                "carbon.job.scheduler": "slurm",
                "carbon.job.id": "4711",
                "carbon.job.array_index": "3",
                "carbon.job.step": "0",
                "carbon.job.cluster": "c",
            },
        ),
    ],
)
def test_the_resource_has_host_and_job(
    make_report: MakeReport, job: JobFacts, expected: dict[str, str]
) -> None:
    report = at(make_report(), 10.0, 100.0, job=job)
    exported = Exported(report)
    exported.of(report)
    found = exported.resource
    assert (found["service.name"], found["service.instance.id"]) == ("digits", "run-1")
    own = ("host.", "k8s.", "carbon.")
    assert {key: found[key] for key in found if key.startswith(own)} == expected
    assert "ada" not in found.values()


def test_the_host_can_be_hidden(make_report: MakeReport) -> None:
    report = at(make_report(), 10.0, 100.0, job=POD)
    exported = Exported(report, names_host=False)
    exported.of(report)
    assert "n1" not in exported.resource.values()
    assert exported.resource["k8s.pod.name"] == "train-x7"


def test_the_program_s_own_attributes_take_precedence(
    make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=chosen,k8s.pod.name=mine")
    report = at(make_report(), 10.0, 100.0, job=POD)
    exported = Exported(report)
    exported.of(report)
    assert exported.resource["host.name"] == "chosen"
    assert exported.resource["k8s.pod.name"] == "mine"
    assert exported.resource["k8s.node.name"] == "n1"
