"""The part on computation and energy of the Model Documentation Form for general-purpose AI models.

The form is part of the transparency chapter of the European Union's General-Purpose AI Code of Practice
(10 July 2025); it documents what Annex XI of the AI Act lists. For national authorities (NCAs) it has
ranges, for the AI Office (AIO) figures: hardware days with at least one significant figure, operations
and megawatt-hours with at least two. Its items, in its order, can be copied line by line.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from carbon_core.disclosure.activities import INFERENCE, Activity, Disclosed
from carbon_core.disclosure.collecting import wall_clock_s
from carbon_core.disclosure.embodied import Embodied, of_runs
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.market import MarketBased, market_based
from carbon_core.disclosure.text import (
    activity_data,
    as_json,
    distinct,
    embodied_text,
    figure,
    gpu_hours_by_model,
    group_data,
    hardware_text,
    interval,
    markdown_table,
    notes,
    places_by_energy,
    share_by_grade,
    skipped_data,
)
from carbon_core.formatting import (
    duration,
    emissions,
    emissions_interval,
    energy,
    energy_interval,
    formatted,
)
from carbon_core.methods import GRADES
from carbon_core.outputs.receipt import with_ends
from carbon_core.outputs.receipt_reading import EVALUATION
from carbon_core.records import Estimate
from carbon_core.run_facts import NOT_METERED

FORM = "Model Documentation Form, General-Purpose AI Code of Practice (10 July 2025)"
_KWH_PER_MWH = 1000.0
_DAY_S, _DAY_H, _MONTH_DAYS = 86_400.0, 24.0, 365.25 / 12
_RANGES = ((1.0, "less than 1 month"), (3.0, "1 to 3 months"), (6.0, "3 to 6 months"))
_LONGEST_RANGE = "more than 6 months"
_AIO, _NCA = "AIO", "NCAs"
_UNKNOWN = "unknown"
_COLUMNS = (
    "run", "project", "kind", "status", "started", "time", "energy (95 %)", "emissions (95 %)",
)  # fmt: skip


class Item(NamedTuple):
    """An item of the form with its content.

    Attributes:
        key: Its name in JSON.
        item: Its name in the form.
        answer: Its content, as text.
        recipients: Recipients of the item by the form; empty for what is not in the form.
    """

    key: str
    item: str
    answer: str
    recipients: tuple[str, ...] = (_AIO, _NCA)


def documents(disclosed: Disclosed, facts: Facts) -> dict[str, str]:
    """Return the form's part as Markdown and as JSON."""
    kwh = disclosed.development.energy_kwh
    kg = disclosed.development.emissions_kg
    market = market_based(kwh, kg, facts)
    items = [*_resources(disclosed, facts), *_energy(disclosed, facts)]
    more = _more(disclosed, facts, market)
    return {
        "md": _markdown(disclosed, facts, items, more),
        "json": _json(disclosed, facts, items, more, market),
    }


def _trained(disclosed: Disclosed) -> list[Activity]:
    """Return the activities that the training time is that of: no evaluations and no inference."""
    return [one for one in disclosed.activities if one.kind not in (EVALUATION, INFERENCE)]


def _developed(disclosed: Disclosed) -> list[Activity]:
    """Return the activities that the energy is that of."""
    return [one for one in disclosed.activities if one.kind != INFERENCE]


def _resources(disclosed: Disclosed, facts: Facts) -> list[Item]:
    days = disclosed.training_wall_clock_s / _DAY_S
    months = days / _MONTH_DAYS
    text = next((text for most, text in _RANGES if months < most), _LONGEST_RANGE)
    flops = _flops(disclosed, facts)
    order, count, method = _UNKNOWN, _UNKNOWN, _flops_method(disclosed, facts)
    if flops:
        order, count = f"10^{math.floor(math.log10(flops))} FLOP", f"{figure(flops)} FLOP"
    clock = f"{figure(days)} days of wall clock; {_hardware_days(disclosed)}"
    return [
        Item("training_time_range", "Training time", text, (_NCA,)),
        Item("training_time", "Training time", clock, (_AIO,)),
        Item("computation_order", "Amount of computation used for training", order, (_NCA,)),
        Item("computation", "Amount of computation used for training", count, (_AIO,)),
        Item("computation_method", "Measurement methodology (computation)", method),
    ]


def _flops(disclosed: Disclosed, facts: Facts) -> float | None:
    given = facts.number("flops")
    return disclosed.work.flops if given is None else given


def _flops_method(disclosed: Disclosed, facts: Facts) -> str:
    if facts.text("flops_method"):
        return facts.text("flops_method")
    if "flops" in facts:
        return f"stated by {facts.text('provider') or 'the provider'}"
    if disclosed.work.flops is None:
        return "no run counts operations; supply flops and flops_method"
    trained = _trained(disclosed)
    counted = sum(one.work.flops is not None for one in trained)
    return f"counted by the training framework in {counted} of {len(trained)} runs"


