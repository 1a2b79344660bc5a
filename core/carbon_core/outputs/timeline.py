"""Reads the time series of a run from its journal: cumulative joules, phases, windows."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from carbon_core.errors import OutputError
from carbon_core.outputs.journal_locks import TOTALS, lines_of
from carbon_core.records import Curve


class Span(NamedTuple):
    """A part of a run, in seconds since it began."""

    name: str
    begin_s: float
    end_s: float


@dataclass
class Timeline:
    """The time series of a run, up to the last record of its journal.

    Attributes:
        duration_s: Duration in seconds.
        curves: One for each device, in the order of the run's devices; each begins with 0 J at 0 s.
        phases: The run's phases, one after the other.
        windows: Named windows: epochs, tasks; they may overlap.
        missing: When a device could not be read and its energy was extrapolated.
    """

    duration_s: float = 0.0
    curves: list[Curve] = field(default_factory=list)
    phases: list[Span] = field(default_factory=list)
    windows: list[Span] = field(default_factory=list)
    missing: list[Span] = field(default_factory=list)


def read(path: Path) -> Timeline:
    """Read the timeline of a run from its journal; skip incomplete lines.

    Raises:
        OutputError: The file cannot be read, or its records are not those of a run.
    """
    timeline = Timeline()
    phase_starts: list[tuple[float, str]] = []
    missing_s = 0.0
    try:
        for record in _totals(path):
            before_s, timeline.duration_s = timeline.duration_s, float(record["duration_s"])
            moments = record.get("moments", {})
            for i, times_s, joules in moments.get("readings", ()):
                _extend(timeline.curves, i, times_s, joules)
            for i, (measured_j, extrapolated_j, _) in enumerate(record["energies"]):
                joules = measured_j + extrapolated_j
                if joules:  # 0 before the first reading, which adds the energy since the start
                    _extend(timeline.curves, i, [timeline.duration_s], [joules])
            phase_starts += [(float(t_s), str(name)) for t_s, name in moments.get("phases", ())]
            timeline.windows += [Span(*window) for window in moments.get("windows", ())]
            missing_before_s = missing_s
            missing_s = max((energy[2] for energy in record["energies"]), default=0.0)
            _note_missing(timeline, before_s, missing_s - missing_before_s)
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(f"{path} has no valid record of a run") from error
    timeline.phases = _spans(phase_starts, timeline.duration_s)
    return timeline


def resampled(curve: Curve, times_s: Sequence[float]) -> list[float]:
    """Return the cumulative joules of a curve at ascending times, linearly interpolated.

    At the time of a reading the exact value is returned, so the differences add up to the curve's
    total whatever the times are.
    """
    found: list[float] = []
    for t_s in times_s:
        upper = bisect_left(curve.t_s, t_s, lo=1)
        if upper >= len(curve.t_s):
            found.append(curve.joules[-1])
            continue
        t0, t1 = curve.t_s[upper - 1], curve.t_s[upper]
        j0, j1 = curve.joules[upper - 1], curve.joules[upper]
        found.append(j1 if t_s == t1 else j0 + (j1 - j0) * (t_s - t0) / (t1 - t0))
    return found


def _totals(path: Path) -> Iterator[dict[str, Any]]:
    for line in lines_of(path):
        if line.startswith(TOTALS):
            try:
                yield json.loads(line.decode("utf-8", "replace"))
            except ValueError:
                continue


def _extend(curves: list[Curve], i: int, times_s: Sequence[float], joules: Sequence[float]) -> None:
    """Add points to a device's curve; neither its time nor its joules ever fall."""
    while len(curves) <= i:
        curves.append(Curve(len(curves), [0.0], [0.0]))
    curve = curves[i]
    for t_s, j in zip(times_s, joules):
        if t_s > curve.t_s[-1]:
            curve.t_s.append(float(t_s))
            curve.joules.append(max(float(j), curve.joules[-1]))


def _note_missing(timeline: Timeline, before_s: float, more_s: float) -> None:
    """Add the time since the previous record if a device was not read for most of it."""
    span_s = timeline.duration_s - before_s
    if span_s <= 0 or more_s <= 0.5 * span_s:
        return
    if timeline.missing and timeline.missing[-1].end_s == before_s:
        before_s = timeline.missing.pop().begin_s
    timeline.missing.append(Span("missing", before_s, timeline.duration_s))


def _spans(phase_starts: Sequence[tuple[float, str]], end_s: float) -> list[Span]:
    """Return the phases that begin at the given times, without those of zero duration."""
    ends = [t_s for t_s, _ in phase_starts[1:]] + [end_s]
    return [
        Span(name, begin_s, stop_s)
        for (begin_s, name), stop_s in zip(phase_starts, ends)
        if stop_s > begin_s
    ]
