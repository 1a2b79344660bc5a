"""The package's own Prometheus metrics: values, labels, what is unknown, counters that never fall."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carbon_core import Work, methods, units
from carbon_core.job_environment import JobFacts
from carbon_core.outputs import process_counters as counters_module
from carbon_core.outputs.metric_families import FAMILIES, RUN_LABELS
from carbon_core.outputs.prometheus import Pushgateway, TextFile, text_of
from carbon_core.outputs.prometheus_text import CODECARBON_GAUGES, RunSeries, Series, page_of
from carbon_core.records import Amounts, Device, Energy, Snapshot, Utilization
from carbon_core.report import Report

MakeReport = Callable[..., Report]
CPU = Device("cpu:0", "cpu", "package-0", methods.RAPL_INTEL_SERVER)
GPU = Device("gpu:GPU-1", "gpu", 'A "big" one\\', methods.NVML_ENERGY)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters as at the start of a process."""
    monkeypatch.setattr(counters_module, "_of_process", {})


def at(
    report: Report, seconds: float, *joules: float | None, status: str = "running", **facts: Any
) -> Report:
    """Return a run with these joules of the processor and the GPU so far; None: not read."""
    energies = [Energy(j) if j is not None else Energy(0.0, 0.0, seconds) for j in joules]
    end = Snapshot(units.nanoseconds(seconds), (CPU, GPU)[: len(joules)], tuple(energies))
    run = replace(report.run, pue=1.0, **facts)
    return replace(report, run=run, status=status, window=end - Snapshot(0))


