"""Collects the runs of a project or study from files, each once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from carbon_core.disclosure.activities import INFERENCE, Activity, Disclosed, Group
from carbon_core.disclosure.from_files import COLUMNS, of_receipt, of_row
from carbon_core.errors import OutputError
from carbon_core.escaping import csv_cell, one_line
from carbon_core.input_files import InputFileError
from carbon_core.limits import time_of
from carbon_core.outputs import history, past_runs
from carbon_core.outputs.history import PastRun, Skipped
from carbon_core.outputs.merging import MISSING
from carbon_core.outputs.receipt_reading import EVALUATION, Receipt
from carbon_core.outputs.run_totals import Total
from carbon_core.records import Segment
from carbon_core.run_facts import Work
from carbon_core.segments import merged
from carbon_core.uncertainty import Sigmas, emissions_of_segments, energy_of_segments

_NO_SIGMAS = Sigmas(0.0, 0.0)


class _Run:
    """A run with its receipt; None for a row of a CSV file and for a missing file."""

    def __init__(self, run: PastRun, receipt: Receipt | None = None) -> None:
        self.run = run
        self.receipt = receipt

    def activity(self, *, with_work: bool) -> Activity:
        """Return it as an activity.

        Args:
            with_work: Whether its work counts: not where another rank states the same.
        """
        total = Total()
        total.add(self.run)
        figures = (total.energy_kwh, total.emissions_kg) if self.run.is_known else (None, None)
        if self.receipt is None:
            return of_row(self.run, *figures)
        found = of_receipt(self.run, self.receipt, *figures)
        return found if with_work else found._replace(work=Work())


def collect_runs(paths: Iterable[Path], project: str = "", study: str = "") -> Disclosed:
    """Return the runs of files and directories, with their totals.

    Energy that several of them have measured counts once. A rank or restart that only other runs refer
    to counts with its last known total.

    Args:
        paths: Receipts, journals, CSV files, and directories with all below them.
        project: Name of the project whose runs count; an empty string for all.
        study: Id of the study whose runs count; an empty string for all.
    """
    skipped: list[Skipped] = []
    chosen: list[PastRun] = []
    ids: set[str] = set()
    for found in history.read(paths, columns=COLUMNS):
        if isinstance(found, Skipped):
            skipped.append(found)
            continue
        ids.add(found.run_id)
        if _is_chosen(found, project, study):
            chosen.append(found)
    runs = _with_receipts(_counted_among(chosen), skipped)
    runs += [_Run(_missing(one, by)) for one, by in _without_file(runs, ids)]
    return _disclosed(runs, skipped, project, study)


def _is_chosen(run: PastRun, project: str, study: str) -> bool:
    if project:
        # CSV files have names as text of one line.
        names = {project, one_line(project), csv_cell(project)}
        if names.isdisjoint((run.project_name, run.project_label)):
            return False
    return not study or (run.study is not None and run.study.study_id == study)


def _counted_among(chosen: Sequence[PastRun]) -> list[PastRun]:
    """Return runs with the share of their energy that no other one of them includes."""
    by_id = {run.run_id: run for run in chosen if run.run_id}
    return [_counted(run, by_id) if run.within else run for run in chosen]


def _counted(run: PastRun, by_id: Mapping[str, PastRun]) -> PastRun:
    around = [by_id[one] for one in run.within if one in by_id]
    return history.counted_once(run._replace(counted=1.0, part_of=""), around)


def _with_receipts(runs: Iterable[PastRun], skipped: list[Skipped]) -> list[_Run]:
    """Read the receipts of runs; one that has become unreadable is skipped with its run."""
    found = []
    for run in runs:
        if run.path is None:
            found.append(_Run(run))
            continue
        try:
            found.append(_Run(run, past_runs.read(run.path)))
        except InputFileError as error:
            skipped.append(Skipped(run.path, error.reason))
        except (OSError, OutputError) as error:
            skipped.append(Skipped(run.path, str(error)))
    return found


def _without_file(runs: Iterable[_Run], ids: set[str]) -> list[tuple[Segment, PastRun]]:
    """Return the ranks and restarts that runs refer to and that have no file, each with such a run."""
    by: dict[str, PastRun] = {}
    segments: list[Segment] = []
    for one in runs:
        for segment in one.receipt.linked if one.receipt else ():
            if segment.run_id not in ids:
                by.setdefault(segment.run_id, one.run)
                segments.append(segment)
    return [(segment, by[segment.run_id]) for segment in merged(segments)]


def _missing(segment: Segment, by: PastRun) -> PastRun:
    """Return the last known total of a run as one.

    Args:
        segment: The total.
        by: The run that refers to it.
    """
    return PastRun(
        segment.run_id,
        by.project_name,
        segment.started_at,
        MISSING,
        segment.duration_s,
        energy_of_segments([segment]),
        emissions_of_segments([segment]),
        sigmas_ln=None if segment.energy_sd_kwh is None else _NO_SIGMAS,
        project_label=by.project_label,
        kind=by.kind,
        segment=segment,
        study=by.study,
    )


def _disclosed(
    runs: Sequence[_Run], skipped: Iterable[Skipped], project: str, study: str
) -> Disclosed:
    work_of = _ranks_that_count({one.run.run_id: one.receipt for one in runs if one.receipt})
    pairs = [(one.run, one.activity(with_work=one.run.run_id in work_of)) for one in runs]
    pairs.sort(key=lambda pair: (seconds_of(pair[1].started_at) or 0.0, pair[1].run_id))
    activities = tuple(activity for _, activity in pairs)
    return Disclosed(
        activities,
        _group(pairs),
        _grouped(pairs, lambda activity: activity.kind),
        _grouped(pairs, lambda activity: activity.status),
        wall_clock_s(activities),
        tuple(skipped),
        project,
        study,
        wall_clock_s([one for one in activities if one.kind not in (EVALUATION, INFERENCE)]),
        _group([pair for pair in pairs if pair[1].kind != INFERENCE]),
    )


def _ranks_that_count(receipts: Mapping[str, Receipt]) -> set[str]:
    """Return the ids of runs whose work counts: of the ranks of a training, which all state it, one."""
    return {
        run_id
        for run_id, found in receipts.items()
        if not any(
            (other.run.rank, other.run.run_id) < (found.run.rank, run_id)
            for one in found.other_ranks
            if (other := receipts.get(one.run_id)) is not None
        )
    }


def _grouped(
    pairs: Iterable[tuple[PastRun, Activity]], key_of: Callable[[Activity], str]
) -> dict[str, Group]:
    found: dict[str, list[tuple[PastRun, Activity]]] = defaultdict(list)
    for pair in pairs:
        found[key_of(pair[1])].append(pair)
    return {key: _group(of_key) for key, of_key in sorted(found.items())}


def _group(pairs: Sequence[tuple[PastRun, Activity]]) -> Group:
    """Return the total of activities; errors of one method or place are correlated."""
    total = Total()
    for run, _ in pairs:
        total.add(run)
    # What is within others is known there.
    is_known = any(run.is_known for run, _ in pairs)
    hours = [activity.gpu_hours for _, activity in pairs]
    known_hours = [one for one in hours if one is not None]
    return Group(
        len(pairs),
        total.duration_s,
        total.energy_kwh if is_known else None,
        total.emissions_kg if is_known else None,
        sum(not run.is_known for run, _ in pairs),
        total.without_interval,
        sum(known_hours) if known_hours and len(known_hours) == len(hours) else None,
    )


def wall_clock_s(activities: Iterable[Activity]) -> float:
    """Return the time in which at least one activity was running, in seconds.

    One whose times are not known counts as if no other one was running.
    """
    spans, alone_s = [], 0.0
    for one in activities:
        begin_s = seconds_of(one.started_at)
        if begin_s is None:
            alone_s += one.duration_s
        else:
            spans.append((begin_s, begin_s + one.duration_s))
    covered_s, end_s = 0.0, float("-inf")
    for begin_s, until_s in sorted(spans):
        covered_s += max(0.0, until_s - max(begin_s, end_s))
        end_s = max(end_s, until_s)
    return covered_s + alone_s


def seconds_of(text: str) -> float | None:
    """Return a time in seconds since 1970, a local one as that of this machine; None if unknown."""
    try:
        found = time_of(text)
    except ValueError:
        return None
    if found.tzinfo is None:
        try:
            found = found.astimezone()
        except (OSError, OverflowError):
            found = found.replace(tzinfo=timezone.utc)
    return (found - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()
