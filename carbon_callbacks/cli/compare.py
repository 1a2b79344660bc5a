"""``carbon-callbacks compare``: whether one set of runs draws more than another."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from carbon_core.comparison import Comparison, compare
from carbon_core.errors import CarbonError
from carbon_core.formatting import formatted
from carbon_core.outputs.history import PastRun, Skipped, read


class Figure(str, enum.Enum):
    """What is compared."""

    ENERGY = "energy"
    EMISSIONS = "emissions"
    DURATION = "duration"


_OF: dict[Figure, tuple[str, Callable[[PastRun], float]]] = {
    Figure.ENERGY: ("kWh", lambda run: run.energy_kwh.value),
    Figure.EMISSIONS: ("kg CO2e", lambda run: run.emissions_kg.value),
    Figure.DURATION: ("s", lambda run: run.duration_s),
}
_PERCENT = 100.0


def run(a: Path, b: Path, *, what: Figure, max_increase: float | None, as_json: bool) -> None:
    """Compare the runs of two places; exit with 1 if B is worse by more than is allowed.

    Args:
        a: File or directory of the runs that are compared with.
        b: The same of the others.
        what: The figure.
        max_increase: By how many percent B may be above A; None for any.
        as_json: Print JSON instead of a line.
    """
    unit, figure_of = _OF[what]
    try:
        found = compare(_runs(a), _runs(b), figure_of)
    except CarbonError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from error
    worse = max_increase is not None and found.change * _PERCENT > max_increase
    if as_json:
        print(json.dumps({"figure": what.value, **found._asdict(), "too_much": worse}, indent=2))
    else:
        print(_in_words(found, what.value, unit))
        if worse:
            print(f"that is more than the {max_increase:g} % that are allowed")
    if worse:
        raise typer.Exit(1)


def _runs(path: Path) -> list[PastRun]:
    found = list(read([path]))
    for skipped in (one for one in found if isinstance(one, Skipped)):
        print(f"{skipped.path}: {skipped.reason}", file=sys.stderr)
    runs = [one for one in found if isinstance(one, PastRun)]
    if not runs:
        raise CarbonError(f"no run found in {path}")
    return runs


def _in_words(found: Comparison, what: str, unit: str) -> str:
    change, low, high = (part * _PERCENT for part in (found.change, found.low, found.high))
    notes = []
    if not found.same_meters:
        notes.append("measured by different meters or machines, so both of their errors count")
    if not found.spread_known:
        notes.append(
            "how much such runs differ by themselves is not known: several on each side tell"
        )
    return (
        f"{what}: {formatted(found.a)} {unit} -> {formatted(found.b)} {unit}: "
        f"{change:+.1f} % (95 %: {low:+.1f} to {high:+.1f} %)"
        + "".join(f"; {note}" for note in notes)
    )
