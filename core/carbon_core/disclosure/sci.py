"""Software Carbon Intensity (ISO/IEC 21031) of training or inference, with SCI for AI: the calculation.

SCI = (E x I + M) / R. The energy E is that of all runs within the boundary, also of those that failed,
were abandoned or were trials of a search; the intensity I is location-based. The part of the operation
and that of the hardware (M) are separate figures, and their sum is a third one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from carbon_core.disclosure.activities import INFERENCE, Activity, Disclosed, Group
from carbon_core.disclosure.collecting import wall_clock_s
from carbon_core.disclosure.embodied import Embodied, independent_sum, of_runs, total
from carbon_core.disclosure.facts import Facts
from carbon_core.errors import ConfigError
from carbon_core.outputs.receipt_reading import TRAINING
from carbon_core.records import Estimate
from carbon_core.units import GRAMS_PER_KG

PROVIDER, CONSUMER = "provider", "consumer"
# A figure of a rate is at least so many grams; otherwise it is per a thousand times as many units, as
# far as there are so many.
_LEAST_G = 0.01


class Unit(NamedTuple):
    """A functional unit, R.

    Attributes:
        name: Its name in the facts.
        title: One of it, as text.
        plural: Several of it.
        persona: ``provider`` of a model: its training; ``consumer``: its inference.
        is_of_ai: Whether SCI for AI has it; otherwise it is one of ISO/IEC 21031 only.
        key: What is missing where its number is unknown: a key of the facts.
        units_of: Returns the number of units that runs have; None if unknown.
        counted: How runs count it.
        exponent: A rate is per so many units: a power of ten.
    """

    name: str
    title: str
    plural: str
    persona: str
    is_of_ai: bool
    key: str
    units_of: Callable[[Disclosed], float | None]
    counted: str
    exponent: int = 0


def _unknown(disclosed: Disclosed) -> float | None:
    return None


def _completed_runs(disclosed: Disclosed) -> float | None:
    """Return the number of trainings that were completed, each once: not its ranks and evaluations."""
    runs = [one for one in disclosed.activities if one.kind == TRAINING] or [
        one for one in disclosed.activities if not one.kind and not one.part_of
    ]
    done = [one for one in runs if one.status in {"completed", ""} and not one.rank]
    return len(done) or None


def _sum(disclosed: Disclosed, of: Callable[[Activity], float | None]) -> float | None:
    known = [amount for amount in map(of, disclosed.activities) if amount is not None]
    return sum(known) if known else None


_OF_ALL_RUNS = "in all runs within the boundary, as the callbacks counted them"

UNITS: tuple[Unit, ...] = (
    Unit(
        "token", "training token", "training tokens", PROVIDER, True, "functional_unit_count",
        lambda found: found.work.tokens, f"tokens that were processed {_OF_ALL_RUNS}",
    ),
    Unit(
        "parameter", "parameter", "parameters", PROVIDER, True, "parameters", _unknown,
        "parameters of the model", 9,
    ),
    Unit(
        "flop", "FLOP", "FLOPs", PROVIDER, True, "flops",
        lambda found: found.work.flops, f"floating-point operations {_OF_ALL_RUNS}",
    ),
    Unit(
        "sample", "training sample", "training samples", PROVIDER, False, "functional_unit_count",
        lambda found: found.work.samples, f"samples that were processed {_OF_ALL_RUNS}",
    ),
    Unit(
        "run", "completed training", "completed trainings", PROVIDER, False, "functional_unit_count",
        _completed_runs, "each once, with its restarts and ranks",
    ),
    Unit(
        "request", "inference request", "inference requests", CONSUMER, True,
        "functional_unit_count", lambda found: _sum(found, lambda one: one.requests),
        "requests that were completed",
    ),
    Unit(
        "served-token", "served token", "served tokens", CONSUMER, True, "functional_unit_count",
        lambda found: _sum(found, lambda one: one.served_tokens),
        "tokens of the requests that were completed",
    ),
)  # fmt: skip


class Boundary(NamedTuple):
    """The runs that a score includes.

    Attributes:
        persona: ``provider`` or ``consumer``.
        activities: Runs within it.
        outside: Number of runs outside it.
        energy_kwh: Their energy E in kWh, times PUE; None if unknown.
        operational_kg: Their location-based emissions E x I in kg CO2e; None if unknown.
        unknown: Number of runs within it whose energy is unknown.
        groups: Totals by kind.
    """

    persona: str
    activities: tuple[Activity, ...]
    outside: int
    energy_kwh: Estimate | None
    operational_kg: Estimate | None
    unknown: int
    groups: dict[str, Group]

    @property
    def g_per_kwh(self) -> float | None:
        """Mean location-based intensity I in g CO2e/kWh; None if unknown."""
        if self.energy_kwh is None or self.operational_kg is None or self.energy_kwh.value <= 0:
            return None
        return self.operational_kg.value * GRAMS_PER_KG / self.energy_kwh.value


class Score(NamedTuple):
    """An SCI score: grams of CO2e for each functional unit.

    Attributes:
        operational_g: E x I / R.
        embodied_g: M / R; None where M is not known.
        total_g: (E x I + M) / R; None where M is not known.
        exponent: Display: the rate is per 10 to the power of it.
    """

    operational_g: Estimate
    embodied_g: Estimate | None
    total_g: Estimate | None
    exponent: int


class Result(NamedTuple):
    """A score with what it is calculated from.

    Attributes:
        unit: The functional unit.
        units: Number of units, R.
        units_source: Where that number is from.
        boundary: The runs.
        embodied: Embodied emissions M; None where they are not known.
        score: The score.
    """

    unit: Unit
    units: float
    units_source: str
    boundary: Boundary
    embodied: Embodied | None
    score: Score


def score(
    operational_kg: Estimate, embodied_kg: Estimate | None, count: float, exponent: int = 0
) -> Score:
    """Return (E x I + M) / R.

    Args:
        operational_kg: Emissions of the operation, E x I.
        embodied_kg: Embodied emissions M; None where they are not known.
        count: Number of functional units, R; above 0.
        exponent: The rate is shown per 10 to the power of this, or of more.
    """
    per_unit = GRAMS_PER_KG / count
    operational = operational_kg.scaled(per_unit)
    while operational.value * 10.0**exponent < _LEAST_G and 10.0 ** (exponent + 3) <= count:
        exponent += 3
    if embodied_kg is None:
        return Score(operational, None, None, exponent)
    both = independent_sum(operational_kg, embodied_kg).scaled(per_unit)
    return Score(operational, embodied_kg.scaled(per_unit), both, exponent)


def unit_of(facts: Facts) -> Unit | None:
    """Return the functional unit that the user has chosen; None if there is none."""
    return next((one for one in UNITS if one.name == facts.text("functional_unit")), None)


def boundary(disclosed: Disclosed, persona: str) -> Boundary:
    """Return the runs within a boundary: inference for a consumer, all others for a provider.

    Runs of an unknown kind, such as the rows of a CSV file, are within either.
    """
    is_consumer = persona == CONSUMER
    groups = {
        kind: group
        for kind, group in disclosed.by_kind.items()
        if not kind or (kind == INFERENCE) == is_consumer
    }
    inside = tuple(one for one in disclosed.activities if one.kind in groups)
    parts = list(groups.values()) if is_consumer else [disclosed.development]
    return Boundary(
        persona,
        inside,
        len(disclosed.activities) - len(inside),
        _total([one.energy_kwh for one in parts]),
        _total([one.emissions_kg for one in parts]),
        sum(one.unknown for one in groups.values()),
        groups,
    )


def _total(parts: list[Estimate | None]) -> Estimate | None:
    """Return the sum of groups, whose meters and grids are the same; None if all are unknown."""
    known = [one for one in parts if one is not None]
    return total(known) if known else None


def required(disclosed: Disclosed, facts: Facts) -> tuple[str, ...]:
    """Return the keys of what a score requires with the unit that was chosen."""
    unit = unit_of(facts)
    if unit is None:
        return ("functional_unit",)
    keys = []
    if boundary(disclosed, unit.persona).operational_kg is None:
        keys.append(f"{TRAINING if unit.persona == PROVIDER else INFERENCE}_emissions")
    if _count(unit, disclosed, facts) is None:
        keys.append(unit.key)
    if unit.persona == PROVIDER and unit.is_of_ai:
        keys += ["functional_unit_values", "functional_unit_rationale"]
    return tuple(keys)


def result(disclosed: Disclosed, facts: Facts) -> Result:
    """Return the score of a disclosure; all that it requires is known.

    Raises:
        ConfigError: A given figure is impossible.
    """
    unit = unit_of(facts)
    counted = _count(unit, disclosed, facts) if unit else None
    if unit is None or counted is None:
        raise ConfigError("functional_unit and its number are required", key="functional_unit")
    count, source = counted
    if count < 1:
        key = next(one for one in _keys(unit) if one in facts)
        raise ConfigError(f"{source}: {key} must be at least 1", key=key, origin=source)
    inside = boundary(disclosed, unit.persona)
    if inside.operational_kg is None:
        raise ConfigError("the emissions of no run within the boundary are known")
    hardware = of_runs(inside.activities, wall_clock_s(inside.activities), facts)
    kg = hardware.kg if hardware else None
    found = score(inside.operational_kg, kg, count, unit.exponent)
    return Result(unit, count, source, inside, hardware, found)


def _count(unit: Unit, disclosed: Disclosed, facts: Facts) -> tuple[float, str] | None:
    """Return the number of units and where it is from: the user's number precedes that of the runs."""
    for key in _keys(unit):
        given = facts.number(key)
        if given is not None:
            return given, facts.origin(key)
    of_all = unit.units_of(disclosed)
    return (of_all, unit.counted) if of_all and of_all >= 1 else None


def _keys(unit: Unit) -> tuple[str, ...]:
    """Return the facts that have the number of units, the first of which applies."""
    return tuple(dict.fromkeys(("functional_unit_count", unit.key)))
