"""Text of a report: its one-line summary, and its table in notebooks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from carbon_core.escaping import one_line
from carbon_core.formatting import (
    duration,
    emissions_interval,
    energy,
    energy_interval,
    formatted,
    power,
)

if TYPE_CHECKING:
    from carbon_core.report import Report

# Of the energy, to be named.
_LEAST_SHARE = 0.005
_MOST_MEANINGS = 3
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


def html_table(report: Report) -> str:
    """Return a run as a small HTML table."""
    from html import escape  # with what it imports, a millisecond that only notebooks pay

    run = f"{report.run.project_label}, {report.status} after {duration(report.duration_s)}"
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
