"""Text of a report: its one-line summary, its table in notebooks, and numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from carbon_core import units
from carbon_core.escaping import one_line

if TYPE_CHECKING:
    from carbon_core.records import Estimate
    from carbon_core.report import Report

_UNKNOWN = "energy unknown: no meter gave a reading"


def formatted(value: float) -> str:
    """Return a number with three significant digits, without an exponent where it can be avoided."""
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        digits = 2 - math.floor(math.log10(abs(value))) if value else 0
        return f"{value:.{max(0, digits)}f}"
    return f"{value:.2e}"


def with_interval(estimate: Estimate, unit: str = "") -> str:
    """Return a figure with its 95 % interval as text."""
    value = " ".join(filter(None, (formatted(estimate.value), unit)))
    return f"{value} ({formatted(estimate.low)} to {formatted(estimate.high)})"


def summary(report: Report) -> str:
    """Return a run as one line of text."""
    if not report.is_known:
        return f"{report.status} after {report.duration_s:.1f} s: {_UNKNOWN}{_training(report)}"
    energy, emissions = report.energy_kwh, report.emissions_kg.scaled(units.GRAMS_PER_KG)
    unread = f"; not measured: {', '.join(report.not_measured)}" if report.not_measured else ""
    net_kwh = report.intervals.net_kwh
    net = f" ({formatted(net_kwh.value)} above idle)" if net_kwh is not None else ""
    node_kwh = report.node_energy_kwh
    node = f"; whole node estimated: {with_interval(node_kwh, 'kWh')}" if node_kwh else ""
    return (
        f"{report.status} after {report.duration_s:.1f} s: "
        f"{formatted(energy.value)} kWh{net}, {formatted(emissions.value)} gCO2e "
        f"(95 %: {formatted(emissions.low)} to {formatted(emissions.high)}; {_quality(report)}; "
        f"{formatted(report.intensity_g_per_kwh)} g/kWh, {report.place})"
        f"{unread}{node}{_training(report)}"
    )


def html_table(report: Report) -> str:
    """Return a run as a small HTML table."""
    from html import escape  # with what it imports, a millisecond that only notebooks pay

    run = f"{report.run.project_name}, {report.status} after {report.duration_s:.1f} s"
    rows = {"run": run, **(_figures(report) if report.is_known else {"energy": _UNKNOWN})}
    cells = "".join(
        f"<tr><th>{name}</th><td>{escape(one_line(row))}</td></tr>" for name, row in rows.items()
    )
    return f"<table>{cells}</table>"


def _figures(report: Report) -> dict[str, str]:
    energy, emissions = report.energy_kwh, report.emissions_kg.scaled(units.GRAMS_PER_KG)
    unread = {"not measured": ", ".join(report.not_measured)} if report.not_measured else {}
    return {
        "energy": with_interval(energy, "kWh"),
        **_components(report),
        "emissions": with_interval(emissions, "gCO2e"),
        "power": f"{formatted(report.power_w)} W on average",
        "intensity": f"{formatted(report.intensity_g_per_kwh)} g/kWh, {report.place}",
        "known by": f"{_quality(report)}; 95 % intervals",
        **unread,
    }


def _components(report: Report) -> dict[str, str]:
    """Return the energy of each component that is known, and the energy above idle."""
    found: dict[str, str] = {
        name: with_interval(report.intervals.component_kwh(name), "kWh")
        for name in report.components
        if report.measures(name)
    }
    net_kwh, node_kwh = report.intervals.net_kwh, report.node_energy_kwh
    if net_kwh is not None:
        found["above idle"] = with_interval(net_kwh, "kWh")
    if node_kwh is not None:
        found["whole node, estimated"] = with_interval(node_kwh, "kWh")
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
    kwh, grams = (
        report.intervals.training_kwh,
        report.intervals.training_kg.scaled(units.GRAMS_PER_KG),
    )
    if not kwh.value:
        return ""
    lacking = "" if report.is_known else ", without this one,"
    parts = f"; all {len(report.segments)} parts of the training{lacking} together"
    return f"{parts}: {with_interval(kwh)} kWh, {with_interval(grams)} gCO2e"
