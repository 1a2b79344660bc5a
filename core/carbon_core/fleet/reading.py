"""Reads the runs of an export in Parquet, as `history.read` reads those of receipts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from carbon_core.decoding import DecodingError, decoded
from carbon_core.errors import OutputError
from carbon_core.fleet.columns import RUNS, TABLES
from carbon_core.fleet.formats import Parquet
from carbon_core.fleet.places import Directory
from carbon_core.job_environment import JobFacts
from carbon_core.outputs.history import PastRun, Skipped
from carbon_core.records import Estimate, Segment
from carbon_core.trials import StudyFacts, TrialResult
from carbon_core.uncertainty import Sigmas

_TABLE = TABLES[-1]
# In the order of the attributes of `JobFacts`.
_OF_JOB = (
    "scheduler", "job_id", "array_id", "array_index", "job_step", "node", "cluster", "namespace",
    "user_name",
)  # fmt: skip
_NAMES = (
    "run_id", "project_name", "project", "kind", "status", "started_at", "ended_at", "duration_s",
    "counted", "part_of", "within", "is_known", "energy_kwh", "energy_low_kwh", "energy_high_kwh",
    "emissions_kg", "emissions_low_kg", "emissions_high_kg", "energy_errors", "emissions_errors",
    "foreign_kwh", "study", "trials", "counted_in_study", "source",
    *_OF_JOB,
)  # fmt: skip
_TRIALS: Any = tuple[TrialResult, ...]


def runs(path: Path) -> Iterator[PastRun | Skipped]:
    """Yield the runs of an export, and the files that cannot be used.

    Raises:
        ImportError: pyarrow is missing.
    """
    place = Directory(path)
    for name in place.names():
        if name.startswith(f"{RUNS}/month=") and name.endswith(Parquet.suffix):
            try:
                for row in Parquet().read(_TABLE, place.read(name), _NAMES):
                    yield _run(dict(zip(_NAMES, row)))
            except (OutputError, DecodingError, OSError) as error:
                yield Skipped(path / name, str(error))


def _run(row: Mapping[str, Any]) -> PastRun:
    is_row = row["status"] is None
    energy, emissions = _estimate(row, "energy", "kwh"), _estimate(row, "emissions", "kg")
    # A CSV file has the local time of the end.
    time = row["ended_at"] if is_row else row["started_at"]
    began = _text(row["started_at"])
    segment = None if is_row else _segment(row, energy, emissions, began)
    has_interval = not is_row
    study = row["study"]
    return PastRun(
        row["run_id"],
        row["project_name"] or "",
        _text(time),
        row["status"] or "",
        row["duration_s"],
        energy,
        emissions,
        Sigmas(0.0, 0.0) if has_interval else None,
        path=None if is_row else Path(row["source"]),
        is_known=row["is_known"],
        project_label=row["project"] or "",
        kind=row["kind"] or "",
        within=tuple((row["within"] or "").split()),
        part_of=row["part_of"] or "",
        counted=row["counted"],
        segment=segment,
        study=decoded(StudyFacts, json.loads(study)) if study else None,
        trials=decoded(_TRIALS, json.loads(row["trials"])) if row["trials"] else (),
        job=JobFacts(*(row[name] or "" for name in _OF_JOB)) if row["scheduler"] else None,
        counted_in_study=1.0 if row["counted_in_study"] is None else row["counted_in_study"],
    )


def _text(time: datetime | None) -> str:
    return time.isoformat(timespec="milliseconds") + "+00:00" if time else ""


def _estimate(row: Mapping[str, Any], name: str, unit: str) -> Estimate:
    value = row[f"{name}_{unit}"] or 0.0
    low, high = (row[f"{name}_{end}_{unit}"] for end in ("low", "high"))
    return Estimate(value, value if low is None else low, value if high is None else high)


def _segment(row: Mapping[str, Any], energy: Estimate, emissions: Estimate, began: str) -> Segment:
    errors, of_grid = row["energy_errors"], row["emissions_errors"]
    return Segment(
        row["run_id"],
        began,
        row["duration_s"],
        energy.value,
        emissions.value,
        json.loads(errors) if errors else None,
        json.loads(of_grid) if of_grid else {},
        row["foreign_kwh"] or 0.0,
    )
