"""Reads past runs from receipts, from journals of runs without a receipt, and from CSV files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from carbon_core.errors import OutputError
from carbon_core.input_files import InputFileError
from carbon_core.job_environment import JobFacts
from carbon_core.limits import time_of
from carbon_core.outputs import past_rows, past_runs
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.outputs.journal_locks import RUNNING, RUNNING_OR_LOST, Writer
from carbon_core.outputs.past_rows import Row
from carbon_core.outputs.receipt_reading import DeviceEnergy, Receipt
from carbon_core.outputs.result_directories import MOST_DIRECTORIES, Search
from carbon_core.records import Component, Estimate, IntensityShare, Segment
from carbon_core.run_facts import RunFacts, project_label
from carbon_core.trials import StudyFacts, TrialResult
from carbon_core.uncertainty import Sigmas, extrapolated_sigma_ln, intensity_sigmas_ln

# A run of a command and one within it do not begin and end at the same instant.
_LEAST_MISSING_S, _LEAST_MISSING = 1.0, 0.01
_ACTIVE = (RUNNING, RUNNING_OR_LOST)


class DevicePart(NamedTuple):
    """Energy of a device in a past run."""

    component: Component
    device_id: str
    joules: float


class PastRun(NamedTuple):
    """Results of a past run, as read from a file.

    Attributes:
        run_id: The run's id; an empty string for a row of a CSV file without one.
        project_name: Its project.
        time: ISO time: of its beginning (UTC), or in a CSV file of its end (local).
        status: How it ended; an empty string if the file has no status.
        duration_s: Duration in seconds.
        energy_kwh: Energy in kWh, times PUE; low and high equal the value if the file has no interval.
        emissions_kg: Emissions in kg CO2e, with the same rule.
        sigmas_ln: Uncertainty of the energy; None if the file does not have it.
        meters: Hardware and methods of measurement; runs with equal ones have the same systematic error.
        path: Its receipt or journal; None for a row of a CSV file.
        is_known: Whether anything was measured; if not, energy and emissions are unknown, and not 0.
        grid: Figures of grid intensity; the error of a figure is the same in all runs that have it.
        grid_sigmas_ln: Uncertainty of the intensity: of the figures, and of the hours of the run.
        devices: Ids of the devices, which for GPUs are those of the boards.
        extrapolated_sigma_ln: Part of the systematic uncertainty that is due to extrapolation; no other
            run has the same error.
        project_label: The project for display: `carbon_core.run_facts.project_label`.
        writer: The process that measures it; None if it has ended.
        kind: ``training``, ``evaluation``, or an empty string (`Receipt.kind`).
        within: Ids of the runs whose energy includes that of this one, the innermost first.
        parts: Its energy by device.
        part_of: The run among those read that includes it; an empty string if there is none.
        counted: Share of its energy (0 to 1) that no other run includes: totals count this only.
        segment: The run as a part of a sum, with its errors; None for a row of a CSV file.
        study: The study that it belongs to, or None.
        trials: The trials of the study that it measured.
        counted_in_study: Share of its energy (0 to 1) that no other run of its study includes.
        columns: Further columns of its row that were selected, by name; empty for a receipt.
        job: The job of a batch system that it belongs to, or None.
        pue: Power usage effectiveness, which its energy includes.
        tracking_mode: Whether it counts the whole machine or its share: the setting.
        node_kwh: Estimate of the energy of the whole machine, times PUE; None where there is none.
    """

    run_id: str
    project_name: str
    time: str
    status: str
    duration_s: float
    energy_kwh: Estimate
    emissions_kg: Estimate
    sigmas_ln: Sigmas | None = None
    meters: tuple[str, ...] = ()
    path: Path | None = None
    is_known: bool = True
    grid: tuple[str, ...] = ()
    grid_sigmas_ln: Sigmas = Sigmas(0.0, 0.0)
    devices: tuple[str, ...] = ()
    extrapolated_sigma_ln: float = 0.0
    project_label: str = ""
    writer: Writer | None = None
    kind: str = ""
    within: tuple[str, ...] = ()
    parts: tuple[DevicePart, ...] = ()
    part_of: str = ""
    counted: float = 1.0
    segment: Segment | None = None
    study: StudyFacts | None = None
    trials: tuple[TrialResult, ...] = ()
    counted_in_study: float = 1.0
    columns: Mapping[str, str] = {}
    job: JobFacts | None = None
    pue: float = 1.0
    tracking_mode: str = "machine"
    node_kwh: float | None = None


class Skipped(NamedTuple):
    """A file that could not be read as runs.

    Attributes:
        path: The file.
        reason: Why it was skipped.
    """

    path: Path
    reason: str


def read(
    paths: Iterable[Path],
    known: Mapping[str, PastRun] | None = None,
    columns: Sequence[str] = (),
) -> Iterator[PastRun | Skipped]:
    """Yield the runs of files and directories; a run that is in several files is yielded once.

    Runs that others include come last.

    Args:
        paths: Receipts, journals, CSV files, and directories that contain them.
        known: Runs by id that are used instead of those in files.
        columns: Further columns of CSV files to select.
    """
    known = known or {}
    files: dict[str, Path] = {}
    within: list[PastRun] = []
    every = _read(paths, columns)
    in_files = (one for one in every if isinstance(one, Skipped) or one.run_id not in known)
    for found in chain(known.values(), in_files):
        if isinstance(found, Skipped):
            yield found
            continue
        if found.path is not None:
            files[found.run_id] = found.path
        if found.within:
            within.append(found)
        else:
            yield found
    outer: dict[str, PastRun] = dict(known)
    for run_id in {
        one for run in within for one in run.within if one in files and one not in known
    }:
        outer.update(
            (one.run_id, one) for one in _in_file(files[run_id]) if isinstance(one, PastRun)
        )
    for run in within:
        yield counted_among(run, [outer[one] for one in run.within if one in outer])


def counted_among(run: PastRun, outer: Sequence[PastRun]) -> PastRun:
    """Return a run with the shares of its energy that no other run includes, and none of its study.

    Args:
        run: The run.
        outer: The runs that it is within, the innermost first.
    """
    of_study = [one for one in outer if _study_id(one) == _study_id(run)]
    part = counted_once(run, of_study).counted
    return counted_once(run, outer)._replace(counted_in_study=part)


def counted_once(run: PastRun, outer: Sequence[PastRun]) -> PastRun:
    """Return a run with the share of its energy that none of some other runs includes.

    Another run includes a device that it measured, too, for the time that both were running: it may have
    been killed before, or have fewer meters.

    Args:
        run: The run.
        outer: The runs that it is within.
    """
    outer = [one for one in outer if one.is_known and run.run_id not in (one.run_id, *one.within)]
    if not outer:
        return run
    shares = [(_overlap(run, one), _measured(one)) for one in outer]
    total_j = sum(part.joules for part in run.parts)
    included_j = sum(
        part.joules * max(share for share, by in shares if _is_measured(part, by))
        for part in run.parts
        if any(_is_measured(part, by) for _, by in shares)
    )
    included = included_j / total_j if total_j > 0 else max(share for share, _ in shares)
    counted = max(0.0, 1.0 - included)
    return run._replace(part_of=outer[0].run_id, counted=counted) if counted < 1.0 else run


def _study_id(run: PastRun) -> str | None:
    return run.study.study_id if run.study else None


def _measured(run: PastRun) -> set[str]:
    """Return the components that a run measured, and the ids of its GPUs."""
    read = [part for part in run.parts if part.joules > 0]
    return {part.device_id if part.component == "gpu" else part.component for part in read}


def _is_measured(part: DevicePart, measured: set[str]) -> bool:
    return (part.device_id if part.component == "gpu" else part.component) in measured


def _overlap(run: PastRun, outer: PastRun) -> float:
    """Return the share of a run's time in which an outer run was running, too."""
    try:
        begin_s, outer_s = (time_of(one.time).timestamp() for one in (run, outer))
    except ValueError:
        return 1.0
    after_s = begin_s + run.duration_s - outer_s - outer.duration_s
    missing_s = max(0.0, outer_s - begin_s) + max(0.0, after_s)
    if missing_s <= max(_LEAST_MISSING_S, _LEAST_MISSING * run.duration_s):
        return 1.0
    return max(0.0, 1.0 - missing_s / run.duration_s) if run.duration_s > 0 else 0.0


