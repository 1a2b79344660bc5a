"""``carbon-callbacks compare``: the relative change between two sets of runs."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from pathlib import Path

import typer

from carbon_callbacks.cli.skipped import print_skipped
from carbon_callbacks.cli.terminal import say, warn, write_data
from carbon_core.comparison import Comparison, compare
from carbon_core.errors import CarbonError
from carbon_core.formatting import formatted
from carbon_core.outputs.history import PastRun, Skipped, read


class Figure(str, enum.Enum):
    """The figure to compare."""

    ENERGY = "energy"
    EMISSIONS = "emissions"
    DURATION = "duration"


_FIGURES: dict[Figure, tuple[str, Callable[[PastRun], float]]] = {
    Figure.ENERGY: ("kWh", lambda run: run.energy_kwh.value),
    Figure.EMISSIONS: ("kg CO2e", lambda run: run.emissions_kg.value),
    Figure.DURATION: ("s", lambda run: run.duration_s),
}
_PERCENT = 100.0


def run(a: Path, b: Path, *, figure: Figure, max_increase: float | None, as_json: bool) -> None:
    """Compare two sets of runs; exit with 1 if the increase is above the limit.

    Args:
        a: File or directory of the first set, the baseline.
        b: File or directory of the second set.
        figure: The figure to compare.
        max_increase: Highest allowed increase from A to B in percent; None for no limit.
        as_json: Print JSON instead of a line.
    """
    unit, figure_of = _FIGURES[figure]
    try:
        with_unknown = figure is Figure.DURATION
        found = compare(
            _runs(a, with_unknown=with_unknown),
            _runs(b, with_unknown=with_unknown),
            figure_of,
            with_grid=figure is Figure.EMISSIONS,
        )
    except CarbonError as error:
        warn(error)
        raise typer.Exit(2) from error
    worse = max_increase is not None and found.change * _PERCENT > max_increase
    if as_json:
        write_data(
            json.dumps({"figure": figure.value, **found._asdict(), "too_much": worse}, indent=2)
        )
    else:
        say(_as_text(found, figure.value, unit))
        if worse:
            say(f"increase is above the limit of {max_increase:g} %")
    if worse:
        raise typer.Exit(1)


def _runs(path: Path, *, with_unknown: bool) -> list[PastRun]:
    found = list(read([path]))
    print_skipped([one for one in found if isinstance(one, Skipped)])
    runs = [one for one in found if isinstance(one, PastRun)]
    if not runs:
        raise CarbonError(f"no run found in {path}")
    known = [run for run in runs if run.is_known or with_unknown]
    if len(known) < len(runs):
        left_out = len(runs) - len(known)
        warn(f"{path}: {left_out} of {len(runs)} runs left out: energy unknown")
    return known


def _as_text(found: Comparison, figure: str, unit: str) -> str:
    change, low, high = (part * _PERCENT for part in (found.change, found.low, found.high))
    notes = []
    if not found.same_meters:
        notes.append("different meters or hardware: the interval includes the meter errors of both")
    if not found.spread_known:
        notes.append("variation between runs not included: use at least 2 runs per side")
    return (
        f"{figure}: {formatted(found.a)} {unit} -> {formatted(found.b)} {unit}: "
        f"{change:+.1f} % (95 %: {low:+.1f} to {high:+.1f} %)"
        + "".join(f"; {note}" for note in notes)
    )
