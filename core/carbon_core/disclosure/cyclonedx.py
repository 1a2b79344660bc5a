"""A CycloneDX bill of materials of a model, with the energy of its development and its use.

The energy is in ``modelCard.considerations.environmentalConsiderations``, the same in CycloneDX 1.6 and
1.7. What it has no field for, such as intervals, is in properties.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from carbon_core.clock import SystemClock
from carbon_core.disclosure.activities import INFERENCE, Activity, Disclosed, Place
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.market import market_based
from carbon_core.disclosure.stages import FINE_TUNING, Stage, stages_of
from carbon_core.disclosure.text import as_json, distinct, hardware_text, notes
from carbon_core.errors import ConfigError
from carbon_core.escaping import one_line
from carbon_core.formatting import formatted
from carbon_core.outputs.receipt_reading import EVALUATION, TRAINING
from carbon_core.records import Estimate
from carbon_core.run_facts import NOT_METERED
from carbon_core.version import VERSION

SOURCES = (
    "coal", "oil", "natural-gas", "nuclear", "wind", "solar", "geothermal", "hydropower", "biofuel",
    "unknown", "other",
)  # fmt: skip
_ACTIVITIES = {
    TRAINING: "training",
    FINE_TUNING: "fine-tuning",
    EVALUATION: "validation",
    INFERENCE: "inference",
}
_OTHER, _UNKNOWN = "other", "unknown"
_KG_PER_T = 1000.0
_PERCENT = 100.0
# A smaller part of an energy is an error of rounding.
_LEAST_REST = 1e-9
_PREFIX = "carbon-callbacks"
_SCOPE = "location-based; co2CostOffset is not subtracted"

_Properties = list[dict[str, str]]


def documents(disclosed: Disclosed, facts: Facts) -> dict[str, str]:
    """Return the bill of materials as JSON.

    Raises:
        ConfigError: The fact ``energy_mix`` has another form than its help states.
    """
    version = facts.text("cyclonedx_version") or "1.6"
    mix = _mix(facts)
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        **_known("supplier", _organisation(facts.text("provider"))),
        "name": one_line(facts.text("model_name")),
        **_known("version", one_line(facts.text("model_version"))),
        "modelCard": {
            "considerations": {
                "environmentalConsiderations": _considerations(disclosed, facts, mix)
            }
        },
    }
    tool = {"type": "application", "name": _PREFIX, "version": VERSION}
    return {
        "cdx.json": as_json(
            {
                "$schema": f"http://cyclonedx.org/schema/bom-{version}.schema.json",
                "bomFormat": "CycloneDX",
                "specVersion": version,
                "serialNumber": uuid.uuid4().urn,
                "version": 1,
                "metadata": {
                    "timestamp": SystemClock().now().isoformat(timespec="seconds"),
                    "tools": {"components": [tool]},
                },
                "components": [model],
            }
        )
    }


def _considerations(disclosed: Disclosed, facts: Facts, mix: Mapping[str, float]) -> dict[str, Any]:
    stages = stages_of(disclosed, facts)
    return {
        "energyConsumptions": [
            _consumption(one, disclosed, facts, mix)
            for one in stages
            if one.group.energy_kwh is not None
        ],
        "properties": _properties(
            [
                ("emissions:scope", _SCOPE),
                *_market(disclosed, facts),
                ("offset:kg", _text(facts.number("offset_kg"))),
                ("offset:source", facts.text("offset_source")),
                *(("method", one) for one in _methods(disclosed.activities)),
                ("method", facts.text("energy_method")),
                ("not-metered", NOT_METERED),
                ("hardware", facts.text("hardware") or hardware_text(disclosed.activities)),
                ("location", facts.text("location")),
                *(("note", one) for one in notes(disclosed)),
                *(
                    ("run", _run(run))
                    for one in stages
                    if one.group.energy_kwh is None
                    for run in one.activities
                ),
            ]
        ),
    }


def _consumption(
    stage: Stage, disclosed: Disclosed, facts: Facts, mix: Mapping[str, float]
) -> dict[str, Any]:
    """Return the entry of a stage whose energy is known."""
    group = stage.group
    energy = group.energy_kwh or Estimate(0.0, 0.0, 0.0)
    emissions = group.emissions_kg
    offset_kg = _offset_kg(stage, disclosed, facts)
    return {
        "activity": _ACTIVITIES.get(stage.name, _OTHER),
        "energyProviders": _providers(stage.activities, energy.value, facts, mix),
        "activityEnergyCost": _kwh(energy.value),
        **_known("co2CostEquivalent", _tonnes(emissions.value) if emissions else None),
        **_known("co2CostOffset", None if offset_kg is None else _tonnes(offset_kg)),
        "properties": _properties(
            [
                *_ends("energy", "kWh", energy),
                *_ends("emissions", "tCO2eq", emissions and emissions.scaled(1 / _KG_PER_T)),
                ("duration:s", repr(group.duration_s)),
                ("gpu:h", _text(group.gpu_hours)),
                ("runs", str(group.runs)),
                ("runs:unknown-energy", str(group.unknown)),
                ("runs:without-interval", str(group.without_interval)),
                *(("run", _run(one)) for one in stage.activities),
            ]
        ),
    }


def _offset_kg(stage: Stage, disclosed: Disclosed, facts: Facts) -> float | None:
    """Return the part of the offset that is a stage's, by its emissions; None if none was given."""
    offset_kg, total = facts.number("offset_kg"), disclosed.emissions_kg
    if offset_kg is None:
        return None
    emissions = stage.group.emissions_kg
    if total is None or emissions is None or total.value <= 0:
        return None
    return offset_kg * emissions.value / total.value


