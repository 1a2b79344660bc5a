"""Reads the runs of an export in Parquet, as `history.read` reads those of receipts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from carbon_core.decoding import DecodingError, decoded, parsed
from carbon_core.errors import OutputError
from carbon_core.fleet.columns import RUNS, TABLES
from carbon_core.fleet.formats import Parquet
from carbon_core.fleet.places import Directory
from carbon_core.input_files import InputFileError
from carbon_core.job_environment import JobFacts
from carbon_core.limits import Amount, Share, Time
from carbon_core.outputs.history import PastRun, Skipped
from carbon_core.record import record
from carbon_core.records import Estimate, Segment
from carbon_core.trials import StudyFacts, TrialResult
from carbon_core.uncertainty import Sigmas

_TABLE = TABLES[-1]
_TRIALS: Any = tuple[TrialResult, ...]


@record(frozen=True)
class _Row:
    """A row of the table of runs, as anyone may have written it; empty texts are null there."""

    run_id: str
    duration_s: float
    counted: Share
    is_known: bool
    project_name: str | None = None
    project: str | None = None
    kind: str | None = None
    status: str | None = None
    started_at: Time | None = None
    ended_at: Time | None = None
    part_of: str | None = None
    within: str | None = None
    energy_kwh: float | None = None
    energy_low_kwh: Amount | None = None
    energy_high_kwh: Amount | None = None
    emissions_kg: float | None = None
    emissions_low_kg: Amount | None = None
    emissions_high_kg: Amount | None = None
    energy_errors: str | None = None
    emissions_errors: str | None = None
    foreign_kwh: float | None = None
    study: str | None = None
    trials: str | None = None
    counted_in_study: Share | None = None
    source: str | None = None
    scheduler: str | None = None
    job_id: str | None = None
    array_id: str | None = None
    array_index: str | None = None
    job_step: str | None = None
    node: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    user_name: str | None = None

    @property
    def job(self) -> JobFacts | None:
        """The job that the run belongs to, if any."""
        if not self.scheduler:
            return None
        texts = (
            self.job_id, self.array_id, self.array_index, self.job_step, self.node, self.cluster,
            self.namespace, self.user_name,
        )  # fmt: skip
        return JobFacts(self.scheduler, *(text or "" for text in texts))

    @property
    def energy(self) -> Estimate:
        """Energy in kWh; both ends equal the value where there is no interval."""
        return _estimate(self.energy_kwh, self.energy_low_kwh, self.energy_high_kwh)

    @property
    def emissions(self) -> Estimate:
        """Emissions in kg CO2e, with the same rule."""
        return _estimate(self.emissions_kg, self.emissions_low_kg, self.emissions_high_kg)


_NAMES = tuple(_Row.__dataclass_fields__)


def runs(path: Path) -> Iterator[PastRun | Skipped]:
    """Yield the runs of an export, and the files and rows that cannot be used.

    Raises:
        ImportError: pyarrow is missing.
    """
    place = Directory(path)
    for name in place.names():
        if name.startswith(f"{RUNS}/month=") and name.endswith(Parquet.suffix):
            try:
                yield from _runs(path / name, place.read(name))
            except OSError as error:
                yield Skipped(path / name, InputFileError(path / name, error).reason)
            except OutputError as error:
                yield Skipped(path / name, str(error))


def _runs(path: Path, data: bytes) -> Iterator[PastRun | Skipped]:
    """Yield the runs of a file; of the rows that cannot be used, the first one with the reason."""
    reason, count = "", 0
    for number, cells in enumerate(Parquet().read(_TABLE, data, _NAMES), 1):
        try:
            yield _run(decoded(_Row, _as_json(dict(zip(_NAMES, cells)))))
        except DecodingError as error:
            reason, count = reason or f"row {number}: {error}", count + 1
    if reason:
        yield Skipped(path, f"{reason} ({count:,} rows skipped)" if count > 1 else reason)


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row that are not null, with its times as text."""
    return {
        name: _text(value) if isinstance(value, datetime) else value
        for name, value in row.items()
        if value is not None
    }


def _run(row: _Row) -> PastRun:
    is_row = row.status is None
    # A CSV file has the local time of the end.
    time = row.ended_at if is_row else row.started_at
    segment = None if is_row else _segment(row)
    return PastRun(
        row.run_id,
        row.project_name or "",
        time or "",
        row.status or "",
        row.duration_s,
        row.energy,
        row.emissions,
        None if is_row else Sigmas(0.0, 0.0),
        path=None if is_row else Path(row.source or ""),
        is_known=row.is_known,
        project_label=row.project or "",
        kind=row.kind or "",
        within=tuple((row.within or "").split()),
        part_of=row.part_of or "",
        counted=row.counted,
        segment=segment,
        study=decoded(StudyFacts, parsed(row.study)) if row.study else None,
        trials=decoded(_TRIALS, parsed(row.trials)) if row.trials else (),
        job=row.job,
        counted_in_study=1.0 if row.counted_in_study is None else row.counted_in_study,
    )


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds") + "+00:00"


def _estimate(given: float | None, low: float | None, high: float | None) -> Estimate:
    value = given or 0.0
    found = Estimate(value, value if low is None else low, value if high is None else high)
    if not found.low <= value <= found.high:
        raise DecodingError("a figure is not within its interval")
    return found


def _segment(row: _Row) -> Segment:
    """Return the run as a part of a sum, with its errors, which are JSON."""
    figures = {
        "run_id": row.run_id,
        "started_at": row.started_at,
        "duration_s": row.duration_s,
        "energy_kwh": row.energy.value,
        "emissions_kg": row.emissions.value,
        "energy_sd_kwh": parsed(row.energy_errors) if row.energy_errors else None,
        "intensity_sd_kg": parsed(row.emissions_errors) if row.emissions_errors else {},
        "foreign_kwh": row.foreign_kwh or 0.0,
    }
    return decoded(Segment, figures)
