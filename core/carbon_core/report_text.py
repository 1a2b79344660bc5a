"""Text of a report: its one-line summary, and its table in notebooks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from carbon_core.formatting import (
    duration,
    emissions,
    emissions_interval,
    energy,
    energy_interval,
    formatted,
    power,
)
from carbon_core.request_totals import totals_of

if TYPE_CHECKING:
    from carbon_core.report import Report

# Of the energy, to be named.
_LEAST_SHARE = 0.005
_MOST_MEANINGS = 3
# Phases or tasks in a table.
_MOST_PARTS = 6
_UNKNOWN = "energy unknown: no meter gave a reading"


def summary(report: Report) -> str:
    """Return a run, and the whole training that it belongs to, as one line of text."""
    return "; ".join(filter(None, (of_run(report), of_training(report))))


def of_run(report: Report) -> str:
    """Return a run as one line: total, interval, how it became known, and where it was."""
    after = f"{report.status} after {duration(report.duration_s)}"
    if not report.is_known:
        return f"{after}: {_UNKNOWN}"
    net_kwh, node_kwh = report.intervals.net_kwh, report.node_energy_kwh
    net = f" ({energy(net_kwh.value)} above idle)" if net_kwh is not None else ""
    parts = [
        f"{after}: {energy(report.energy_kwh.value)}{net}, "
        f"{emissions_interval(report.emissions_kg, label='95 %: ')}, {_quality(report)}",
        f"{formatted(report.intensity_g_per_kwh)} g CO2e/kWh, {report.place}",
        f"not measured: {_counted(report.not_measured)}" if report.not_measured else "",
        f"whole node estimated: {energy(node_kwh.value)}" if node_kwh else "",
    ]
    return "; ".join(filter(None, parts))


def of_training(report: Report) -> str:
    """Return the total of a training of several runs, as text; nothing for one run."""
    if not report.earlier and not report.others:
        return ""
    kwh, kg = report.intervals.training_kwh, report.intervals.training_kg
    if not kwh.value:
        return ""
    lacking = "" if report.is_known else ", without this one"
    parts = f"whole training ({len(report.segments)} runs{lacking})"
    return f"{parts}: {energy(kwh.value)}, {emissions_interval(kg, label='95 %: ')}"


def headline(report: Report) -> str:
    """Return a run as a short line: project, status, and totals without their intervals."""
    if not report.is_known:
        return f"{_state(report)}: {_unknown(report)}"
    if report.counted_elsewhere:
        return f"{_state(report)}: {_quality(report)}"
    totals = energy(report.energy_kwh.value), emissions(report.emissions_kg.value)
    return f"{_state(report)}: {', '.join(totals)}"


def rows_of(report: Report) -> dict[str, str]:
    """Return the rows of a run's table: names and texts."""
    return {
        "run": _state(report),
        **(_figures(report) if report.is_known else {"energy": _unknown(report)}),
        **_requests(report),
        **_whole_training(report),
    }


def _state(report: Report) -> str:
    preposition = "for" if report.status == "running" else "after"
    seconds = duration(max(0.0, report.duration_s))
    return f"{report.run.project_label}, {report.status} {preposition} {seconds}"


def _unknown(report: Report) -> str:
    return "energy unknown: no reading yet" if report.status == "running" else _UNKNOWN


def _figures(report: Report) -> dict[str, str]:
    unread = {"not measured": _counted(report.not_measured)} if report.not_measured else {}
    return {
        "energy": energy_interval(report.energy_kwh),
        **_node(report),
        **_components(report),
        "emissions": emissions_interval(report.emissions_kg),
        "power": f"{power(report.power_w)} on average",
        "intensity": f"{formatted(report.intensity_g_per_kwh)} g CO2e/kWh, {report.place}",
        "known by": f"{_quality(report)}; 95 % intervals",
        **unread,
        **_parts(report),
    }


def _node(report: Report) -> dict[str, str]:
    node_kwh = report.node_energy_kwh
    return {"whole node, estimated": energy_interval(node_kwh)} if node_kwh is not None else {}


def _parts(report: Report) -> dict[str, str]:
    """Return the energy of phases and tasks, where there are several."""
    phases = [(one.name, report.intervals.phase_kwh(one).value) for one in report.phases]
    tasks = [(name, one.energy_kwh.value if one.is_known else None) for name, one in report.tasks]
    found = {"phases": _listed(phases)} if len(phases) > 1 else {}
    return {**found, "tasks": _listed(tasks)} if tasks else found


def _requests(report: Report) -> dict[str, str]:
    """Return the energy of requests by counter, and of the time without any."""
    found: dict[str, str] = {}
    for one in totals_of(report):
        each = [
            f"{energy_interval(kwh)} per {unit}"
            for unit, kwh in (("request", one.per_request_kwh), ("token", one.per_token_kwh))
            if kwh is not None
        ]
        failed = f"{one.failed:,} failed" if one.failed else ""
        label = "requests" if one.name == "requests" else f"requests: {one.name}"
        found[label] = ", ".join(filter(None, [f"{one.completed:,} completed", failed, *each]))
        if one.idle_kwh is not None:
            idle = f"{energy_interval(one.idle_kwh)} in {duration(one.idle_s)}"
            found["without a request"] = idle
    return found


def _listed(parts: Sequence[tuple[str, float | None]]) -> str:
    """Return names and energies as text: the last ones, and the number of the others."""
    shown = [f"{name} {energy(kwh)}" for name, kwh in parts[-_MOST_PARTS:]]
    more = len(parts) - len(shown)
    return ", ".join([*([f"{more} more"] if more else []), *shown])


def _whole_training(report: Report) -> dict[str, str]:
    kwh, kg = report.intervals.training_kwh, report.intervals.training_kg
    count = len(report.segments)
    if count < 2 or not kwh.value:
        return {}
    return {
        "whole training": f"{energy_interval(kwh)}, {emissions_interval(kg)}, in {count} runs",
    }


def _components(report: Report) -> dict[str, str]:
    """Return the energy of each component that is known, and the energy above idle."""
    found: dict[str, str] = {
        name.upper(): energy_interval(report.intervals.component_kwh(name))
        for name in report.components
        if report.measures(name)
    }
    net_kwh = report.intervals.net_kwh
    if net_kwh is not None:
        found["above idle"] = energy_interval(net_kwh)
    return found


def _quality(report: Report) -> str:
    """Return how most of a report's energy became known, with the components."""
    if report.counted_elsewhere:
        return "counted by other processes"
    total_j = sum(report.joules_by_method.values())
    shares: dict[str, float] = defaultdict(float)
    for method, joules in report.joules_by_method.items():
        shares[method.meaning] += joules / total_j if total_j > 0 else 1.0
    most = sorted(shares.items(), key=lambda one: -one[1])[:_MOST_MEANINGS]
    texts = [_part(report, *one) for one in most if one[1] >= _LEAST_SHARE]
    return ", ".join([*texts, *(("shared devices",) if report.foreign_share else ())])


def _part(report: Report, meaning: str, share: float) -> str:
    """Return how a part of the energy became known, and of which components."""
    devices = report.window.end.devices
    known = {one.component.upper() for one in devices if one.method.meaning == meaning}
    names = f" ({', '.join(sorted(known))})" if known else ""
    return (
        f"{meaning}{names}" if share > 1 - _LEAST_SHARE else f"{100 * share:.0f} % {meaning}{names}"
    )


def _counted(names: Sequence[str]) -> str:
    """Return names of devices as text; of equal ones, their number."""
    counts = {name: names.count(name) for name in names}
    return ", ".join(name if n == 1 else f"{n} x {name}" for name, n in counts.items())