def _hardware_days(disclosed: Disclosed) -> str:
    """Return the time of each GPU model, and that of machines without GPUs."""
    trained = _trained(disclosed)
    parts = [
        f"{figure(hours / _DAY_H)} hardware days ({name})"
        for name, hours in gpu_hours_by_model(trained).items()
    ]
    without = [one for one in trained if one.gpu_hours is not None and not one.hardware.gpu_models]
    unknown = [one for one in trained if one.gpu_hours is None]
    for activities, meaning in ((without, "without GPU"), (unknown, "with unknown GPUs")):
        days = sum(one.duration_s * one.counted for one in activities) / _DAY_S
        if days:
            names = hardware_text(activities)
            parts.append(f"{figure(days)} machine days {meaning}{f' ({names})' if names else ''}")
    return ", ".join(parts) or _UNKNOWN


def _energy(disclosed: Disclosed, facts: Facts) -> list[Item]:
    total, flops = disclosed.development, facts.number("inference_flops")
    amount = _UNKNOWN
    if total.energy_kwh is not None:
        amount = f"{figure(total.energy_kwh.value / _KWH_PER_MWH)} MWh"
    return [
        Item("energy", "Amount of energy used for training", amount),
        Item("energy_method", "Measurement methodology (energy)", _method(disclosed, facts)),
        Item(
            "inference_computation",
            "Benchmarked amount of computation used for inference",
            "not supplied (inference_flops)" if flops is None else f"{figure(flops)} FLOP",
        ),
        Item(
            "inference_method",
            "Measurement methodology (inference)",
            facts.text("inference_method") or "not supplied (inference_method)",
        ),
    ]


def _method(disclosed: Disclosed, facts: Facts) -> str:
    """Return how the energy was measured, in about a hundred words."""
    activities = _developed(disclosed)
    total = disclosed.development
    programs = distinct(one.package_version for one in activities)
    methods = distinct(name for one in activities for name in one.methods)
    parts = [f"Measured during {total.runs} runs by {', '.join(programs) or 'unknown programs'}"]
    if methods:
        parts[0] += f" ({', '.join(methods)})"
    grades = [
        f"{formatted(100 * share)} % {GRADES.get(grade, grade)}"
        for grade, share in share_by_grade(activities).items()
        if share
    ]
    if grades:
        parts.append(f"Of the energy: {', '.join(grades)}")
    if total.energy_kwh is not None and total.energy_kwh.low < total.energy_kwh.high:
        ends = interval(total.energy_kwh.scaled(1 / _KWH_PER_MWH))
        parts.append(f"95 % interval: {ends} MWh")
    pues = sorted({one.pue for one in activities})
    if pues[-1:] > [1.0]:
        parts.append(f"Includes the facility's overhead (PUE {', '.join(map(formatted, pues))})")
    parts.append(
        "Included are evaluations, and failed and interrupted runs; energy that several runs have "
        "measured counts once"
    )
    parts.append(f"Not included: {NOT_METERED}")
    parts += [one.rstrip(".") for one in notes(disclosed)]
    return ". ".join([*parts, *filter(None, [facts.text("energy_method").rstrip(".")])]) + "."


def _more(disclosed: Disclosed, facts: Facts, market: MarketBased | None) -> list[Item]:
    """Return what is not in the form: uncertainty, hardware, places, and emissions."""
    total = disclosed.development
    found = [_item("hardware", "Hardware", facts.text("hardware") or _hardware(disclosed))]
    if total.energy_kwh is not None:
        mwh = total.energy_kwh.scaled(1 / _KWH_PER_MWH)
        ends = f"{interval(mwh)} MWh" if mwh.low < mwh.high else _UNKNOWN
        found.append(_item("energy_interval", "Energy, 95 % interval", ends))
    served = disclosed.by_kind.get(INFERENCE)
    if served is not None and served.energy_kwh is not None:
        text = energy_interval(served.energy_kwh, "95 %: ")
        found.append(_item("inference_energy", "Energy of inference, in no other figure", text))
    places = list(places_by_energy(_developed(disclosed)))
    where = facts.text("location") or ", ".join(distinct(places)) or _UNKNOWN
    found.append(_item("location", "Location of the electricity", where))
    if total.emissions_kg is not None:
        text = emissions_interval(total.emissions_kg, "95 %: ")
        found.append(_item("location_based", "Location-based emissions", text))
    if market is not None:
        found.append(_item("market_based", "Market-based emissions", _market_text(market)))
    offset_kg = facts.number("offset_kg")
    if offset_kg is not None:
        text = f"{emissions(offset_kg)} ({facts.text('offset_source')})"
        found.append(_item("offset_kg", "Offset, not subtracted", text))
    hardware = _embodied(disclosed, facts)
    if hardware is not None:
        name = "Embodied emissions of the hardware, in no other figure"
        found.append(_item("embodied_kg", name, embodied_text(hardware)))
    return found


