"""The receipt: a JSON document with the results of a finished run and their sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from carbon_core import node_energy
from carbon_core.outputs.base import replace
from carbon_core.record import asdict
from carbon_core.records import Estimate, HourEnergy, IntensityShare, Segment
from carbon_core.report import NOT_METERED, Report
from carbon_core.request_totals import RequestTotals, totals_of
from carbon_core.trials import RUNNING, TrialResult
from carbon_core.uncertainty import emissions_of_segments, energy_of_segments, unread
from carbon_core.units import GRAMS_PER_KG, kwh

SCHEMA_VERSION = 1
SUFFIX = ".receipt.json"


def receipt(report: Report) -> dict[str, Any]:
    """Return a report as JSON-ready data; the name of each figure ends in its unit.

    What is unknown is None.
    """
    data = _complete(report)
    return data if report.is_known else _without_figures(data)


def _complete(report: Report) -> dict[str, Any]:
    intervals, segment = report.intervals, report.segment
    return {
        "schema_version": SCHEMA_VERSION,
        "run": asdict(report.run),
        "status": report.status,
        "ended_at": report.ended_at,
        "duration_s": report.duration_s,
        "energy_kwh": estimate_data(report.energy_kwh),
        "energy_sigma_ln": report.energy_sigmas_ln._asdict(),
        "hardware_energy_kwh": report.hardware_kwh,
        **with_ends("net_energy", "kwh", intervals.net_kwh),
        **_node(report),
        "emissions_kg": estimate_data(report.emissions_kg),
        "power_w": report.power_w,
        "water_l": report.water_l,
        "is_known": report.is_known,
        "is_estimate": report.is_estimate,
        "share_by_grade": report.shares_by_grade,
        "energy_sd_kwh": segment.energy_sd_kwh,
        "intensity_sd_kg": segment.intensity_sd_kg,
        "foreign_kwh": segment.foreign_kwh,
        "components": {name: _component(report, name) for name in report.components},
        "devices": _devices(report),
        "missing_s": report.missing_s,
        "not_measured": report.not_measured,
        "shared": report.shared,
        "not_metered": NOT_METERED,
        "intensity_g_per_kwh": report.intensity_g_per_kwh,
        "intensities": [_intensity(share) for share in report.intensities],
        "earlier_starts": [segment_data(segment) for segment in report.earlier],
        "other_ranks": [segment_data(segment) for segment in report.others],
        "training": {
            **with_ends("energy", "kwh", intervals.training_kwh),
            **with_ends("emissions", "kg", intervals.training_kg),
        },
        "marginal_intensity": report.marginal._asdict() if report.marginal else None,
        "phases": [
            {**asdict(phase), **with_ends("energy", "kwh", intervals.phase_kwh(phase))}
            for phase in report.phases
        ],
        "tasks": [_task(name, task) for name, task in report.tasks],
        "hours": [_hour(report, hour) for hour in report.hours],
        "host": asdict(report.host),
        "refused_meters": [asdict(refusal) for refusal in report.refusals],
        "utilization": asdict(report.utilization),
        "logged_metrics": dict(report.logged_metrics),
        "trials": [_trial(trial, report.status)._asdict() for trial in report.trials],
        "requests": _requests(report),
        "work": report.work._asdict(),
        "dataset_samples": report.dataset_samples,
    }


def write(report: Report, path: Path) -> None:
    """Write the receipt of a run; replace an earlier one of the same run."""
    replace(path, receipt_text(report).encode("utf-8", "replace"))


def receipt_text(report: Report) -> str:
    """Return the receipt of a run as JSON."""
    return json.dumps(receipt(report), indent=2, default=str) + "\n"


def estimate_data(estimate: Estimate) -> dict[str, float]:
    """Return a figure with its 95 % interval as JSON-ready data."""
    return {"value": estimate.value, "low_95": estimate.low, "high_95": estimate.high}


def segment_data(segment: Segment) -> dict[str, Any]:
    """Return a segment with its intervals as JSON-ready data."""
    return {
        **segment._asdict(),
        **with_ends("energy", "kwh", energy_of_segments([segment])),
        **with_ends("emissions", "kg", emissions_of_segments([segment])),
    }


def with_ends(name: str, unit: str, estimate: Estimate | None) -> dict[str, float | None]:
    """Return a figure and the ends of its 95 % interval, each under a key of its own."""
    keys = f"{name}_{unit}", f"{name}_low_{unit}", f"{name}_high_{unit}"
    return dict(zip(keys, estimate or (None, None, None)))


def _node(report: Report) -> dict[str, Any]:
    found = node_energy.of_report(report)
    return {
        **with_ends("node_energy", "kwh", found.kwh if found else None),
        "node_energy_basis": f"{found.basis}; {node_energy.NOT_METERED}" if found else None,
    }


def _task(name: str, task: Report) -> dict[str, Any]:
    energy, emissions = (task.energy_kwh, task.emissions_kg) if task.is_known else (None, None)
    return {
        "name": name,
        "duration_s": task.duration_s,
        **with_ends("energy", "kwh", energy),
        **with_ends("emissions", "kg", emissions),
    }


def _trial(trial: TrialResult, status: str) -> TrialResult:
    """Return a trial; one that was open at the end of its run has failed."""
    is_lost = trial.status == RUNNING != status
    return trial._replace(status="failed") if is_lost else trial


def _requests(report: Report) -> dict[str, Any] | None:
    """Return the requests of a run, each counter with its energy; None where none were counted."""
    found = report.requests
    if found is None:
        return None
    totals = totals_of(report)
    return {
        "duration_s": found.duration_s,
        "idle_s": found.idle_s,
        **with_ends("idle_energy", "kwh", totals[0].idle_kwh if totals else None),
        "counters": [_counter(one) for one in totals],
    }


def _counter(one: RequestTotals) -> dict[str, Any]:
    return {
        "name": one.name,
        "completed": one.completed,
        "failed": one.failed,
        "unfinished": one.unfinished,
        "tokens": one.tokens,
        **with_ends("energy", "kwh", one.energy_kwh),
        **with_ends("failed_energy", "kwh", one.failed_kwh),
        **with_ends("unfinished_energy", "kwh", one.unfinished_kwh),
        **with_ends("energy_per_request", "kwh", one.per_request_kwh),
        **with_ends("energy_per_token", "kwh", one.per_token_kwh),
    }


def _hour(report: Report, hour: HourEnergy) -> dict[str, Any]:
    energy, emissions = report.intervals.hour(hour)
    return {
        "start": hour.start,
        **with_ends("hardware_energy", "kwh", energy),
        **with_ends("emissions", "kg", emissions),
    }


def _component(report: Report, name: Any) -> dict[str, Any]:
    is_known = report.measures(name)
    return {
        **with_ends("energy", "kwh", report.intervals.component_kwh(name) if is_known else None),
        "power_w": report.component_w(name) if is_known else None,
        "methods": report.methods_of(name),
    }


def _without_figures(data: dict[str, Any]) -> dict[str, Any]:
    """Return the receipt of a run in which nothing was measured: each figure of its energy is None."""
    unknown = dict.fromkeys(("hardware_energy_kwh", "power_w", "water_l"))
    no_interval = {"value": None, "low_95": None, "high_95": None}
    no_totals = {"energy_kwh": None, "emissions_kg": None}
    no_energy = with_ends("energy", "kwh", None)
    return {
        **data,
        **unknown,
        "energy_kwh": no_interval,
        "emissions_kg": no_interval,
        "training": {**no_energy, **with_ends("emissions", "kg", None)},
        "intensities": [{**one, **no_totals} for one in data["intensities"]],
        "phases": [{**one, "joules": None, **no_energy} for one in data["phases"]],
        "hours": [],
    }


def _devices(report: Report) -> list[dict[str, Any]]:
    silent, of_device = unread(report.window), report.intervals.device_kwh
    return [
        {
            "id": device.id,
            "name": device.name,
            "component": device.component,
            "method": device.method.name,
            "grade": device.method.grade,
            "least_share": device.least_share,
            "note": device.note,
            "calibration": asdict(device.method.calibration) if device.method.calibration else None,
            **energy._asdict(),
            **with_ends("energy", "kwh", None if device in silent else of_device(device)),
        }
        for device, energy in report.window.by_device.items()
    ]


def _intensity(share: IntensityShare) -> dict[str, Any]:
    return {
        **asdict(share.intensity),
        "energy_kwh": kwh(share.joules),
        "emissions_kg": share.grams / GRAMS_PER_KG,
    }
