"""Format ``sci``: an SCI score with its boundary, functional unit and method, as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from carbon_core import formatting
from carbon_core.disclosure import sci
from carbon_core.disclosure.activities import Activity, Disclosed
from carbon_core.disclosure.collecting import seconds_of
from carbon_core.disclosure.embodied import Embodied
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.market import MarketBased, market_based
from carbon_core.disclosure.text import (
    activity_data,
    as_json,
    group_data,
    markdown_table,
    notes,
    places,
    skipped_data,
)
from carbon_core.escaping import markdown_cell
from carbon_core.outputs.receipt import with_ends
from carbon_core.records import Estimate
from carbon_core.units import GRAMS_PER_KG
from carbon_core.version import VERSION

SPECIFICATION = "ISO/IEC 21031, Software Carbon Intensity (SCI)"
EXTENSION = "Software Carbon Intensity for AI, Green Software Foundation"
# The JSON document has all of them.
_MOST_RUNS = 50
_LIFE_CYCLE = {
    sci.PROVIDER: "provider: training and evaluation (design and development)",
    sci.CONSUMER: "consumer: inference (operation and monitoring)",
}
_NOT_INCLUDED = {
    sci.PROVIDER: "collection and preparation of data, storage, networks, deployment, retirement",
    sci.CONSUMER: "networks, storage, client devices, monitoring",
}
_NO_MARKET = "Market-based emissions and offsets are no part of an SCI score."
_NOT_GIVEN = "unknown; supply embodied_kg, hardware_embodied_kg or embodied_table"
_NO_GPU = "unknown; the table has GPUs only, and no run has one"
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def documents(disclosed: Disclosed, facts: Facts) -> Mapping[str, str]:
    """Return the documents of the format by suffix.

    Raises:
        ConfigError: A given figure is impossible.
    """
    found = sci.result(disclosed, facts)
    return {
        "md": "\n".join(_parts(found, disclosed, facts)),
        "json": as_json(_data(found, disclosed, facts)),
    }


def _data(found: sci.Result, disclosed: Disclosed, facts: Facts) -> dict[str, Any]:
    unit, inside = found.unit, found.boundary
    first, last = _period(inside.activities)
    market = _market(inside, facts)
    return {
        "specification": SPECIFICATION,
        "extension": EXTENSION if unit.is_of_ai else None,
        "software": f"carbon-callbacks {VERSION}",
        "model_name": facts.text("model_name") or None,
        "measured_from": first,
        "measured_to": last,
        "boundary": {
            "persona": inside.persona,
            "runs": len(inside.activities),
            "runs_outside": inside.outside,
            "runs_without_energy": inside.unknown,
            "not_included": _NOT_INCLUDED[inside.persona],
            "by_kind": {kind or "run": group_data(one) for kind, one in inside.groups.items()},
        },
        "functional_unit": {
            "name": unit.title,
            "count": found.units,
            "source": found.units_source,
            "values": facts.text("functional_unit_values") or None,
            "rationale": facts.text("functional_unit_rationale") or None,
        },
        "operational": {
            **with_ends("energy", "kwh", inside.energy_kwh),
            "intensity_g_per_kwh": inside.g_per_kwh,
            **with_ends("emissions", "kg", inside.operational_kg),
            "basis": "location-based",
            "places": [one._asdict() for one in places(inside.activities)],
        },
        **with_ends("market_based_emissions", "kg", market.emissions_kg if market else None),
        "embodied": _embodied_data(found.embodied),
        "sci": {
            "unit": f"g CO2e per {unit.title}",
            **with_ends("operational", "g", found.score.operational_g),
            **with_ends("embodied", "g", found.score.embodied_g),
            **with_ends("total", "g", found.score.total_g),
        },
        "runs": [activity_data(one) for one in inside.activities],
        "skipped": skipped_data(disclosed),
        "notes": notes(disclosed),
    }


def _market(inside: sci.Boundary, facts: Facts) -> MarketBased | None:
    return market_based(inside.energy_kwh, inside.operational_kg, facts)


def _embodied_data(found: Embodied | None) -> dict[str, Any] | None:
    if found is None:
        return None
    gpus = [
        {
            "name": part.name,
            "gpu_hours": part.hours,
            **with_ends("embodied_of_one", "kg", part.figure.kg),
            "scope": part.figure.scope,
            "source": f"{part.figure.source}, {part.figure.year}",
            **with_ends("emissions", "kg", part.kg),
        }
        for part in found.gpus
    ]
    return {
        **with_ends("emissions", "kg", found.kg),
        "source": found.source,
        "notes": list(found.notes),
        "gpus": gpus,
    }


def _period(activities: tuple[Activity, ...]) -> tuple[str | None, str | None]:
    begins = [one.started_at for one in activities if one.started_at]
    ends = [one.ended_at for one in activities if one.ended_at]
    # Rows of CSV files have local times, receipts those of UTC.
    return min(begins, key=_instant, default=None), max(ends, key=_instant, default=None)


def _instant(time: str) -> float:
    return seconds_of(time) or 0.0


def _parts(found: sci.Result, disclosed: Disclosed, facts: Facts) -> Iterator[str]:
    name = facts.text("model_name") or disclosed.project
    yield f"# Software Carbon Intensity{f' of {markdown_cell(name)}' if name else ''}\n"
    yield markdown_table(("SCI", f"per {_per(found)}"), _scores(found, facts))
    yield markdown_table(("item", "value"), _items(found, facts))
    yield f"{_NO_MARKET} Intervals are 95 %.\n"
    if found.embodied is not None and found.embodied.gpus:
        of_gpus = ("GPU", "GPU hours", "embodied, of one", "source")
        yield markdown_table(of_gpus, _gpus(found.embodied))
    yield markdown_table(("place", "g CO2e/kWh", "source", "energy"), _place_rows(found))
    head = ("run", "project", "kind", "status", "energy", "emissions")
    yield markdown_table(head, _run_rows(found))
    more = len(found.boundary.activities) - _MOST_RUNS
    remarks = [*notes(disclosed), *([f"{more} more runs are in the JSON."] if more > 0 else [])]
    if remarks:
        yield "".join(f"- {one}\n" for one in remarks)


def _per(found: sci.Result) -> str:
    unit, exponent = found.unit, found.score.exponent
    return f"10{str(exponent).translate(_SUPERSCRIPT)} {unit.plural}" if exponent else unit.title


def _scores(found: sci.Result, facts: Facts) -> Iterator[tuple[str, str]]:
    rate = found.score
    yield "operation, E·I / R", _rate(rate.operational_g, rate.exponent)
    if rate.embodied_g is None or rate.total_g is None:
        yield "hardware, M / R", _NO_GPU if "embodied_table" in facts else _NOT_GIVEN
        return
    yield "hardware, M / R", _rate(rate.embodied_g, rate.exponent)
    yield "both, (E·I + M) / R", _rate(rate.total_g, rate.exponent)


def _rate(grams: Estimate, exponent: int) -> str:
    return formatting.emissions_interval(grams.scaled(10.0**exponent / GRAMS_PER_KG))


def _items(found: sci.Result, facts: Facts) -> Iterator[tuple[str, str]]:
    inside, unit = found.boundary, found.unit
    yield "specification", SPECIFICATION + (f"; {EXTENSION}" if unit.is_of_ai else "")
    yield "boundary", _LIFE_CYCLE[inside.persona]
    yield "not included", _NOT_INCLUDED[inside.persona]
    yield "runs", _runs_text(inside)
    yield "functional unit R", f"{found.units:,.10g} {unit.plural} ({found.units_source})"
    for key in ("functional_unit_values", "functional_unit_rationale"):
        if key in facts:
            yield (
                key.replace("functional_unit_", "").replace("values", "values of R"),
                facts.text(key),
            )
    first, last = _period(inside.activities)
    yield "period", f"{first or formatting.UNKNOWN} to {last or formatting.UNKNOWN}"
    if inside.energy_kwh is not None:
        yield "energy E", formatting.energy_interval(inside.energy_kwh)
    yield "intensity I, location-based", f"{formatting.formatted(inside.g_per_kwh)} g CO2e/kWh"
    if inside.operational_kg is not None:
        yield "emissions E·I", formatting.emissions_interval(inside.operational_kg)
    if found.embodied is not None:
        yield "embodied emissions M", formatting.emissions_interval(found.embodied.kg)
        yield "source of M", "; ".join((found.embodied.source, *found.embodied.notes))
    market = _market(inside, facts)
    if market is not None:
        amount = formatting.emissions_interval(market.emissions_kg)
        yield "market-based emissions, not in the score", f"{amount}; {market.source}"
    yield "software", f"carbon-callbacks {VERSION}"


def _runs_text(inside: sci.Boundary) -> str:
    kinds = (f"{group.runs} {kind or 'of unknown kind'}" for kind, group in inside.groups.items())
    text = f"{len(inside.activities)} ({', '.join(kinds)})"
    if inside.unknown:
        text += f"; the energy of {inside.unknown} is unknown, and not in E"
    return f"{text}; {inside.outside} outside the boundary" if inside.outside else text


def _gpus(found: Embodied) -> Iterator[tuple[str, ...]]:
    for part in found.gpus:
        of_one = formatting.emissions_interval(part.figure.kg)
        source = f"{part.figure.source}, {part.figure.year}: {part.figure.scope}"
        yield part.name, formatting.formatted(part.hours), of_one, source


def _place_rows(found: sci.Result) -> Iterator[tuple[str, ...]]:
    for one in places(found.boundary.activities):
        source = one.source + (f" ({one.year})" if one.year else "")
        energy = formatting.energy(one.energy_kwh)
        yield one.place, formatting.formatted(one.g_per_kwh), source, energy


def _run_rows(found: sci.Result) -> Iterator[tuple[str, ...]]:
    for one in found.boundary.activities[:_MOST_RUNS]:
        kwh, kg = one.energy_kwh, one.emissions_kg
        energy = formatting.energy_interval(kwh) if kwh else formatting.UNKNOWN
        emissions = formatting.emissions_interval(kg) if kg else formatting.UNKNOWN
        if one.part_of and not one.counted:
            energy = emissions = f"in {one.part_of}"
        yield one.run_id, one.project, one.kind, one.status, energy, emissions