def _embodied(disclosed: Disclosed, facts: Facts) -> Embodied | None:
    developed = _developed(disclosed)
    return of_runs(developed, wall_clock_s(developed), facts)


def _item(key: str, name: str, answer: str) -> Item:
    return Item(key, name, answer, ())


def _hardware(disclosed: Disclosed) -> str:
    return hardware_text(_developed(disclosed)) or _UNKNOWN


def _market_text(market: MarketBased) -> str:
    factor = "location-based factor" if market.by_location else "factor"
    rest = f"{factor} {formatted(market.g_per_kwh)} g CO2e/kWh"
    covered = f"{energy(market.covered_kwh)} covered by certificates, "
    text = emissions_interval(market.emissions_kg, "95 %: ")
    return f"{text}; {covered if market.covered_kwh else ''}{rest}; {market.source}"


def _markdown(disclosed: Disclosed, facts: Facts, items: list[Item], more: list[Item]) -> str:
    about = [
        ("Model", " ".join(filter(None, map(facts.text, ("model_name", "model_version"))))),
        ("Provider", facts.text("provider")),
        ("Kind of training", facts.text("training_type")),
        ("Parameters", figure(n) if (n := facts.number("parameters")) is not None else ""),
        ("Project", disclosed.project),
        ("Study", disclosed.study),
    ]
    parts = [
        "# Computational resources and energy\n",
        f"{FORM}.\n",
        markdown_table(("", ""), [row for row in about if row[1]]),
        "## Items of the form\n",
        markdown_table(
            ("item", "for", "answer"),
            [(one.item, ", ".join(one.recipients), one.answer) for one in items],
        ),
        "## Beside the form\n",
        markdown_table(("", ""), [(one.item, one.answer) for one in more]),
        "## Runs\n",
        markdown_table(_COLUMNS, map(_row, disclosed.activities)),
    ]
    remarks = [f"- {one}\n" for one in notes(disclosed)]
    return "\n".join([*parts, "".join(remarks)] if remarks else parts)


def _row(one: Activity) -> tuple[str, ...]:
    within = f" (within {one.part_of})" if one.part_of else ""
    kwh = energy_interval(one.energy_kwh) if one.energy_kwh else _UNKNOWN
    kg = emissions_interval(one.emissions_kg) if one.emissions_kg else _UNKNOWN
    if one.part_of and not one.counted:
        kwh = kg = f"in {one.part_of}"
    return (
        f"{one.run_id or 'row without id'}{within}",
        one.project,
        one.kind or "run",
        one.status or _UNKNOWN,
        one.started_at[:19] or _UNKNOWN,
        duration(one.duration_s),
        kwh,
        kg,
    )


def _json(
    disclosed: Disclosed,
    facts: Facts,
    items: list[Item],
    more: list[Item],
    market: MarketBased | None,
) -> str:
    total = disclosed.development
    about = ("model_name", "model_version", "provider", "training_type")
    hardware = _embodied(disclosed, facts)
    return as_json(
        {
            "form": FORM,
            **{key: facts.text(key) or None for key in about},
            "parameters": facts.number("parameters"),
            "project": disclosed.project or None,
            "study": disclosed.study or None,
            "items": [one._asdict() for one in items],
            "beside_the_form": [one._asdict() for one in more],
            "wall_clock_s": disclosed.training_wall_clock_s,
            "gpu_hours": gpu_hours_by_model(_trained(disclosed)),
            "flops": _flops(disclosed, facts),
            **_mwh(total.energy_kwh),
            **with_ends("location_based_emissions", "kg", total.emissions_kg),
            **with_ends("market_based_emissions", "kg", market.emissions_kg if market else None),
            **with_ends("embodied_emissions", "kg", hardware.kg if hardware else None),
            "total": group_data(total),
            "by_kind": {key or "run": group_data(one) for key, one in disclosed.by_kind.items()},
            "by_status": {
                key or _UNKNOWN: group_data(one) for key, one in disclosed.by_status.items()
            },
            "runs": [activity_data(one) for one in disclosed.activities],
            "skipped": skipped_data(disclosed),
            "notes": notes(disclosed),
        }
    )


def _mwh(kwh: Estimate | None) -> dict[str, float | None]:
    return with_ends("energy", "mwh", kwh.scaled(1 / _KWH_PER_MWH) if kwh else None)
