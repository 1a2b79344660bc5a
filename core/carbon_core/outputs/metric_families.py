"""The table of the package's own Prometheus metrics, and their values for a run.

Energy, power and emissions include the facility's overhead (PUE), as in all results. A value that is
unknown, not finite or below zero is absent. Labels are stable during a run and few: what differs between
runs is only in `carbon_run_info`, and ids only where a setting adds them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from carbon_core import uncertainty
from carbon_core.escaping import one_line
from carbon_core.plausible import number
from carbon_core.records import Device, Estimate, Window
from carbon_core.report import Report
from carbon_core.units import grams, joules

# Every series has them: they distinguish the runs of a process, and the files of one node.
RUN_LABELS = ("project", "experiment", "rank", "nested")
# What the setting `prometheus_run_labels` may add to `carbon_run_info`: a new value for each run.
ID_LABELS = ("run_id", "job_id", "array_index", "step", "user")
_LONGEST_LABEL = 200
_FIXED_INFO = (
    "version", "tracking_mode", "country_iso_code", "cpu_model", "gpu_model",
    "scheduler", "cluster", "namespace", "node",
)  # fmt: skip
_DEVICE = ("component", "device")


class Family(NamedTuple):
    """A metric.

    Attributes:
        kind: ``counter``: never falls within a process; ``gauge``: the present value, absent after the
            end of a run; ``info``: 1, with facts as labels.
        help: Its description.
        labels: Its labels beside `RUN_LABELS`.
    """

    kind: Literal["counter", "gauge", "info"]
    help: str
    labels: tuple[str, ...] = ()


FAMILIES: Mapping[str, Family] = {
    "carbon_energy_joules_total": Family("counter", "Energy of each device in joules.", _DEVICE),
    "carbon_missing_seconds_total": Family(
        "counter", "Time in seconds for which a device could not be read.", _DEVICE
    ),
    "carbon_emissions_grams_total": Family("counter", "Emissions in grams of CO2e."),
    "carbon_duration_seconds_total": Family("counter", "Measured time in seconds."),
    "carbon_gpu_busy_seconds_total": Family(
        "counter", "Mean utilisation of the GPUs (0 to 1) times seconds: its rate is the utilisation."
    ),
    "carbon_steps_total": Family("counter", "Training steps."),
    "carbon_samples_total": Family("counter", "Training samples, of all ranks."),
    "carbon_tokens_total": Family("counter", "Tokens, of all ranks."),
    "carbon_power_watts": Family(
        "gauge", "Power of each device in watts, between the last two updates.", _DEVICE
    ),
    "carbon_run_energy_bound_joules": Family(
        "gauge", "Ends of the 95 % interval of the energy of the running run in joules.", ("bound",)
    ),
    "carbon_run_emissions_bound_grams": Family(
        "gauge", "Ends of the 95 % interval of its emissions in grams of CO2e.", ("bound",)
    ),
    "carbon_budget_used_ratio": Family(
        "gauge", "Used part of a budget of the training, 1 where it is spent.", ("budget",)
    ),
    "carbon_device_info": Family(
        "info", "A device that is measured, and how.", (*_DEVICE, "name", "method", "grade")
    ),
    "carbon_run_info": Family("info", "A run that is measured.", _FIXED_INFO),
}  # fmt: skip


class Sample(NamedTuple):
    """A value of a metric.

    Attributes:
        family: Name of the metric.
        labels: Values of its labels by name, without `RUN_LABELS`.
        value: The value, finite and not below zero.
    """

    family: str
    labels: Mapping[str, str]
    value: float


def counters_of(report: Report) -> list[Sample]:
    """Return the totals of a run so far."""
    return _plausible(_counters(report))


def gauges_of(report: Report, latest: Window | None) -> list[Sample]:
    """Return the present values of a run; none of one that has ended.

    Args:
        report: The totals so far.
        latest: The last part of the run, for the power; None where it is unknown.
    """
    if report.status != "running":
        return []
    powers = _powers(report, latest) if latest is not None else ()
    return _plausible([*powers, *_bounds(report), *_budgets(report)])


def infos_of(report: Report, ids: Sequence[str] = ()) -> list[Sample]:
    """Return the facts of a run and its devices.

    Args:
        report: The totals so far.
        ids: The labels of `ID_LABELS` that `carbon_run_info` has.
    """
    return _plausible(_infos(report, ids))


def label(value: object) -> str:
    """Return a label's value: one line of text without control characters; empty for None."""
    return one_line("" if value is None else str(value), _LONGEST_LABEL)


