"""Runs of a disclosure for tests of its formats."""

from __future__ import annotations

from typing import Any

from carbon_core.disclosure.activities import INFERENCE, Activity, Disclosed, Group
from carbon_core.disclosure.embodied import total
from carbon_core.records import Estimate


def exact(value: float) -> Estimate:
    return Estimate(value, value, value)


def activity(kind: str = "training", status: str = "completed", **more: Any) -> Activity:
    values: dict[str, Any] = {
        "run_id": "1", "project": "p", "started_at": "", "ended_at": "", "duration_s": 3600.0,
        "energy_kwh": Estimate(10.0, 8.0, 12.5), "emissions_kg": Estimate(1.0, 0.5, 2.0), **more,
    }  # fmt: skip
    return Activity(kind=kind, status=status, **values)


def disclosed(*activities: Activity) -> Disclosed:
    """Return runs with totals whose ends are added."""

    def group(chosen: list[Activity]) -> Group:
        known = [one for one in chosen if one.energy_kwh and one.emissions_kg]
        return Group(
            len(chosen),
            sum(one.duration_s for one in chosen),
            _sum([one.energy_kwh for one in known]),
            _sum([one.emissions_kg for one in known]),
            len(chosen) - len(known),
        )

    kinds = {one.kind: group([a for a in activities if a.kind == one.kind]) for one in activities}
    ends = {
        one.status: group([a for a in activities if a.status == one.status]) for one in activities
    }
    developed = group([one for one in activities if one.kind != INFERENCE])
    return Disclosed(
        activities, group(list(activities)), kinds, ends, 3600.0, development=developed
    )


def _sum(parts: list[Estimate]) -> Estimate | None:
    return total(parts) if parts else None