def _providers(
    activities: Iterable[Activity], total_kwh: float, facts: Facts, mix: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return who provided an energy: one provider for each grid intensity and source of the mix."""
    by_description: dict[str, float] = {}
    for activity in activities:
        for place in activity.places:
            text = _grid(place)
            by_description[text] = by_description.get(text, 0.0) + place.energy_kwh
    rest_kwh = total_kwh - sum(by_description.values())
    if rest_kwh > _LEAST_REST * total_kwh or not by_description:
        by_description[one_line(facts.text("location")) or "unknown place"] = rest_kwh
    organisation = _organisation(facts.text("energy_supplier")) or {"name": _UNKNOWN}
    return [
        {
            "description": text,
            "organization": organisation,
            "energySource": source,
            "energyProvided": _kwh(kwh * share),
        }
        for text, kwh in by_description.items()
        for source, share in mix.items()
    ]


def _grid(place: Place) -> str:
    """Return a grid intensity as text."""
    source = [place.source, "" if place.year is None else str(place.year), place.scope or ""]
    return one_line(
        f"{place.place}: {formatted(place.g_per_kwh)} g CO2e/kWh ({', '.join(filter(None, source))})"
    )


def _mix(facts: Facts) -> dict[str, float]:
    """Return the shares (0 to 1) of the sources of the electricity; what is not given is unknown."""
    text = facts.text("energy_mix")
    mix: dict[str, float] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, _, percent = (one.strip() for one in part.partition("="))
        share = _share(percent)
        if name not in SOURCES or name in mix or share is None:
            raise _wrong_mix(facts)
        mix[name] = share
    rest = 1.0 - math.fsum(mix.values())
    if rest < -_LEAST_REST:
        raise _wrong_mix(facts)
    if rest > _LEAST_REST:
        mix[_UNKNOWN] = mix.get(_UNKNOWN, 0.0) + rest
    return mix


def _share(percent: str) -> float | None:
    try:
        share = float(percent) / _PERCENT
    except ValueError:
        return None
    return share if 0.0 < share <= 1.0 else None


def _wrong_mix(facts: Facts) -> ConfigError:
    origin = facts.origin("energy_mix")
    return ConfigError(
        f"{origin}: energy_mix must be percentages that add up to at most 100, such as "
        f"nuclear=65,wind=10, of {', '.join(SOURCES)}",
        key="energy_mix",
        origin=origin,
    )


def _market(disclosed: Disclosed, facts: Facts) -> list[tuple[str, str]]:
    """Return the market-based emissions of all activities, if the user gave a figure for them."""
    market = market_based(disclosed.energy_kwh, disclosed.emissions_kg, facts)
    if market is None:
        return []
    tonnes = market.emissions_kg.scaled(1 / _KG_PER_T)
    return [
        ("emissions:market-based:tCO2eq", repr(tonnes.value)),
        *_ends("emissions:market-based", "tCO2eq", tonnes),
        ("emissions:market-based:source", market.source),
    ]


def _methods(activities: Iterable[Activity]) -> list[str]:
    return distinct(name for one in activities for name in one.methods)


def _run(one: Activity) -> str:
    """Return a run as one line of text."""
    energy = f"{one.energy_kwh.value!r} kWh" if one.energy_kwh else "unknown energy"
    if one.energy_kwh and one.has_interval:
        energy += f" (95 %: {one.energy_kwh.low!r} to {one.energy_kwh.high!r})"
    within = f"within {one.part_of}" if one.part_of else ""
    texts = [one.run_id or "without id", one.project, one.status, one.started_at, energy, within]
    return one_line("; ".join(filter(None, texts)))


def _text(number: float | None) -> str:
    return "" if number is None else repr(number)


def _ends(name: str, unit: str, estimate: Estimate | None) -> list[tuple[str, str]]:
    if estimate is None:
        return []
    ends = {"low-95": estimate.low, "high-95": estimate.high}
    return [(f"{name}:{key}:{unit}", repr(value)) for key, value in ends.items()]


def _properties(pairs: Iterable[tuple[str, str]]) -> _Properties:
    """Return properties without those of an empty value."""
    return [
        {"name": f"{_PREFIX}:{name}", "value": one_line(value)} for name, value in pairs if value
    ]


def _kwh(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "kWh"}


def _tonnes(kg: float) -> dict[str, Any]:
    return {"value": kg / _KG_PER_T, "unit": "tCO2eq"}


def _organisation(name: str) -> dict[str, str] | None:
    return {"name": one_line(name)} if name else None


def _known(key: str, value: Any) -> dict[str, Any]:
    return {key: value} if value else {}