def _read(paths: Iterable[Path], columns: Sequence[str]) -> Iterator[PastRun | Skipped]:
    seen: set[object] = set()
    for source in _sources(paths, columns):
        rows_without_id: Counter[int] = Counter()
        for found in source:
            if isinstance(found, Skipped):
                yield found
                continue
            key = found.run_id or _key(found, rows_without_id)
            if key not in seen:
                seen.add(key)
                yield found


def _key(run: PastRun, rows: Counter[int]) -> tuple[int, int]:
    """Identify a row without run id: equal rows of a file are different runs, of two files the same."""
    content = hash((run.time, run.project_name, run.duration_s, run.energy_kwh, run.emissions_kg))
    rows[content] += 1
    return content, rows[content]


def _sources(
    paths: Iterable[Path], columns: Sequence[str]
) -> Iterator[Iterable[PastRun | Skipped]]:
    """Yield the runs of files and directories by file, CSV files last: they have the least details.

    Of the CSV files of sub-directories, only those with CodeCarbon's name are read.
    """
    tables: list[Path] = []
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - `Path.is_dir` may raise, such as for a long name
            yield from _below(path, tables)
        elif path.suffix == ".csv" or (path.suffix == ".bak" and ".csv" in path.name):
            tables.append(path)
        else:
            yield _in_file(path)
    yield from (_in_table(path, columns) for path in tables)


