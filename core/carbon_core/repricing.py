"""Recomputes the emissions of a finished run with another grid intensity, hour by hour."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from carbon_core import uncertainty, units
from carbon_core.errors import IntensityError
from carbon_core.hours import iso_hour, utc
from carbon_core.input_files import text_of
from carbon_core.intensity.live import MAX_G_PER_KWH, by_hour
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.record import record
from carbon_core.records import Estimate, HourEnergy, Intensity, IntensityShare

_TIME, _VALUE = "datetime", "g_per_kwh"
_BYTE_ORDER_MARK = "\ufeff"
IntensityOf = Callable[[str], Intensity]


@record(frozen=True)
class Finished:
    """The data of a finished run that are needed to recompute its emissions.

    Attributes:
        run_id: The run's id.
        project_name: Its project.
        place: Location whose intensity applies to most of its energy.
        pue: Power usage effectiveness.
        hours: Its energy by the hour.
        energy_kwh: Its energy with the 95 % interval, times PUE.
        emissions_kg: Its emissions in kg CO2e with their 95 % interval.
        duration_s: Its length in seconds.
    """

    run_id: str
    project_name: str
    place: str
    pue: float
    hours: tuple[HourEnergy, ...]
    energy_kwh: Estimate
    emissions_kg: Estimate
    duration_s: float


@record(frozen=True)
class Repriced:
    """A run's recomputed emissions.

    Attributes:
        emissions_kg: Emissions in kg CO2e with their 95 % interval.
        hours: Its energy by the hour, with the new emissions.
        intensities: The intensities in use, each once.
    """

    emissions_kg: Estimate
    hours: tuple[HourEnergy, ...]
    intensities: tuple[Intensity, ...]


def finished(found: Receipt) -> Finished:
    """Return the data of a run that are needed to recompute its emissions."""
    run, emissions = found.run, found.emissions_kg.estimate
    hours = tuple(
        HourEnergy(
            hour.start, units.joules(hour.hardware_energy_kwh), units.grams(hour.emissions_kg)
        )
        for hour in found.hours
    )
    total_j, total_g = units.joules(found.hardware_energy_kwh or 0.0), units.grams(emissions.value)
    return Finished(
        run.run_id,
        run.project_name,
        found.place,
        run.pue,
        hours or _one_hour(run.started_at, total_j, total_g),
        found.energy_kwh.estimate,
        emissions,
        found.duration_s,
    )


def reprice(run: Finished, intensity_of: IntensityOf) -> Repriced:
    """Recompute the emissions of every hour of a run.

    Args:
        run: The run.
        intensity_of: Returns the intensity of an hour (ISO time in UTC, as `HourEnergy.start`).

    Raises:
        IntensityError: The intensity of an hour of the run is not available.
    """
    intensities = [intensity_of(hour.start) for hour in run.hours]
    hours = tuple(
        hour._replace(grams=units.kwh(hour.joules) * run.pue * intensity.g_per_kwh)
        for hour, intensity in zip(run.hours, intensities)
    )
    total_g = sum(hour.grams for hour in hours)
    shares = _shares(hours, intensities)
    sigma_ln = uncertainty.intensity_sigma_ln(shares, run.duration_s, utc(hours[0].start).year)
    return Repriced(
        _with_interval(total_g / units.GRAMS_PER_KG, run.energy_kwh, sigma_ln),
        hours,
        tuple(share.intensity for share in shares),
    )


def _shares(
    hours: Iterable[HourEnergy], intensities: Iterable[Intensity]
) -> tuple[IntensityShare, ...]:
    """Return the part of the energy of each intensity, which may apply to several hours."""
    shares: dict[Intensity, IntensityShare] = {}
    for hour, one in zip(hours, intensities):
        before = shares.get(one, IntensityShare(one, 0.0, 0.0))
        shares[one] = IntensityShare(one, before.joules + hour.joules, before.grams + hour.grams)
    return tuple(shares.values())


def read_intensities(path: Path) -> IntensityOf:
    """Return the intensities of a CSV file; several values of an hour are averaged.

    Raises:
        IntensityError: The file cannot be read or parsed; the message names the line.
    """
    return of_hours(intensities_in(path), str(path))


def intensities_in(path: Path) -> list[Intensity]:
    """Return the values of a CSV file with the columns ``datetime`` and ``g_per_kwh``.

    A value applies to the hour that contains its time. Times without a zone are UTC.

    Raises:
        IntensityError: The file cannot be read or parsed; the message names the line.
    """
    try:
        table = csv.DictReader(
            io.StringIO(text_of(path).removeprefix(_BYTE_ORDER_MARK), newline="")
        )
        missing = {_TIME, _VALUE} - set(table.fieldnames or ())
        if missing:
            raise IntensityError(f"{path} has no column {' and no '.join(sorted(missing))}")
        return [_row(row, path, table.line_num) for row in table]
    except OSError as error:
        raise IntensityError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise IntensityError(f"{path} cannot be read: {error}") from error


def of_hours(values: Iterable[Intensity], source: str) -> IntensityOf:
    """Return a function that returns the mean of an hour's values.

    Args:
        values: The values, each with its time.
        source: Their source, named in the message about an hour without a value.
    """
    means = by_hour(values)

    def intensity_of(hour: str) -> Intensity:
        if hour not in means:
            raise IntensityError(f"{source} has no value for the hour {hour}")
        return means[hour]

    return intensity_of


def _row(row: Mapping[str, Any], path: Path, line: int) -> Intensity:
    where = f"{path}, line {line}"
    try:
        time = utc(str(row[_TIME])).isoformat()
        value = float(row[_VALUE])
    except (TypeError, ValueError) as error:
        raise IntensityError(f"{where}: {error}") from error
    if not (math.isfinite(value) and 0.0 <= value <= MAX_G_PER_KWH):
        raise IntensityError(f"{where}: {_VALUE} must be from 0 to {MAX_G_PER_KWH:g}, not {value}")
    return Intensity(value, "as in the file", path.name, "user", None, 0.0, time=time)


def _one_hour(started_at: str, joules: float, grams: float) -> tuple[HourEnergy, ...]:
    """Return all of a run's energy as that of its first hour, for runs stored without hours."""
    return (HourEnergy(iso_hour(utc(started_at)), joules, grams),)


def _with_interval(value: float, energy: Estimate, intensity_sigma_ln: float) -> Estimate:
    """Return emissions with an interval that combines those of the energy and the intensity."""
    if energy.value <= 0:
        return Estimate(value, value, value)
    energy_ln, foreign_share = uncertainty.sigma_and_foreign_share(energy)
    return uncertainty.interval(value, math.hypot(energy_ln, intensity_sigma_ln), foreign_share)
