"""``carbon-callbacks compare``: the relative change between two sets of runs."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer

from carbon_callbacks.cli.skipped import print_skipped
from carbon_callbacks.cli.terminal import say, say_wrapped, warn, write_data
from carbon_core.comparison import LEAST_CHANGE_LN, MOST_RUNS, Comparison, compare
from carbon_core.errors import CarbonError
from carbon_core.formatting import duration, emissions, energy, formatted
from carbon_core.outputs.history import PastRun, Skipped, read
from carbon_core.outputs.receipt_reading import EVALUATION, TRAINING


class Figure(str, enum.Enum):
    """The figure to compare."""

    ENERGY = "energy"
    EMISSIONS = "emissions"
    DURATION = "duration"


_FIGURES: dict[Figure, tuple[Callable[[float], str], Callable[[PastRun], float]]] = {
    Figure.ENERGY: (energy, lambda run: run.energy_kwh.value),
    Figure.EMISSIONS: (emissions, lambda run: run.emissions_kg.value),
    Figure.DURATION: (duration, lambda run: run.duration_s),
}
_PERCENT = 100.0
# A larger ratio is not written as a percentage, too.
_LARGE_RATIO = 10.0


def run(
    a: Path,
    b: Path,
    *,
    figure: Figure,
    max_increase: float | None,
    as_json: bool,
    evaluations: bool = False,
) -> None:
    """Compare two sets of runs; exit with 1 if the increase is above the limit.

    Args:
        a: File or directory of the first set, the baseline.
        b: File or directory of the second set.
        figure: The figure to compare.
        max_increase: Highest allowed increase from A to B in percent; None for no limit.
        as_json: Print JSON instead of a line.
        evaluations: Compare evaluations instead of trainings.
    """
    as_text, figure_of = _FIGURES[figure]
    try:
        with_unknown = figure is Figure.DURATION
        sides = _comparable(
            _runs(a, with_unknown=with_unknown, evaluations=evaluations),
            _runs(b, with_unknown=with_unknown, evaluations=evaluations),
        )
        found = compare(
            sides[0],
            sides[1],
            figure_of,
            with_grid=figure is Figure.EMISSIONS,
            with_meters=figure is not Figure.DURATION,
        )
    except CarbonError as error:
        warn(error)
        raise typer.Exit(2) from error
    worse = max_increase is not None and found.change * _PERCENT > max_increase
    if as_json:
        ratio = dict(zip(("ratio", "ratio_low", "ratio_high"), found.ratio))
        data = {"figure": figure.value, **found._asdict(), **ratio, "too_much": worse}
        write_data(json.dumps(data, indent=2))
    else:
        say_wrapped(_as_text(found, figure.value, as_text))
        if worse:
            say(f"increase is above the limit of {max_increase:g} %")
    if worse:
        raise typer.Exit(1)


def _runs(path: Path, *, with_unknown: bool, evaluations: bool) -> list[PastRun]:
    found = list(read([path]))
    print_skipped([one for one in found if isinstance(one, Skipped)])
    runs = [one for one in found if isinstance(one, PastRun)]
    if not runs:
        raise CarbonError(f"no run found in {path}")
    of_kind = [run for run in runs if (run.kind == EVALUATION) == evaluations]
    if not of_kind:
        only, option = (
            ("no evaluations", "without") if evaluations else ("only evaluations", "with")
        )
        raise CarbonError(f"{path} has {only}: use compare {option} --evaluations")
    ended = [run for run in of_kind if run.writer is None]
    known = [run for run in ended if run.is_known or with_unknown]
    if not evaluations:
        _warn_of(path, len(runs) - len(of_kind), len(runs), "evaluations (see --evaluations)")
    _warn_of(path, len(of_kind) - len(ended), len(of_kind), "still running")
    _warn_of(path, len(ended) - len(known), len(ended), "energy unknown")
    return known


def _warn_of(path: Path, left_out: int, total: int, reason: str) -> None:
    if left_out:
        warn(f"{path}: {left_out} of {total} runs left out: {reason}")


def _comparable(*sides: Sequence[PastRun]) -> list[list[PastRun]]:
    """Return the trainings if both sides have some, else all; without parts of other runs."""
    have_trainings = all(any(run.kind == TRAINING for run in runs) for runs in sides)
    chosen = [[run for run in runs if not have_trainings or run.kind == TRAINING] for runs in sides]
    return [_without_parts(runs) for runs in chosen]


def _without_parts(runs: Sequence[PastRun]) -> list[PastRun]:
    ids = {run.run_id for run in runs}
    return [run for run in runs if ids.isdisjoint(run.within)]


def _as_text(found: Comparison, figure: str, as_text: Callable[[float], str]) -> str:
    ratio = found.ratio
    percent = f", {found.change * _PERCENT:+.1f} %" if ratio.value < _LARGE_RATIO else ""
    interval = f" (95 %: {formatted(ratio.low)} to {formatted(ratio.high)})"
    return (
        f"{figure}: {as_text(found.a)} (n = {found.n_a}) -> {as_text(found.b)} (n = {found.n_b}): "
        f"ratio {formatted(ratio.value)}{'' if found.too_few_runs else interval}{percent}"
        + "".join(f"; {note}" for note in _notes(found, with_meters=figure != Figure.DURATION))
    )


def _notes(found: Comparison, *, with_meters: bool) -> Iterator[str]:
    needed = f"{found.runs_needed:,}" if found.runs_needed else ""
    if found.runs_needed == MOST_RUNS:
        needed += " or more"
    if not found.spread_known:
        yield f"too few runs for a 95 % interval: at least {needed} per side"
    elif found.too_few_runs:
        yield f"too few runs for a useful 95 % interval: about {needed} per side"
    elif not needed and found.low <= 0.0 <= found.high:
        if found.ratio.high < found.ratio.value * math.exp(LEAST_CHANGE_LN):
            yield "no clear change; these runs would show one of 2 %"
        else:
            yield "no clear change: the errors of the meters are larger, and more runs would not help"
    elif needed:
        size = "2 %" if abs(math.log(found.ratio.value)) < LEAST_CHANGE_LN else "this size"
        yield f"no clear change; about {needed} runs per side would show one of {size}"
    if with_meters and not found.same_meters:
        yield "different meters or hardware: the errors of both sides are included"
