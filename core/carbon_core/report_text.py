"""Text of a report: its one-line summary, and its table in notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carbon_core.escaping import one_line
from carbon_core.formatting import (
    duration,
    emissions,
    emissions_interval,
    emissions_range,
    energy,
    energy_interval,
    formatted,
    power,
)

if TYPE_CHECKING:
    from carbon_core.report import Report

_UNKNOWN = "energy unknown: no meter gave a reading"


def summary(report: Report) -> str:
    """Return a run as one line of text."""
    after = f"{report.status} after {duration(report.duration_s)}"
    if not report.is_known:
        return f"{after}: {_UNKNOWN}{_training(report)}"
    emitted = report.emissions_kg
    unread = f"; not measured: {', '.join(report.not_measured)}" if report.not_measured else ""
    net_kwh = report.intervals.net_kwh
    net = f" ({energy(net_kwh.value)} above idle)" if net_kwh is not None else ""
    node_kwh = report.node_energy_kwh
    node = f"; whole node estimated: {energy_interval(node_kwh)}" if node_kwh else ""
    return (
        f"{after}: {energy(report.energy_kwh.value)}{net}, {emissions(emitted.value)} "
        f"(95 %: {emissions_range(emitted.low, emitted.high)}; {_quality(report)}; "
        f"{formatted(report.intensity_g_per_kwh)} g/kWh, {report.place})"
        f"{unread}{node}{_training(report)}"
    )


def html_table(report: Report) -> str:
    """Return a run as a small HTML table."""
    from html import escape  # with what it imports, a millisecond that only notebooks pay

    run = f"{report.run.project_name}, {report.status} after {duration(report.duration_s)}"
    rows = {"run": run, **(_figures(report) if report.is_known else {"energy": _UNKNOWN})}
    cells = "".join(
        f"<tr><th>{name}</th><td>{escape(one_line(row))}</td></tr>" for name, row in rows.items()
    )
    return f"<table>{cells}</table>"


def _figures(report: Report) -> dict[str, str]:
    unread = {"not measured": ", ".join(report.not_measured)} if report.not_measured else {}
    return {
        "energy": energy_interval(report.energy_kwh),
        **_components(report),
        "emissions": emissions_interval(report.emissions_kg),
        "power": f"{power(report.power_w)} on average",
        "intensity": f"{formatted(report.intensity_g_per_kwh)} g/kWh, {report.place}",
        "known by": f"{_quality(report)}; 95 % intervals",
        **unread,
    }


def _components(report: Report) -> dict[str, str]:
    """Return the energy of each component that is known, and the energy above idle."""
    found: dict[str, str] = {
        name: energy_interval(report.intervals.component_kwh(name))
        for name in report.components
        if report.measures(name)
    }
    net_kwh, node_kwh = report.intervals.net_kwh, report.node_energy_kwh
    if net_kwh is not None:
        found["above idle"] = energy_interval(net_kwh)
    if node_kwh is not None:
        found["whole node, estimated"] = energy_interval(node_kwh)
    return found


def _quality(report: Report) -> str:
    """Return how a report's energy became known, as text."""
    if report.counted_elsewhere:
        return "counted by other processes"
    kind = "estimate" if report.is_estimate else "measured"
    shared = "; shared devices" if report.foreign_share else ""
    grades = ", ".join(f"{share:.0%} {grade}" for grade, share in report.shares_by_grade.items())
    return f"{kind}{shared}; grades: {grades}"


def _training(report: Report) -> str:
    """Return the total of a training of several runs, as text; nothing for one run."""
    if not report.earlier and not report.others:
        return ""
    kwh, kg = report.intervals.training_kwh, report.intervals.training_kg
    if not kwh.value:
        return ""
    lacking = "" if report.is_known else ", without this one,"
    parts = f"; all {len(report.segments)} parts of the training{lacking} together"
    return f"{parts}: {energy_interval(kwh)}, {emissions_interval(kg)}"