def _counters(report: Report) -> Iterator[Sample]:
    yield Sample("carbon_duration_seconds_total", {}, report.duration_s)
    unread = set(uncertainty.unread(report.window))
    for device, energy in report.window.by_device.items():
        yield Sample("carbon_missing_seconds_total", _of(device), energy.missing_s)
        if device not in unread:
            total_j = energy.joules * report.run.pue
            yield Sample("carbon_energy_joules_total", _of(device), total_j)
    if report.is_known and report.intensities:
        total_g = grams(report.amounts.emissions_kg)
        yield Sample("carbon_emissions_grams_total", {}, total_g)
    busy = number(report.utilization.gpu_percent)
    if busy is not None:
        yield Sample("carbon_gpu_busy_seconds_total", {}, busy / 100.0 * report.duration_s)
    if report.run.rank == 0:  # the others count the same samples
        for name, count in report.work._asdict().items():
            if count is not None and (family := f"carbon_{name}_total") in FAMILIES:
                yield Sample(family, {}, float(count))


def _powers(report: Report, latest: Window) -> Iterator[Sample]:
    unread = {device.id for device in uncertainty.unread(latest)}
    watts: dict[str, float] = {}
    of_id: dict[str, Device] = {}
    for device, energy in latest.by_device.items():
        of_id[device.id] = device
        watts[device.id] = watts.get(device.id, 0.0) + energy.joules / latest.duration_s
    for name, value in watts.items():
        if name not in unread:
            yield Sample("carbon_power_watts", _of(of_id[name]), value * report.run.pue)


def _bounds(report: Report) -> Iterator[Sample]:
    if not report.is_known or report.counted_elsewhere:
        return
    energy, emissions = report.energy_kwh, report.emissions_kg
    for bound in ("low", "high"):
        one = {"bound": bound}
        yield Sample("carbon_run_energy_bound_joules", one, joules(_end(energy, bound)))
        if report.intensities:
            yield Sample("carbon_run_emissions_bound_grams", one, grams(_end(emissions, bound)))


def _end(estimate: Estimate, bound: str) -> float:
    return estimate.low if bound == "low" else estimate.high


def _budgets(report: Report) -> Iterator[Sample]:
    if not report.is_known:
        return
    used = {"budget_kwh": report.training_kwh, "budget_kg_co2e": report.training_kg}
    for key, budget in (("budget_kwh", "energy"), ("budget_kg_co2e", "emissions")):
        limit = number(report.run.settings.get(key))
        if limit:
            yield Sample("carbon_budget_used_ratio", {"budget": budget}, used[key] / limit)


def _infos(report: Report, ids: Sequence[str]) -> Iterator[Sample]:
    unread = set(uncertainty.unread(report.window))
    for device in report.window.by_device:
        if device in unread:
            continue
        method = device.method
        more = {"name": device.name, "method": method.name, "grade": method.grade}
        yield Sample("carbon_device_info", {**_of(device), **_labels(more)}, 1.0)
    run, job = report.run, report.run.job
    facts = {
        "version": run.package_version,
        "tracking_mode": run.tracking_mode,
        "country_iso_code": run.country_iso_code,
        "cpu_model": report.host.cpu_model,
        "gpu_model": ", ".join(dict.fromkeys(report.host.gpu_models)),
        **{name: getattr(job, name, "") for name in ("scheduler", "cluster", "namespace", "node")},
        **{name: run.run_id if name == "run_id" else getattr(job, name, "") for name in ids},
    }
    yield Sample("carbon_run_info", _labels(facts), 1.0)


def _of(device: Device) -> dict[str, str]:
    return _labels({"component": device.component, "device": device.id})


def _labels(facts: Mapping[str, object]) -> dict[str, str]:
    return {name: label(value) for name, value in facts.items()}


def _plausible(samples: Iterable[Sample]) -> list[Sample]:
    """Return the samples whose value is known, those with the same labels added up."""
    totals: dict[tuple[str, tuple[str, ...]], Sample] = {}
    for one in samples:
        if not (math.isfinite(one.value) and one.value >= 0.0):
            continue
        key = one.family, tuple(one.labels.values())
        before = totals.get(key)
        if before is None or FAMILIES[one.family].kind == "info":
            totals[key] = one
        else:
            totals[key] = one._replace(value=before.value + one.value)
    return list(totals.values())
