"""Embodied emissions of hardware, M: the part that is allocated to runs, with its interval.

M = TE x TiR / EL x RR / ToR (ISO/IEC 21031): total embodied emissions, time reserved by expected
lifespan, resources reserved by total resources. M is never a part of a run's emissions.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from carbon_core.data import rows
from carbon_core.disclosure.activities import Activity
from carbon_core.disclosure.facts import Facts
from carbon_core.errors import ConfigError
from carbon_core.records import Estimate

HOURS_PER_YEAR, SECONDS_PER_HOUR = 8760.0, 3600.0
# Four years is what the guide to SCI data assumes for servers; three to six is an assumption.
LIFESPAN_YEARS = Estimate(4.0, 3.0, 6.0)


class Figure(NamedTuple):
    """A row of the shipped table: embodied emissions of a GPU.

    Attributes:
        model: Word of a GPU's name that it applies to; empty for any other GPU.
        kg: Embodied emissions in kg CO2e.
        scope: What they include.
        source: Publisher and document.
        year: Year of publication.
    """

    model: str
    kg: Estimate
    scope: str
    source: str
    year: int


class GpuPart(NamedTuple):
    """The GPUs of one model in some runs.

    Attributes:
        name: Name of the GPU, as its driver spells it.
        hours: GPU hours.
        figure: The row that applies to it.
        kg: The part of its embodied emissions.
    """

    name: str
    hours: float
    figure: Figure
    kg: Estimate


class Embodied(NamedTuple):
    """Embodied emissions that are allocated to runs.

    Attributes:
        kg: Emissions in kg CO2e.
        source: Where they are from.
        gpus: The GPUs that the shipped table was used for.
        notes: How they were allocated, and what they do not include.
    """

    kg: Estimate
    source: str
    gpus: tuple[GpuPart, ...] = ()
    notes: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def figures() -> tuple[Figure, ...]:
    """Return the rows of the shipped table; the last one applies to any other GPU."""
    return tuple(
        Figure(
            row["model"],
            Estimate(*(float(row[key]) for key in ("kg", "low_kg", "high_kg"))),
            row["scope"],
            row["source"],
            int(row["year"]),
        )
        for row in rows("embodied_gpu")
    )


def figure_of(gpu: str) -> Figure:
    """Return the row that applies to a GPU.

    Args:
        gpu: Name of the GPU, as its driver spells it.
    """
    words = {word.upper() for word in re.split(r"[^0-9A-Za-z]+", gpu)}
    return next(one for one in figures() if not one.model or one.model in words)


def allocated(
    total_kg: Estimate, reserved_h: float, lifespan_years: Estimate, share: float = 1.0
) -> Estimate:
    """Return the part of hardware's embodied emissions that is allocated to a use of it.

    Args:
        total_kg: Embodied emissions of the hardware in kg CO2e (TE).
        reserved_h: Hours in which it was reserved (TiR).
        lifespan_years: Its expected lifespan in years (EL).
        share: Share of its resources that were reserved (RR / ToR).
    """
    if lifespan_years.value <= 0:
        raise ValueError("the expected lifespan must be above 0")
    per_year = Estimate(
        1.0 / lifespan_years.value, 1.0 / lifespan_years.high, 1.0 / lifespan_years.low
    )
    return product(total_kg, per_year).scaled(reserved_h / HOURS_PER_YEAR * share)


def of_runs(activities: Sequence[Activity], reserved_s: float, facts: Facts) -> Embodied | None:
    """Return the embodied emissions of runs as far as the user has given or requested them.

    The user's figure for the runs is first, then the user's figure for the hardware, then the table.

    Args:
        activities: The runs.
        reserved_s: Time in which at least one of them was running, in seconds.
        facts: What the user has given.

    Raises:
        ConfigError: A given figure is impossible.
    """
    if "embodied_kg" in facts:
        return _of_user(facts)
    if "hardware_embodied_kg" in facts:
        return _of_hardware(reserved_s, facts)
    return of_gpus(activities) if facts.text("embodied_table") else None


def _of_user(facts: Facts) -> Embodied:
    kg = facts.number("embodied_kg") or 0.0
    low, high = facts.number("embodied_low_kg"), facts.number("embodied_high_kg")
    if (low is not None and low > kg) or (high is not None and high < kg):
        message = "embodied_kg must be between embodied_low_kg and embodied_high_kg"
        raise ConfigError(message, key="embodied_kg", origin=facts.origin("embodied_kg"))
    notes = () if low is not None and high is not None else ("interval not known",)
    ends = Estimate(kg, kg if low is None else low, kg if high is None else high)
    return Embodied(ends, facts.text("embodied_source") or "given by the user", (), notes)


def _of_hardware(reserved_s: float, facts: Facts) -> Embodied:
    years = facts.number("hardware_lifespan_years") or 0.0
    given = facts.number("hardware_share")
    share = 1.0 if given is None else given
    if years <= 0:
        raise _error("hardware_lifespan_years", "must be above 0", facts)
    if share > 1.0:
        raise _error("hardware_share", "must be from 0 to 1", facts)
    reserved_h = facts.number("hardware_reserved_h")
    if reserved_h is None:
        reserved_h = reserved_s / SECONDS_PER_HOUR
    if reserved_h > years * HOURS_PER_YEAR:
        raise _error("hardware_reserved_h", "must be within the lifespan", facts)
    kg = facts.number("hardware_embodied_kg") or 0.0
    notes = (
        f"{kg:g} kg CO2e x {reserved_h:.3g} h / {years:g} years x {share:g} of the resources",
        "interval not known",
    )
    exact = Estimate(years, years, years)
    found = allocated(Estimate(kg, kg, kg), reserved_h, exact, share)
    return Embodied(found, facts.text("embodied_source") or "given by the user", (), notes)


def _error(key: str, what: str, facts: Facts) -> ConfigError:
    origin = facts.origin(key) or "facts"
    return ConfigError(f"{origin}: {key} {what}", key=key, origin=origin)


def of_gpus(activities: Iterable[Activity]) -> Embodied | None:
    """Return the embodied emissions of the runs' GPUs by the shipped table; None without GPU hours."""
    hours: dict[str, float] = defaultdict(float)
    unknown = 0
    for one in activities:
        models = one.hardware.gpu_models
        if models and one.gpu_hours is not None:
            for model in models:
                hours[model] += one.gpu_hours / len(models)
        elif one.counted > 0 and one.gpu_hours is None:
            unknown += 1
    parts = tuple(_part(name, amount) for name, amount in sorted(hours.items()) if amount > 0)
    if not parts:
        return None
    notes = [
        "expected lifespan of 4 years (3 to 6)",
        "without processors, memory, storage, network and the building",
    ]
    if unknown:
        notes.append(f"without the GPUs of {unknown} runs whose hardware is unknown")
    kg = total(part.kg for part in parts)
    return Embodied(kg, "shipped table of GPUs", parts, tuple(notes))


