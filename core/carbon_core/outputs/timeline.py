"""Reads the time series of a run from its journal: cumulative joules, phases, windows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from carbon_core.decoding import DecodingError, decoded, parsed
from carbon_core.input_files import InputFileError
from carbon_core.limits import Seconds
from carbon_core.outputs.journal_locks import TOTALS, lines_of
from carbon_core.records import NO_TRACE, Curve, Energy, TraceData

# Of all curves; beyond, every second point is dropped.
_MOST_POINTS = 2_000_000
_MOST_SPANS = 100_000
_MOST_CURVES = 1024


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


@dataclass(frozen=True)
class _Record:
    """The part of a journal's record that the timeline needs."""

    duration_s: Seconds
    energies: tuple[Energy, ...]
    moments: TraceData = NO_TRACE


def read(path: Path) -> Timeline:
    """Read the timeline of a run from its journal; skip invalid lines.

    Raises:
        InputFileError: The file cannot be read, or has no valid record of a run.
    """
    timeline = Timeline()
    phase_starts: list[tuple[float, str]] = []
    missing_s = 0.0
    points = 0
    is_empty = True
    try:
        for record in _records(path):
            is_empty = False
            if record.duration_s < timeline.duration_s:
                _cut(timeline, record.duration_s)
            points += _add(timeline, record)
            if points > _MOST_POINTS:
                points = sum(map(_thin, timeline.curves))
            if len(phase_starts) < _MOST_SPANS:
                phase_starts += record.moments.phases
            if len(timeline.windows) < _MOST_SPANS:
                timeline.windows += [Span(*window) for window in record.moments.windows]
            before_s, timeline.duration_s = timeline.duration_s, record.duration_s
            missing_before_s = missing_s
            missing_s = max((energy.missing_s for energy in record.energies), default=0.0)
            _note_missing(timeline, before_s, missing_s - missing_before_s)
    except OSError as error:
        raise InputFileError(path, error) from error
    if is_empty:
        raise InputFileError(path, "has no valid record of a run")
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


def _records(path: Path) -> Iterator[_Record]:
    for line in lines_of(path):
        if line.startswith(TOTALS):
            try:
                yield decoded(_Record, parsed(line))
            except DecodingError:
                continue


def _add(timeline: Timeline, record: _Record) -> int:
    """Add the readings of a record and its totals to the curves; return how many points they have."""
    energies = record.energies[:_MOST_CURVES]
    curves = timeline.curves
    curves += [Curve(i, [0.0], [0.0]) for i in range(len(curves), len(energies))]
    count = 0
    for i, times_s, joules in record.moments.readings:
        if i < len(curves):
            count += len(times_s)
            _extend(curves[i], times_s, joules)
    for curve, energy in zip(curves, energies):
        if energy.joules:  # 0 before the first reading, which adds the energy since the start
            count += 1
            _extend(curve, [record.duration_s], [energy.joules])
    return count


def _extend(curve: Curve, times_s: Sequence[float], joules: Sequence[float]) -> None:
    """Add points to a device's curve; neither its time nor its joules ever fall."""
    for t_s, j in zip(times_s, joules):
        if t_s > curve.t_s[-1]:
            curve.t_s.append(t_s)
            curve.joules.append(max(j, curve.joules[-1]))


def _cut(timeline: Timeline, end_s: float) -> None:
    """Drop what is later than the end of a run: a record while it closes may be of a later time."""
    for curve in timeline.curves:
        first = bisect_left(curve.t_s, end_s, lo=1)
        del curve.t_s[first:], curve.joules[first:]
    timeline.missing = [
        span._replace(end_s=min(span.end_s, end_s))
        for span in timeline.missing
        if span.begin_s < end_s
    ]


def _thin(curve: Curve) -> int:
    """Drop every second point of a curve, but not its ends; return how many remain."""
    del curve.t_s[1:-1:2], curve.joules[1:-1:2]
    return len(curve.t_s)


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