def _below(path: Path, tables: list[Path]) -> Iterator[Iterable[PastRun | Skipped]]:
    """Yield the runs of a directory and its sub-directories; append their CSV files to a list."""
    yield _in_directory(path)
    # Backups are files of older versions, which had other columns.
    files = [*sorted(path.glob("*.csv")), *sorted(path.glob("*.csv*.bak"))]
    if path.name != RUNS_DIRECTORY:
        search = Search(path)
        for directory, of_directory in search.found():
            yield _in_directory(directory)
            files += of_directory
        if not search.is_complete:
            reason = f"only {MOST_DIRECTORIES:,} of its sub-directories were searched"
            yield [Skipped(path, reason)]
    tables += [file for file in files if not past_rows.is_of_tasks(file)]


def _in_directory(directory: Path) -> Iterator[PastRun | Skipped]:
    for path, found in past_runs.in_directory(directory):
        if isinstance(found, InputFileError):
            yield Skipped(path, found.reason)
        else:
            yield run_of(found, path)


def _in_file(path: Path) -> Iterator[PastRun | Skipped]:
    try:
        yield run_of(past_runs.read(path), path)
    except InputFileError as error:
        yield Skipped(path, error.reason)
    except OSError as error:
        yield Skipped(path, InputFileError(path, error).reason)


def _in_table(path: Path, columns: Sequence[str]) -> Iterator[PastRun | Skipped]:
    try:
        for row in past_rows.read(path, columns):
            yield run_of_row(row, path, columns)
    except OSError as error:
        yield Skipped(path, InputFileError(path, error).reason)
    except OutputError as error:
        yield Skipped(path, str(error))


def run_of_row(row: Row, path: Path, columns: Sequence[str] = ()) -> PastRun:
    """Return a row of a CSV file as a run.

    Args:
        row: The row.
        path: The file.
        columns: Names of the further columns that the row has.
    """
    kwh, kg = row.energy_kwh, row.emissions_kg
    estimates = Estimate(kwh, kwh, kwh), Estimate(kg, kg, kg)
    return PastRun(
        row.run_id,
        row.project_name,
        row.timestamp,
        "",
        row.duration_s,
        *estimates,
        is_known=row.is_known,
        project_label=project_label(row.project_name, _directory_name(path)),
        columns=dict(zip(columns, row.more)),
    )


def run_of(found: Receipt, path: Path | None) -> PastRun:
    """Return a receipt as a run.

    Args:
        found: The receipt.
        path: Its file; None where it was not read from one.
    """
    run, host = found.run, found.host
    shares = [
        IntensityShare(one, one.energy_kwh or 0.0, one.emissions_kg or 0.0)
        for one in found.intensities
    ]
    grid = sorted({f"{one.place} {one.source} {one.kind} {one.year}" for one in found.intensities})
    methods = sorted({_meter(one) for one in found.devices})
    return PastRun(
        run.run_id,
        run.project_name,
        run.started_at,
        found.status,
        found.duration_s,
        found.energy_kwh.estimate,
        found.emissions_kg.estimate,
        found.energy_sigma_ln,
        (str(host.cpu_model), *host.gpu_models, *methods),
        path,
        found.is_known,
        tuple(grid),
        intensity_sigmas_ln(shares, found.duration_s, run.year),
        tuple(sorted(one.id for one in found.devices)),
        extrapolated_sigma_ln=extrapolated_sigma_ln([one.energy for one in found.devices]),
        project_label=_label(run, path),
        writer=past_runs.writer_of(path) if path and found.status in _ACTIVE else None,
        kind=found.kind,
        within=run.within,
        parts=tuple(DevicePart(one.component, one.id, one.joules) for one in found.devices),
        segment=found.segment,
        study=run.study,
        trials=found.trials,
        job=run.job,
        pue=run.pue,
        tracking_mode=run.tracking_mode,
        node_kwh=found.node_energy_kwh,
    )


def _label(run: RunFacts, path: Path | None) -> str:
    # Receipts of older versions do not have the working directory.
    directory = run.directory or (_directory_name(path) if path else "")
    return project_label(run.project_name, directory, is_set="project_name" in run.origins)


def _directory_name(path: Path) -> str:
    """Return the name of the directory of results that contains a file."""
    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100 - `Path.resolve` follows links
    return (folder.parent if folder.name == RUNS_DIRECTORY else folder).name


def _meter(device: DeviceEnergy) -> str:
    """Name the meter of a device; another calibration has other errors."""
    name = f"{device.component} {device.method}"
    return f"{name} x {device.calibration.gain:.9g}" if device.calibration is not None else name
