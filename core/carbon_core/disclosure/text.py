"""Text and data that several formats of a disclosure share."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from carbon_core.disclosure.activities import Activity, Disclosed, Group, Place
from carbon_core.disclosure.embodied import Embodied
from carbon_core.escaping import markdown_cell, one_line
from carbon_core.formatting import emissions_interval, formatted
from carbon_core.outputs.receipt import with_ends
from carbon_core.records import Estimate

# Outside of this range, a figure is written with a power of ten.
_LEAST_PLAIN, _MOST_PLAIN = 1e-3, 1e6


def figure(value: float) -> str:
    """Return a number with three significant figures, such as ``12.3`` or ``1.23 x 10^-9``."""
    if not value or _LEAST_PLAIN <= abs(value) < _MOST_PLAIN:
        return formatted(value)
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits} x 10^{int(power)}"


def interval(estimate: Estimate) -> str:
    """Return the ends of a 95 % interval, such as ``1.20 to 3.40``."""
    return f"{figure(estimate.low)} to {figure(estimate.high)}"


def hardware_text(activities: Iterable[Activity]) -> str:
    """Return the hardware of activities: their GPUs, or else their processors; empty if unknown.

    Of activities with different numbers of a model, the largest number counts.
    """
    most: Counter[str] = Counter()
    processors: dict[str, None] = {}
    for one in activities:
        for name, count in Counter(one.hardware.gpu_models).items():
            most[name] = max(most[name], count)
        if one.hardware.cpu_model:
            processors[one.hardware.cpu_model] = None
    gpus = [f"{count} x {one_line(name)}" for name, count in most.items()]
    return ", ".join(gpus or map(one_line, processors))


def gpu_hours_by_model(activities: Iterable[Activity]) -> dict[str, float]:
    """Return the GPU hours by model."""
    hours: dict[str, float] = defaultdict(float)
    for one in activities:
        models = one.hardware.gpu_models
        for name in models:
            hours[one_line(name)] += (one.gpu_hours or 0.0) / len(models)
    return dict(hours)


def places_by_energy(activities: Iterable[Activity]) -> dict[str, float]:
    """Return the energy in kWh by place, that of the most energy first."""
    found: dict[str, float] = defaultdict(float)
    for activity in activities:
        for one in activity.places:
            found[one.place] += one.energy_kwh
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def places(activities: Iterable[Activity]) -> list[Place]:
    """Return the grid intensities with the sums of their energy and emissions, most energy first."""
    sums: dict[Place, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for activity in activities:
        for one in activity.places:
            both = sums[one._replace(energy_kwh=0.0, emissions_kg=0.0)]
            both[0] += one.energy_kwh
            both[1] += one.emissions_kg
    found = [one._replace(energy_kwh=kwh, emissions_kg=kg) for one, (kwh, kg) in sums.items()]
    return sorted(found, key=lambda one: -one.energy_kwh)


def share_by_grade(activities: Iterable[Activity]) -> dict[str, float]:
    """Return the share (0 to 1) of the energy of activities by grade, best first.

    What has no grade, as rows of CSV files, is not in the sum.
    """
    by_grade: dict[str, float] = defaultdict(float)
    for one in activities:
        kwh = one.energy_kwh.value if one.energy_kwh else 0.0
        for grade, share in one.share_by_grade.items():
            by_grade[grade] += share * kwh
    total = sum(by_grade.values())
    return {grade: kwh / total for grade, kwh in sorted(by_grade.items())} if total else {}


def embodied_text(hardware: Embodied) -> str:
    """Return embodied emissions with their interval and where they are from."""
    sources = [f"{part.figure.source}, {part.figure.year}" for part in hardware.gpus]
    details = "; ".join(distinct([hardware.source, *sources, *hardware.notes]))
    return f"{emissions_interval(hardware.kg, '95 %: ')} ({details})"


def distinct(texts: Iterable[str]) -> list[str]:
    """Return texts without repetitions and empty ones, each as one line."""
    return list(dict.fromkeys(one_line(text) for text in texts if text))


def group_data(group: Group) -> dict[str, Any]:
    """Return a total as JSON-ready data."""
    return {
        "runs": group.runs,
        "duration_s": group.duration_s,
        **with_ends("energy", "kwh", group.energy_kwh),
        **with_ends("emissions", "kg", group.emissions_kg),
        "runs_with_unknown_energy": group.unknown,
        "runs_without_interval": group.without_interval,
        "gpu_hours": group.gpu_hours,
    }


def activity_data(one: Activity) -> dict[str, Any]:
    """Return an activity as JSON-ready data."""
    return {
        "run_id": one.run_id,
        "project": one.project,
        "kind": one.kind,
        "status": one.status,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
        "duration_s": one.duration_s,
        **with_ends("energy", "kwh", one.energy_kwh),
        **with_ends("emissions", "kg", one.emissions_kg),
        "has_interval": one.has_interval,
        "counted": one.counted,
        "part_of": one.part_of,
        "places": [place._asdict() for place in one.places],
        "hardware": one.hardware._asdict(),
        "gpu_hours": one.gpu_hours,
        "methods": one.methods,
        "share_by_grade": dict(one.share_by_grade),
        "work": one.work._asdict(),
        "dataset_samples": one.dataset_samples,
        "requests": one.requests,
        "served_tokens": one.served_tokens,
        "study_id": one.study_id,
        "rank": one.rank,
        "measured_by": one.package_version,
        "pue": one.pue,
        "file": one.path.name if one.path else None,
    }


def skipped_data(disclosed: Disclosed) -> list[dict[str, str]]:
    """Return the files that could not be read as JSON-ready data.

    Without their directories, which are not meant for the readers of a disclosure.
    """
    return [{"file": one.path.name, "reason": one.reason} for one in disclosed.skipped]


def notes(disclosed: Disclosed) -> list[str]:
    """Return what a reader of the totals must know, one line each."""
    total, found = disclosed.total, []
    if total.unknown:
        found.append(f"{total.unknown} of {total.runs} runs have an unknown energy, in no total.")
    if total.without_interval:
        found.append(
            f"{total.without_interval} of {total.runs} runs have no interval, because their files have "
            "none; they count as exact, so that the interval is too narrow."
        )
    missing = sum(one.status == "missing" for one in disclosed.activities)
    if missing:
        verb = "run has" if missing == 1 else "runs have"
        found.append(f"{missing} {verb} no file here; the last known total counts.")
    if disclosed.skipped:
        found.append(f"Files that could not be read: {len(disclosed.skipped)}.")
    return found


def as_json(data: Mapping[str, Any]) -> str:
    """Return data as JSON text."""
    return json.dumps(data, indent=2, default=str) + "\n"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; cells are plain text."""
    lines = [
        header,
        ["---"] * len(header),
        *([markdown_cell(one, len(one)) for one in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