def of(series: list[Series], name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric by its labels beside those of the run."""
    return {
        tuple(value for key, value in one.labels.items() if key not in RUN_LABELS): one.value
        for one in series
        if one.name == name
    }


def energy(series: list[Series]) -> float:
    return sum(of(series, "carbon_energy_joules_total").values())


# --- values --------------------------------------------------------------------------------------


def test_each_device_has_a_series_in_joules(make_report: MakeReport) -> None:
    series = RunSeries("base").of(at(make_report(), 10.0, 100.0, 300.0))
    assert of(series, "carbon_energy_joules_total") == {
        ("cpu", "cpu:0"): 100.0,
        ("gpu", "gpu:GPU-1"): 300.0,
    }
    assert of(series, "carbon_duration_seconds_total") == {(): 10.0}


def test_totals_include_the_overhead_as_in_all_results(make_report: MakeReport) -> None:
    report = make_report(status="running")
    series = RunSeries("base").of(report)
    assert energy(series) == pytest.approx(units.joules(report.energy_kwh.value))
    assert of(series, "carbon_emissions_grams_total")[()] == pytest.approx(
        report.emissions_kg.value * 1000
    )
    low = of(series, "carbon_run_energy_bound_joules")[("low",)]
    assert low == pytest.approx(units.joules(report.energy_kwh.low))


def test_the_power_is_that_of_the_last_interval(make_report: MakeReport) -> None:
    series, report = RunSeries("base"), make_report()
    series.of(at(report, 10.0, 100.0, 0.0))
    latest = series.of(at(report, 15.0, 200.0, 0.0))
    assert of(latest, "carbon_power_watts") == {("cpu", "cpu:0"): 20.0, ("gpu", "gpu:GPU-1"): 0.0}
    # A flush right after a reading does not replace it by noise.
    flushed = series.of(at(report, 15.001, 201.0, 0.0))
    assert of(flushed, "carbon_power_watts")[("cpu", "cpu:0")] == 20.0


def test_after_the_end_totals_remain_and_no_present_value(make_report: MakeReport) -> None:
    series, report = RunSeries("base"), make_report(settings={"budget_kwh": "1.0"})
    assert of(series.of(at(report, 10.0, 100.0)), "carbon_budget_used_ratio")
    ended = series.of(at(report, 15.0, 200.0, status="completed"))
    names = {one.name for one in ended if one.name.startswith("carbon_")}
    assert not names & {name for name, family in FAMILIES.items() if family.kind == "gauge"}
    assert energy(ended) == 200.0


def test_a_budget_is_a_ratio_of_the_whole_training(make_report: MakeReport) -> None:
    settings = {"budget_kwh": "8.0", "budget_kg_co2e": "None"}
    report = make_report(status="running", settings=settings)
    used = of(RunSeries("base").of(report), "carbon_budget_used_ratio")
    assert used == {("energy",): pytest.approx(report.training_kwh / 8.0)}


def test_work_is_counted_by_one_rank(make_report: MakeReport) -> None:
    work = Work(steps=10, samples=320.0)
    first = replace(at(make_report(), 10.0, 1.0), work=work)
    found = RunSeries("base").of(first)
    assert of(found, "carbon_samples_total") == {(): 320.0}
    assert of(found, "carbon_steps_total") == {(): 10.0}
    assert of(found, "carbon_tokens_total") == {}
    second = replace(at(make_report("other"), 10.0, 1.0, rank=1), work=work)
    assert of(RunSeries("base").of(second), "carbon_samples_total") == {}


def test_the_utilisation_is_a_rate_of_busy_seconds(make_report: MakeReport) -> None:
    report = replace(at(make_report(), 10.0, 1.0), utilization=Utilization(gpu_percent=25.0))
    assert of(RunSeries("base").of(report), "carbon_gpu_busy_seconds_total") == {(): 2.5}


# --- unknown -------------------------------------------------------------------------------------


def test_what_is_unknown_is_absent_and_not_0(make_report: MakeReport) -> None:
    series = RunSeries("base").of(at(make_report(), 10.0, 100.0, None))
    assert list(of(series, "carbon_energy_joules_total")) == [("cpu", "cpu:0")]
    assert list(of(series, "carbon_power_watts")) == [("cpu", "cpu:0")]
    assert of(series, "carbon_missing_seconds_total")[("gpu", "gpu:GPU-1")] == 10.0
    nothing = {one.name for one in RunSeries("base").of(at(make_report("run-2"), 10.0, None))}
    assert {name for name in nothing if name.startswith("carbon_")} == {
        "carbon_duration_seconds_total",
        "carbon_missing_seconds_total",
        "carbon_run_info",
    }


@pytest.mark.parametrize("joules", [math.nan, math.inf, -5.0])
def test_no_invalid_value_is_exported(make_report: MakeReport, joules: float) -> None:
    series = RunSeries("base").of(at(make_report(), 10.0, 100.0, joules))
    own = [one for one in series if one.name.startswith("carbon_")]
    assert all(math.isfinite(one.value) and one.value >= 0 for one in own)
    assert list(of(series, "carbon_energy_joules_total")) == [("cpu", "cpu:0")]


def test_a_correction_downwards_is_no_negative_power(make_report: MakeReport) -> None:
    series, report = RunSeries("base"), make_report()
    series.of(at(report, 10.0, 100.0))
    assert of(series.of(at(report, 20.0, 90.0)), "carbon_power_watts") == {}


# --- counters of the process ---------------------------------------------------------------------


def test_a_counter_does_not_fall_when_a_total_is_corrected(make_report: MakeReport) -> None:
    series, report = RunSeries("base"), make_report()
    shown = [
        energy(series.of(at(report, 10.0 * i, joules)))
        for i, joules in enumerate([100.0, 300.0, 250.0, 280.0, 400.0], 1)
    ]
    assert shown == [100.0, 300.0, 300.0, 300.0, 400.0]


def test_counters_continue_with_the_next_run_of_the_process(make_report: MakeReport) -> None:
    shown = []
    for i in range(4):
        series, report = RunSeries("base"), make_report(f"run-{i}")
        shown.append(energy(series.of(at(report, 1.0, 10.0))))
        shown.append(energy(series.of(at(report, 10.0, 100.0))))
        series.of(at(report, 11.0, 90.0, status="completed"))
    assert shown == sorted(shown)
    assert shown[-1] == 3 * 90.0 + 100.0


def test_several_outputs_count_a_run_once(make_report: MakeReport) -> None:
    """One ends before the other has begun: its later totals, and its end, add nothing."""
    first, second, report = RunSeries("base"), RunSeries("base"), make_report()
    first.of(at(report, 10.0, 100.0))
    first.of(at(report, 11.0, 110.0, status="completed"))
    assert energy(second.of(at(report, 10.0, 100.0))) == 110.0
    assert energy(second.of(at(report, 11.0, 110.0, status="completed"))) == 110.0
    after = RunSeries("base").of(at(make_report("next"), 1.0, 1.0))
    assert energy(after) == 111.0


def test_a_run_within_another_is_counted_apart(make_report: MakeReport) -> None:
    outer, inner = RunSeries("base"), RunSeries("base")
    outer.of(at(make_report("outer"), 10.0, 100.0))
    within = inner.of(at(make_report("inner"), 5.0, 50.0, within=("outer",)))
    assert {one.labels["nested"] for one in within if "nested" in one.labels} == {"true"}
    assert energy(within) == 50.0
    ended = at(make_report("inner"), 6.0, 60.0, within=("outer",), status="completed")
    assert {one.labels["nested"] for one in inner.of(ended) if "nested" in one.labels} == {"true"}
    assert energy(outer.of(at(make_report("outer"), 20.0, 200.0))) == 200.0


def test_a_run_within_one_that_is_not_exported_is_not_nested(make_report: MakeReport) -> None:
    series = RunSeries("base").of(at(make_report(), 5.0, 50.0, within=("unseen",)))
    assert {one.labels["nested"] for one in series if "nested" in one.labels} == {"false"}


def test_memory_does_not_grow_with_the_runs(make_report: MakeReport) -> None:
    for i in range(600):
        RunSeries("base").of(at(make_report(f"run-{i}"), 1.0, 1.0, status="completed"))
    counters = counters_module.process_counters()
    assert len(counters._ended) <= 256
    assert len(counters._sums) < 20
    assert counters._running == {}


# --- labels --------------------------------------------------------------------------------------


def test_no_label_changes_with_each_run(make_report: MakeReport) -> None:
    job = JobFacts("slurm", "4711", array_index="3", step="0", node="n1", cluster="c", user="ada")
    report = at(make_report("4a1e-run"), 10.0, 1.0, 2.0, job=job)
    own = [one for one in RunSeries("base").of(report) if one.name.startswith("carbon_")]
    assert not {"4711", "4a1e-run", "ada"} & {v for one in own for v in one.labels.values()}
    (info,) = [one for one in own if one.name == "carbon_run_info"]
    assert (info.labels["scheduler"], info.labels["node"], info.labels["cluster"]) == (
        "slurm",
        "n1",
        "c",
    )
    ids = RunSeries("base", ["run_id", "job_id", "array_index"]).of(report)
    (with_ids,) = [one for one in ids if one.name == "carbon_run_info"]
    assert with_ids.labels["run_id"] == "4a1e-run"
    assert (with_ids.labels["job_id"], with_ids.labels["array_index"]) == ("4711", "3")
    assert all("run_id" not in one.labels for one in ids if one.name != "carbon_run_info")


def test_names_of_others_are_text_of_a_label(make_report: MakeReport) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    name = 'a"} 1\ncarbon_evil{x="\\\udcff\x1b[31m'
    text = text_of(at(make_report(project_name=name), 10.0, 1.0, 2.0)).decode()
    families = {one.name: one for one in text_string_to_metric_families(text)}
    assert "carbon_evil" not in families
    (info,) = families["carbon_run_info"].samples
    assert info.labels["project"] == 'a"} 1 carbon_evil{x="\\  [31m'
    gpu = families["carbon_device_info"].samples[1]
    assert gpu.labels["name"] == GPU.name


def test_the_names_follow_the_rules_of_prometheus() -> None:
    for name, family in FAMILIES.items():
        assert re.fullmatch("carbon_[a-z_]+", name)
        assert name.endswith("_total") == (family.kind == "counter")
        assert name.endswith("_info") == (family.kind == "info")
        assert family.help.endswith(".")
        assert not set(family.labels) & set(RUN_LABELS)


def test_each_metric_is_declared_once_and_codecarbon_s_stay(make_report: MakeReport) -> None:
    first, second = make_report(), make_report("second", project_name="other")
    text = page_of([*RunSeries("base").of(first), *RunSeries("base").of(second)]).decode()
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(types) == len(set(types))
    assert {f"codecarbon_{name}" for name in CODECARBON_GAUGES} <= set(types)
    assert "# TYPE codecarbon_energy_total counter" in text


def test_the_page_documents_each_metric() -> None:
    page = (Path(__file__).parents[3] / "docs" / "dashboards.md").read_text(encoding="utf-8")
    assert [name for name in FAMILIES if f"`{name}" not in page] == []


def test_files_and_pushes_have_the_same_series(make_report: MakeReport, tmp_path: Path) -> None:
    sent: list[bytes] = []
    push = Pushgateway("localhost:1", "base", lambda *request: sent.append(request[2]) or b"")
    file = TextFile(tmp_path, "base")
    for output in (push, file):
        output.update(at(make_report(), 10.0, 1.0, 2.0), Amounts())
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == sent[0]
    assert b"carbon_energy_joules_total{" in sent[0]
