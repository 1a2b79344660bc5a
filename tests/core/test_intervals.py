"""The intervals of what is not a total: components, phases, energy above idle, runs and ranks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.outputs.conftest import KWH, report_of

from carbon_core import methods, units
from carbon_core.decoding import DecodingError, decoded
from carbon_core.outputs import journal, past_runs, receipt
from carbon_core.outputs.merging import merge
from carbon_core.outputs.receipt_reading import Receipt, of_report
from carbon_core.records import (
    Device,
    Energy,
    Estimate,
    HostFacts,
    HourEnergy,
    Segment,
    Snapshot,
)
from carbon_core.report import Phase, Report
from carbon_core.sampler.phases import PhaseTotal
from carbon_core.segments import segments_of, state_of
from carbon_core.tracker.open_window import OpenWindow
from carbon_core.uncertainty import RANDOM, Z_95, emissions_of_segments, energy_of_segments

XEON, NVML, RAM = methods.RAPL_INTEL_SERVER, methods.NVML_ENERGY, methods.RAM_MODEL


def sigma_of(estimate: Estimate) -> float:
    """Return the standard deviation that an interval shows, in the logarithm."""
    assert estimate.low <= estimate.value <= estimate.high
    return math.log(estimate.high / estimate.value) / Z_95


STARTED_AT = "2026-01-01T00:00:00+00:00"


def segment(run_id: str = "a", kwh: float = 1.0, **more: Any) -> Segment:
    return Segment(run_id, STARTED_AT, 60.0, kwh, kwh / 10, **more)


# --- components -----------------------------------------------------------------------------------


def test_a_component_has_the_errors_of_its_own_devices() -> None:
    report = report_of()
    found = {name: report.intervals.component_kwh(name) for name in report.components}
    assert {name: one.value for name, one in found.items()} == {
        name: report.component_kwh(name) for name in report.components
    }
    assert sigma_of(found["cpu"]) == pytest.approx(0.05)  # the least
    assert sigma_of(found["ram"]) == pytest.approx(methods.RAM_MODEL.sigma_ln)
    assert sigma_of(found["gpu"]) > methods.NVML_POWER.sigma_ln


def test_what_others_may_have_used_of_a_component_lowers_its_low_end_only() -> None:
    plain = report_of()
    use = replace(plain.utilization, gpu_least_share={"gpu:GPU-1": 0.25})
    shared = replace(plain, utilization=use)
    before, after = (one.intervals.component_kwh("gpu") for one in (plain, shared))
    assert after == (before.value, pytest.approx(before.low / 4), before.high)
    assert shared.intervals.component_kwh("cpu") == plain.intervals.component_kwh("cpu")


# --- devices and hours ----------------------------------------------------------------------------


def test_a_device_has_the_errors_of_its_own_method() -> None:
    report = report_of()
    found = {device.id: one for device, one in devices_of(report)}
    assert sum(one.value for one in found.values()) == pytest.approx(report.energy_kwh.value)
    assert sigma_of(found["ram:all"]) == pytest.approx(methods.RAM_MODEL.sigma_ln)
    assert found["gpu:GPU-1"] == pytest.approx(report.intervals.component_kwh("gpu"))


def devices_of(report: Report) -> list[tuple[Device, Estimate]]:
    return [(device, report.intervals.device_kwh(device)) for device in report.window.by_device]


def test_an_hour_has_the_gain_errors_of_its_run_and_the_ends_of_its_own() -> None:
    device = Device("gpu:1", "gpu", "A GPU", NVML)
    run_s, edge_j = 7200.0, NVML.edge_s * 500.0
    window = Snapshot(units.nanoseconds(run_s), (device,), (Energy(3.6e6),)) - Snapshot(0)
    report = replace(report_of(), window=window)
    energy, emissions = report.intervals.hour(HourEnergy("2026-01-01T10", 1.8e6, 100.0))
    assert (energy.value, emissions.value) == pytest.approx((0.5, 0.1))
    assert sigma_of(energy) == pytest.approx(math.hypot(0.05, edge_j / 1.8e6))
    assert sigma_of(emissions) > sigma_of(energy)
    # A few seconds of an hour have the same ends.
    short, _ = report.intervals.hour(HourEnergy("2026-01-01T12", 500.0, 0.1))
    assert sigma_of(short) == pytest.approx(math.hypot(0.05, edge_j / 500.0))


def test_what_was_extrapolated_in_a_run_may_be_of_any_hour() -> None:
    device = Device("gpu:1", "gpu", "A GPU", NVML)
    energies = (Energy(3.5e6, 0.1e6, 600.0, 0.05e6),)
    window = Snapshot(units.nanoseconds(7200.0), (device,), energies) - Snapshot(0)
    report = replace(report_of(), window=window)
    energy, _ = report.intervals.hour(HourEnergy("2026-01-01T10", 1.8e6, 100.0))
    least, _ = report.intervals.hour(HourEnergy("2026-01-01T11", 1.0, 1e-4))
    assert sigma_of(energy) == pytest.approx(math.hypot(0.05, 0.05 / 1.8), rel=0.01)
    assert sigma_of(least) == pytest.approx(math.hypot(0.05, math.log(2), 1.0), rel=0.01)
    none = HourEnergy("2026-01-01T12", 0.0, 0.0)
    assert report.intervals.hour(none) == ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def test_a_receipt_has_the_intervals_of_devices_hours_and_other_runs() -> None:
    hour = HourEnergy("2026-01-01T10:00:00+00:00", 2.0 * KWH, 100.0)
    sds = {"energy_sd_kwh": {"rapl.package": 0.1}, "intensity_sd_kg": {"France": 0.02}}
    whole = replace(
        report_of(), hours=(hour,), earlier=(segment(**sds),), others=(segment("b", **sds),)
    )
    data = receipt.receipt(whole)
    for one in data["devices"]:
        assert one["energy_low_kwh"] < one["energy_kwh"] < one["energy_high_kwh"]
    [found] = data["hours"]
    ends = found["hardware_energy_low_kwh"], found["hardware_energy_high_kwh"]
    assert ends[0] < found["hardware_energy_kwh"] == 2.0 < ends[1]
    assert found["emissions_low_kg"] < found["emissions_kg"] == 0.1 < found["emissions_high_kg"]
    for one in (*data["earlier_starts"], *data["other_ranks"]):
        assert one["energy_low_kwh"] == pytest.approx(math.exp(-Z_95 * 0.1))
        sigma_ln = math.log(one["emissions_high_kg"] / one["emissions_kg"]) / Z_95
        assert sigma_ln == pytest.approx(math.hypot(0.1, 0.2))
    read = decoded(Receipt, data)
    assert read.earlier_starts == whole.earlier
    assert read.hours[0].emissions_high_kg == found["emissions_high_kg"]


def test_a_device_without_a_reading_has_no_energy() -> None:
    silent = Device("gpu:1", "gpu", "A GPU", NVML)
    cpu = Device("cpu:0", "cpu", "A CPU", XEON)
    energies = (Energy(0.0, 0.0, 60.0), Energy(100.0))
    window = Snapshot(units.nanoseconds(60.0), (silent, cpu), energies) - Snapshot(0)
    data = receipt.receipt(replace(report_of(), window=window))
    assert [one["energy_kwh"] is None for one in data["devices"]] == [True, False]


# --- phases ---------------------------------------------------------------------------------------


def test_a_phase_has_the_ends_of_each_of_its_spans() -> None:
    device = Device("gpu:1", "gpu", "A GPU", NVML)
    begin = Snapshot(0, (device,), (Energy(),))
    span = Snapshot(units.nanoseconds(2.0), (device,), (Energy(100.0),)) - begin
    once = PhaseTotal("train").plus(span)
    often = once.plus(span).plus(span).plus(span)
    assert once.sigma_ln == pytest.approx(math.hypot(0.05, 0.08 / 2))
    assert often.sigma_ln == pytest.approx(math.hypot(0.05, 0.08 / 2 / math.sqrt(4)))
    assert PhaseTotal("none").sigma_ln == 0.0


def test_a_phase_of_an_older_journal_has_the_errors_of_its_run() -> None:
    report = report_of()
    old, new = Phase("a", 1.0, KWH, 1), Phase("b", 1.0, KWH, 1, 0.3)
    assert sigma_of(report.intervals.phase_kwh(new)) == pytest.approx(0.3)
    assert sigma_of(report.intervals.phase_kwh(old)) == pytest.approx(report.energy_sigmas_ln.total)


# --- energy above idle ----------------------------------------------------------------------------


def with_idle(idle_w: Mapping[str, float]) -> Report:
    """Return a run of one hour in which a processor draws 100 W."""
    cpu = Device("cpu:0", "cpu", "A CPU", methods.RAPL_AMD)
    window = Snapshot(units.nanoseconds(3600.0), (cpu,), (Energy(360_000.0),)) - Snapshot(0)
    whole = report_of(pue=1.0)
    return replace(whole, window=window, host=HostFacts(idle_w=dict(idle_w)))


@pytest.mark.parametrize("idle_w", [0.0, 50.0, 99.0, 100.0, 150.0])
def test_the_errors_above_idle_count_in_kwh(idle_w: float) -> None:
    found = with_idle({"cpu:0": idle_w}).intervals.net_kwh
    assert found is not None
    assert found.value == pytest.approx(max(0.0, 100.0 - idle_w) / 1000)
    half = Z_95 * math.hypot(0.1 * 100.0, 0.1 * idle_w) / 1000
    assert found.high == pytest.approx(found.value + half)
    assert found.low == pytest.approx(max(0.0, found.value - half))


def test_nothing_is_above_an_idle_power_that_is_not_known() -> None:
    assert with_idle({}).intervals.net_kwh is None
    assert with_idle({"gpu:9": 10.0}).intervals.net_kwh is None


# --- runs and ranks -------------------------------------------------------------------------------


def test_errors_of_one_method_are_correlated_between_runs_and_those_of_two_are_not() -> None:
    one = segment(energy_sd_kwh={"rapl.package": 0.1})
    other = segment("b", energy_sd_kwh={"rapl.package": 0.1})
    gpu = segment("c", energy_sd_kwh={"nvml.energy": 0.1})
    assert sigma_of(energy_of_segments([one, other])) == pytest.approx(0.1)
    assert sigma_of(energy_of_segments([one, gpu])) == pytest.approx(0.1 / math.sqrt(2))
    ends = [segment(name, energy_sd_kwh={RANDOM: 0.1}) for name in "abcd"]
    assert sigma_of(energy_of_segments(ends)) == pytest.approx(0.1 / math.sqrt(4))


def test_a_run_of_an_older_version_is_as_sure_as_the_others() -> None:
    known = segment(energy_sd_kwh={"nvml.energy": 0.1})
    assert sigma_of(energy_of_segments([known, segment("b", 3.0)])) == pytest.approx(0.1)
    assert sigma_of(energy_of_segments([segment()])) == pytest.approx(math.log(2))
    assert sigma_of(emissions_of_segments([segment()])) == pytest.approx(math.log(2))


def test_emissions_have_the_errors_of_energy_and_of_each_place() -> None:
    def at(place: str, run_id: str = "a") -> Segment:
        errors = {"energy_sd_kwh": {"rapl.package": 0.1}, "intensity_sd_kg": {place: 0.02}}
        return segment(run_id, **errors)

    same = emissions_of_segments([at("France"), at("France", "b")])
    assert sigma_of(same) == pytest.approx(math.hypot(0.1, 0.2))
    apart = emissions_of_segments([at("France"), at("Poland", "b")])
    assert sigma_of(apart) == pytest.approx(math.hypot(0.1, 0.2 / math.sqrt(2)))
    assert same.value == pytest.approx(0.2)


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [segment(kwh=0.0)],
        [segment(kwh=0.0, energy_sd_kwh={})],
        [segment(kwh=0.0, energy_sd_kwh={"nvml.energy": 1.0}), segment("b", 1.0)],
        [segment(kwh=1e-300, energy_sd_kwh={"nvml.energy": 1e15})],
        [Segment("a", STARTED_AT, 60.0, 1e-300, 1e15, {"nvml.energy": 0.0})],
        [Segment("a", STARTED_AT, 60.0, 5e-324, 1e15, {"nvml.energy": 1e15}, {}, 1e15)],
        [segment(kwh=-1e-4, energy_sd_kwh={"nvml.energy": 0.0})],
        [segment(energy_sd_kwh={}, foreign_kwh=5.0)],
    ],
)
def test_figures_of_any_segments_are_finite_and_within_their_interval(
    segments: list[Segment],
) -> None:
    for value, low, high in (energy_of_segments(segments), emissions_of_segments(segments)):
        assert all(map(math.isfinite, (value, low, high)))
        assert low <= value <= high


def test_a_run_alone_has_the_same_interval_as_a_training_of_one() -> None:
    report = report_of()
    assert report.intervals.training_kwh == pytest.approx(report.energy_kwh)
    assert report.intervals.training_kg == pytest.approx(report.emissions_kg)


def test_a_resumed_run_is_as_uncertain_as_one_run() -> None:
    whole, half = report_of(kwh=4.0), report_of("run-2", kwh=2.0)
    resumed = replace(half, earlier=(report_of(kwh=2.0).segment,))
    assert resumed.intervals.training_kwh.value == pytest.approx(whole.energy_kwh.value)
    assert sigma_of(resumed.intervals.training_kwh) == pytest.approx(
        sigma_of(whole.energy_kwh), rel=1e-3
    )


# --- files ----------------------------------------------------------------------------------------


def test_checkpoints_keep_the_errors_and_older_ones_are_read() -> None:
    new = report_of().segment
    assert segments_of(json.loads(json.dumps(state_of([new])))) == (new,)
    fields = ("run_id", "started_at", "duration_s", "energy_kwh", "emissions_kg")
    older = {name: getattr(new, name) for name in fields}
    assert segments_of({"version": 1, "segments": [older]}) == (Segment(*new[:5]),)


def test_a_journal_and_a_receipt_give_the_segment_of_their_run(tmp_path: Path) -> None:
    report = replace(report_of(), earlier=(segment("old"),))
    runs = tmp_path / "carbon_runs"
    runs.mkdir()
    path = runs / "run-1.journal.jsonl"
    written = journal.Journal(path, report)
    written.append(report)
    written.close()
    assert journal.read(path).segment == report.segment
    assert journal.read(path).earlier == report.earlier
    receipt.write(report, runs / "run-1.receipt.json")
    assert past_runs.read(runs / "run-1.receipt.json").segment == report.segment
    (training,) = merge(tmp_path)
    assert training.energy == pytest.approx(report.intervals.training_kwh)
    assert training.emissions == pytest.approx(report.intervals.training_kg)


@pytest.mark.parametrize("least_share", [1.0, 0.25])
def test_a_receipt_of_an_older_version_keeps_its_own_interval(least_share: float) -> None:
    report = report_of()
    use = replace(report.utilization, gpu_least_share={"gpu:GPU-1": least_share})
    report = replace(report, utilization=use)
    data = receipt.receipt(report)
    for key in ("energy_sd_kwh", "intensity_sd_kg", "foreign_kwh"):
        del data[key]
    old = decoded(Receipt, data).segment
    assert energy_of_segments([old]) == pytest.approx(report.energy_kwh)
    assert emissions_of_segments([old]) == pytest.approx(report.emissions_kg)
    assert old.energy_sd_kwh is not None
    assert set(old.energy_sd_kwh) == {"nvml.power"}  # correlated with other runs by this method


@pytest.mark.parametrize("at", [("components", "gpu"), ("phases", 0), ("training",)])
def test_a_figure_outside_its_interval_is_no_receipt(at: tuple[Any, ...]) -> None:
    data = json.loads(json.dumps(receipt.receipt(report_of())))
    decoded(Receipt, data)
    figure = data
    for key in at:
        figure = figure[key]
    figure["energy_low_kwh"] = 2 * figure["energy_kwh"]
    with pytest.raises(DecodingError, match="energy_kwh must have an interval around its value"):
        decoded(Receipt, data)


def test_a_receipt_has_the_ends_of_every_figure() -> None:
    report = report_of()
    idle = replace(report.host, idle_w={"cpu:package-0": 100.0})
    task = report_of("task", kwh=1.0)
    found = of_report(replace(report, host=idle, tasks=(("load", task),)))
    rows = [*found.components.values(), *found.phases, found.training, *found.tasks]
    for row in rows:
        assert row is not None
        assert 0.0 < row.energy_low_kwh < row.energy_kwh < row.energy_high_kwh
    assert found.net_energy_low_kwh < found.net_energy_kwh < found.net_energy_high_kwh
    assert found.tasks[0].emissions_high_kg == task.emissions_kg.high


@pytest.mark.parametrize("duration_s", [0.0, 7200.0])
@pytest.mark.parametrize("joules", [0.0, 1e-9])
def test_a_run_without_energy_or_time_has_no_nan(duration_s: float, joules: float) -> None:
    report = report_of()
    devices = report.window.end.devices
    energies = (Energy(joules),) * len(devices)
    window = Snapshot(units.nanoseconds(duration_s), devices, energies) - Snapshot(0)
    idle = replace(report.host, idle_w={"cpu:package-0": 0.0})
    shares = tuple(one._replace(joules=0.0, grams=0.0) for one in report.intensities)
    phases = (Phase("none", 0.0, 0.0, 0), Phase("a", 0.0, 0.0, 1, 0.0))
    empty = replace(report, window=window, host=idle, intensities=shares, phases=phases)
    json.dumps(receipt.receipt(empty), allow_nan=False)
    of_report(empty)
    assert "nan" not in empty.summary() + str(empty._repr_html_())


def test_an_unknown_energy_has_no_interval() -> None:
    report = report_of()
    devices = report.window.end.devices
    lost = (Energy(0.0, 0.0, 7200.0),) * len(devices)
    window = Snapshot(units.nanoseconds(7200.0), devices, lost) - Snapshot(0)
    unknown = replace(report, window=window, host=HostFacts(idle_w={"ram:all": 1.0}))
    data = receipt.receipt(unknown)
    found = of_report(unknown)
    assert data["training"]["energy_high_kwh"] is None
    assert {one.energy_high_kwh for one in found.phases} == {None}
    assert {one.energy_high_kwh for one in found.components.values()} == {None}
    assert found.net_energy_kwh is found.net_energy_high_kwh is None


def test_a_window_without_a_run_has_no_interval() -> None:
    window = OpenWindow("alone", None)
    assert window.energy_interval_kwh is None
    assert window.emissions_interval_kg is None