def _part(name: str, hours: float) -> GpuPart:
    figure = figure_of(name)
    return GpuPart(name, hours, figure, allocated(figure.kg, hours, LIFESPAN_YEARS))


def product(a: Estimate, b: Estimate) -> Estimate:
    """Return a product of two positive figures; their independent errors combine in the logarithm."""
    value = a.value * b.value
    down = math.hypot(_ln(a.value, a.low), _ln(b.value, b.low))
    up = math.hypot(_ln(a.high, a.value), _ln(b.high, b.value))
    return Estimate(value, value * math.exp(-down), value * math.exp(up))


def total(parts: Iterable[Estimate]) -> Estimate:
    """Return a sum of figures with the same errors, such as those of one kind of study, or one grid."""
    values = tuple(parts)
    return Estimate(*(math.fsum(one[end] for one in values) for end in range(3)))


def independent_sum(a: Estimate, b: Estimate) -> Estimate:
    """Return a sum of two figures with independent errors."""
    value = a.value + b.value
    down = math.hypot(a.value - a.low, b.value - b.low)
    up = math.hypot(a.high - a.value, b.high - b.value)
    return Estimate(value, value - down, value + up)


def _ln(larger: float, smaller: float) -> float:
    if larger <= 0:
        return 0.0
    return math.log(larger / smaller) if smaller > 0 else math.inf
