"""Runs of files as activities of a disclosure: of receipts, and of rows of CSV files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta

from carbon_core.disclosure.activities import INFERENCE, Activity, Hardware, Place
from carbon_core.limits import time_of
from carbon_core.outputs.boamps import algorithm_of
from carbon_core.outputs.history import PastRun
from carbon_core.outputs.merging import MISSING
from carbon_core.outputs.receipt_reading import IntensityPart, Receipt
from carbon_core.records import Estimate
from carbon_core.units import GRAMS_PER_KG

# What a CSV file of CodeCarbon has beside its figures.
COLUMNS = (
    "country_name", "country_iso_code", "region", "cloud_provider", "cloud_region",
    "codecarbon_version", "cpu_count", "cpu_model", "gpu_count", "gpu_model", "ram_total_size",
    "tracking_mode", "pue",
)  # fmt: skip
_HOUR_S = 3600.0
_GPUS = re.compile(r"\s*(\d{1,4})\s*x\s+(.+?)\s*")
_MOST_GPUS = 4096
_ABSENT = frozenset({"", "None", "nan", "NaN"})
_OURS = "carbon-callbacks"


def of_receipt(
    run: PastRun, found: Receipt, energy_kwh: Estimate | None, emissions_kg: Estimate | None
) -> Activity:
    """Return the run of a receipt or a journal as an activity.

    Args:
        run: The run.
        found: Its receipt.
        energy_kwh: Its energy that no other run counts; None if unknown.
        emissions_kg: The emissions of that.
    """
    facts, host = found.run, found.host
    counters = found.requests.counters if found.requests else None
    return Activity(
        run.run_id,
        run.project_label,
        found.kind or (INFERENCE if counters else ""),
        run.status,
        facts.started_at,
        found.ended_at,
        run.duration_s,
        energy_kwh,
        emissions_kg,
        run.counted,
        run.part_of,
        _places(found, run.counted) if energy_kwh else (),
        Hardware(host.cpu_model or "", host.cpu_count, host.gpu_models, host.ram_total_gb),
        len(host.gpu_models) * run.duration_s * run.counted / _HOUR_S,
        tuple(dict.fromkeys(one.method for one in found.devices)),
        found.share_by_grade,
        found.work,
        sum(one.completed for one in counters) if counters else None,
        sum(one.tokens for one in counters) if counters else None,
        facts.study.study_id if facts.study else "",
        facts.rank,
        f"{_OURS} {facts.package_version}",
        run.path,
        run.sigmas_ln is not None,
        facts.pue,
        algorithm_of(facts, host),
        found.dataset_samples,
    )


def _places(found: Receipt, counted: float) -> tuple[Place, ...]:
    """Return the intensities of a run, each with its part of the energy that no other run counts."""
    total_kwh = sum(one.energy_kwh or 0.0 for one in found.intensities)
    # Those of intensities are energies of the hardware, without the facility's overhead.
    factor = counted * (found.energy_kwh.value or 0.0) / total_kwh if total_kwh > 0 else 0.0
    return tuple(_place(found, one, factor, counted) for one in found.intensities)


def _place(found: Receipt, one: IntensityPart, factor: float, counted: float) -> Place:
    run, is_world = found.run, one.kind == "world"
    return Place(
        one.place,
        "" if is_world else run.country_iso_code,
        "" if is_world else run.region,
        one.g_per_kwh,
        one.source,
        one.year,
        one.scope,
        (one.energy_kwh or 0.0) * factor,
        (one.emissions_kg or 0.0) * counted,
        one.kind,
    )


def of_row(run: PastRun, energy_kwh: Estimate | None, emissions_kg: Estimate | None) -> Activity:
    """Return a row of a CSV file, or a run without any file, as an activity.

    Args:
        run: The run, with the cells of `COLUMNS` where it is a row.
        energy_kwh: Its energy that no other run counts; None if unknown.
        emissions_kg: The emissions of that.
    """
    cells = {key: "" if text in _ABSENT else text for key, text in run.columns.items()}
    is_row = run.status != MISSING
    started_at, ended_at = _times(run) if is_row else (run.time, "")
    hardware = _hardware(cells)
    gpus = None if not cells.get("gpu_count") else len(hardware.gpu_models)
    return Activity(
        run.run_id,
        run.project_label,
        run.kind,
        run.status,
        started_at,
        ended_at,
        run.duration_s,
        energy_kwh,
        emissions_kg,
        run.counted,
        run.part_of,
        _places_of_row(cells, energy_kwh, emissions_kg) if is_row else (),
        hardware,
        None if gpus is None else gpus * run.duration_s / _HOUR_S,
        (f"{_version(cells)}, tracking mode {mode}",) if (mode := _mode(cells)) else (),
        study_id=run.study.study_id if run.study else "",
        package_version=_version(cells) if is_row else "",
        has_interval=run.sigmas_ln is not None,
        pue=max(1.0, _number(cells.get("pue", "")) or 1.0),
    )


def _mode(cells: Mapping[str, str]) -> str:
    return cells.get("tracking_mode", "")


def _version(cells: Mapping[str, str]) -> str:
    version = cells.get("codecarbon_version", "")
    return version if version.startswith(_OURS) else f"CodeCarbon {version}".strip()


def _times(run: PastRun) -> tuple[str, str]:
    """Return begin and end of a row, whose time is that of its end; empty if unknown."""
    try:
        end = time_of(run.time)
        return (end - timedelta(seconds=run.duration_s)).isoformat(), end.isoformat()
    except (ValueError, OverflowError):
        return "", ""


def _places_of_row(
    cells: Mapping[str, str], energy_kwh: Estimate | None, emissions_kg: Estimate | None
) -> tuple[Place, ...]:
    """Return the place of a row; its intensity is that of its figures."""
    if energy_kwh is None or emissions_kg is None:
        return ()
    names = cells.get("region"), cells.get("country_name"), cells.get("cloud_region")
    place = next(filter(None, names), "")
    if not place:
        return ()
    kwh, kg = energy_kwh.value, emissions_kg.value
    return (
        Place(
            place,
            cells.get("country_iso_code", ""),
            cells.get("region", ""),
            kg * GRAMS_PER_KG / kwh if kwh > 0 else 0.0,
            _version(cells),
            None,
            None,
            kwh,
            kg,
        ),
    )


def _hardware(cells: Mapping[str, str]) -> Hardware:
    count = _number(cells.get("cpu_count", ""))
    return Hardware(
        cells.get("cpu_model", ""),
        None if count is None else int(count),
        _gpus(cells.get("gpu_model", ""), _number(cells.get("gpu_count", ""))),
        _number(cells.get("ram_total_size", "")),
    )


def _gpus(text: str, count: float | None) -> tuple[str, ...]:
    """Return the names of GPUs, one for each, of a text such as ``2 x A100, 1 x T4``."""
    if not count:
        return ()
    names: list[str] = []
    for part in text.split(","):
        found = _GPUS.fullmatch(part)
        number, name = (int(found[1]), found[2]) if found else (1, part.strip())
        names += [name or "GPU"] * min(number, _MOST_GPUS)
    missing = int(min(count, _MOST_GPUS)) - len(names)
    return tuple(names + names[-1:] * missing)


def _number(text: str) -> float | None:
    """Return a number of at least 0; None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0.0 <= value <= 1e9 else None
