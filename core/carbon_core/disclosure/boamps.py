"""BoAmps reports 1.1.0: one for each stage and country, with one measure for each run."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timezone
from functools import lru_cache
from typing import Any

from carbon_core.clock import SystemClock
from carbon_core.disclosure.activities import INFERENCE, Activity, Disclosed
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.stages import FINE_TUNING, stages_of
from carbon_core.disclosure.text import as_json
from carbon_core.escaping import one_line
from carbon_core.formatting import energy_interval
from carbon_core.intensity.tables import country_name
from carbon_core.limits import time_of
from carbon_core.outputs.boamps import (
    PARTS_OF_SAMPLES,
    boamps_time,
    components,
    finished,
    quality,
)
from carbon_core.records import GUESSED, Estimate
from carbon_core.units import GRAMS_PER_KG

_BILLION = 1e9
# It reads a file.
_country_name = lru_cache(300)(country_name)
_STAGES = {FINE_TUNING: "finetuning"}


def required(disclosed: Disclosed, facts: Facts) -> tuple[str, ...]:
    """Return the facts that the reports require of these runs."""
    measured = [one for one in disclosed.activities if one.energy_kwh is not None]
    keys = []
    if "run_kind" not in facts and not all(one.kind for one in measured):
        keys.append("run_kind")
    if not all(_has_tokens(one) for one in measured):
        keys.append("data_type")
    if not any(one.hardware.cpu_model or one.hardware.gpu_models for one in measured):
        keys.append("hardware")
    return tuple(keys)


def documents(disclosed: Disclosed, facts: Facts) -> dict[str, str]:
    """Return the reports as JSON; of several, each has its stage and country in the suffix."""
    found: dict[str, str] = {}
    for stage, code, runs in _groups(disclosed, facts):
        name = "-".join(filter(None, (_STAGES.get(stage, stage), code)))
        suffix = f"{name}.json"
        if suffix in found:  # runs of unknown kind, beside those of the same kind
            suffix = f"{name}-2.json"
        found[suffix] = as_json(_report(stage, code, runs, facts))
    return found if len(found) > 1 else dict(zip(["json"], found.values()))


def _groups(disclosed: Disclosed, facts: Facts) -> list[tuple[str, str, list[Activity]]]:
    """Return stage, country and runs of each report; those of unknown energy are in one of their stage.

    Without such a report, they are in the first one.
    """
    groups: list[tuple[str, str, list[Activity]]] = []
    unknown: list[tuple[str, Activity]] = []
    for stage in stages_of(disclosed, facts):
        by_code: dict[str, list[Activity]] = {}
        for one in stage.activities:
            if one.energy_kwh is None:
                unknown.append((stage.name, one))
            else:
                by_code.setdefault(_country_code(one), []).append(one)
        groups += [(stage.name, code, runs) for code, runs in by_code.items()]
    for name, one in unknown:
        _, _, runs = next((group for group in groups if group[0] == name), groups[0])
        runs.append(one)
    return groups


def _report(stage: str, code: str, all_runs: Sequence[Activity], facts: Facts) -> dict[str, Any]:
    runs = [one for one in all_runs if one.energy_kwh is not None]
    confidentiality = facts.text("confidentiality")
    publisher = {"name": facts.text("provider"), "confidentialityLevel": confidentiality}
    return finished(
        {
            "header": {
                "reportId": str(uuid.uuid4()),
                "reportDatetime": boamps_time(SystemClock().now().isoformat()),
                "publisher": _without_empty(publisher) if confidentiality else None,
            },
            "task": _task(stage, all_runs, facts),
            "measures": [_measure(one) for one in runs],
            "software": {"language": "python"},
            "infrastructure": {
                "infraType": facts.text("infrastructure"),
                "components": _components(runs, facts),
            },
            "environment": _environment(code, runs, facts),
            "quality": _quality(runs),
        }
    )


def _task(stage: str, runs: Sequence[Activity], facts: Facts) -> dict[str, Any]:
    parameters = facts.number("parameters")
    data_type = facts.text("data_type") or "token"
    items = facts.number("dataset_items")
    requests = [one.requests for one in runs if one.energy_kwh and one.requests is not None]
    return {
        "taskStage": _STAGES.get(stage, stage),
        "taskFamily": one_line(facts.text("task_family")),
        "nbRequest": sum(requests) if stage == INFERENCE and requests else None,
        "algorithms": [
            {
                "algorithmName": one_line(facts.text("model_name")),
                "parametersNumber": None if parameters is None else parameters / _BILLION,
                **algorithm,
            }
            for algorithm in _algorithms(runs)
        ],
        "dataset": [
            {
                "dataUsage": "input",
                "dataType": data_type,
                "dataQuantity": _samples(data_type, runs) if items is None else items,
            }
        ],
        "taskDescription": f"Runs: {'; '.join(map(_named, runs))}. {_interval(runs)}",
    }


def _samples(data_type: str, runs: Sequence[Activity]) -> float | None:
    """Return the samples of the data set, if the runs that have it agree; a token is no sample."""
    known = {one.dataset_samples for one in runs if one.dataset_samples is not None}
    return known.pop() if len(known) == 1 and data_type not in PARTS_OF_SAMPLES else None


def _interval(runs: Sequence[Activity]) -> str:
    """Return the energy of runs with its interval, for which the format has no field, as text."""
    measured = [one for one in runs if one.energy_kwh is not None]
    if not all(one.has_interval for one in measured):
        return "The 95 % interval of their energy is not known."
    return f"Their energy: {energy_interval(_energy(measured), '95 %: ')}."


def _energy(runs: Sequence[Activity]) -> Estimate:
    """Return the energy of runs, as if their errors were the same."""
    return Estimate(*map(math.fsum, zip(*(one.energy_kwh for one in runs if one.energy_kwh))))


def _algorithms(runs: Sequence[Activity]) -> list[Mapping[str, str]]:
    """Return what implements the model, and its class, each once; one that is empty if unknown."""
    known = [one.algorithm for one in runs if one.algorithm]
    return list({tuple(one.items()): one for one in known}.values()) or [{}]


def _measure(one: Activity) -> dict[str, Any]:
    method, _, version = one.package_version.rpartition(" ")
    return {
        "measurementMethod": (method or version or "unknown").lower(),
        "version": version if method else None,
        "powerConsumption": one.energy_kwh.value if one.energy_kwh else None,
        "measurementDuration": one.duration_s,
        "measurementDateTime": _time(one.started_at),
    }


def _time(text: str) -> str | None:
    """Return a time in UTC, or one without a zone as it is; None if unknown."""
    try:
        time = time_of(text)
    except ValueError:
        return None
    return boamps_time((time.astimezone(timezone.utc) if time.tzinfo else time).isoformat())


def _components(runs: Sequence[Activity], facts: Facts) -> list[dict[str, Any]]:
    """Return the hardware of runs; of runs with different numbers of a GPU, the largest number."""
    cpus = dict.fromkeys(one.hardware.cpu_model for one in runs if one.hardware.cpu_model)
    gpus: Counter[str] = Counter()
    for one in runs:
        gpus |= Counter(one.hardware.gpu_models)
    if "hardware" in facts:  # in place of that of the runs
        name = one_line(facts.text("hardware"))
        return [{"componentType": "other", "componentName": name, "nbComponent": 1}]
    memory = [one.hardware.memory_gb for one in runs if one.hardware.memory_gb]
    names = [one_line(name) for name in gpus.elements()]
    return components(map(one_line, cpus), names, max(memory, default=None))


def _environment(code: str, runs: Sequence[Activity], facts: Facts) -> dict[str, Any]:
    location = one_line(facts.text("location"))
    country = _country_name(code) if code else location
    if not country:
        return {}
    energy_kwh = math.fsum(one.energy_kwh.value for one in runs if one.energy_kwh)
    kg = [one.emissions_kg.value for one in runs if one.emissions_kg]
    is_known = energy_kwh > 0 and len(kg) == len(runs)
    g_per_kwh = math.fsum(kg) * GRAMS_PER_KG / energy_kwh if is_known else None
    return {
        "country": country,
        "location": location if location not in ("", country) else None,
        "powerSourceCarbonIntensity": g_per_kwh,
    }


def _quality(runs: Sequence[Activity]) -> str | None:
    """Return the quality of runs; None if one has no interval."""
    return quality(_energy(runs)) if all(one.has_interval for one in runs) else None


def _country_code(one: Activity) -> str:
    """Return the country of most of a run's energy; an empty string if unknown or guessed."""
    place = max(one.places, key=lambda place: place.energy_kwh, default=None)
    if place is None or place.place.endswith(GUESSED):
        return ""
    return place.country_iso_code if _country_name(place.country_iso_code) else ""


def _has_tokens(one: Activity) -> bool:
    return one.work.tokens is not None or bool(one.served_tokens)


def _named(one: Activity) -> str:
    within = f", within {one.part_of}" if one.part_of else ""
    energy = ", unknown energy" if one.energy_kwh is None else ""
    return one_line(
        f"{one.run_id or 'without id'} ({one.status or 'unknown status'}{within}{energy})"
    )


def _without_empty(texts: dict[str, str]) -> dict[str, str]:
    return {key: one_line(value) for key, value in texts.items() if value}
