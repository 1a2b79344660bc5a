"""``carbon-callbacks reprice``: recomputes the emissions of a finished run at another intensity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import typer

from carbon_callbacks.cli.tables import Column, show
from carbon_callbacks.cli.terminal import PlainConsole, warn, write_data
from carbon_core import repricing
from carbon_core.assemble.grid import place_of, source_of
from carbon_core.clock import SystemClock
from carbon_core.config.resolve import resolve
from carbon_core.config.sources import process_environment
from carbon_core.errors import CarbonError
from carbon_core.fetch import fetcher
from carbon_core.formatting import emissions_interval, energy, formatted
from carbon_core.hours import utc
from carbon_core.intensity.location import Place, locate
from carbon_core.outputs import past_runs
from carbon_core.outputs.receipt import estimate_data
from carbon_core.records import Estimate, Intensity
from carbon_core.repricing import Finished, IntensityOf
from carbon_core.units import GRAMS_PER_KG

_COLUMNS = (
    Column("grid intensity", folds=True),
    Column("g/kWh", dropped=1),
    Column("emissions (95 %)", wraps=True),
)
# A source sends the values of a few weeks at most per request.
_LONGEST_REQUEST = timedelta(days=366)


def run(path: Path, *, where: Mapping[str, str], intensity: str | None, as_json: bool) -> None:
    """Recompute the emissions of a run and print both results.

    Args:
        path: A receipt or a journal.
        where: Settings of the location, and of a live source.
        intensity: Grams per kWh, or a CSV file with the columns ``datetime`` and ``g_per_kwh``.
        as_json: Print JSON instead of a table.
    """
    try:
        found = past_runs.read(path)
        if not found.is_known:
            _fail(f"{path}: its energy is unknown, so it has no emissions")
        finished = repricing.finished(found)
        repriced = repricing.reprice(finished, _intensity_of(finished, where, intensity))
    except CarbonError as error:
        _fail(str(error))
    if as_json:
        write_data(json.dumps(_data(finished, repriced), indent=2))
    else:
        _print_table(found.run.project_label, finished, repriced)


def _intensity_of(run: Finished, where: Mapping[str, str], intensity: str | None) -> IntensityOf:
    if intensity is not None:
        if where:
            _fail("choose either --intensity or a location")
        return _own(intensity)
    if not where:
        _fail(
            "choose an intensity: --country France, --zone FR, --intensity 50 or --intensity FILE.csv"
        )
    if "intensity_source" in where:
        return _live_intensity(run, where)
    found = locate(
        Place(
            country=_country(where.get("country_iso_code")),
            region=where.get("region"),
            zone=where.get("electricitymaps_zone"),
        )
    )
    if found.problem:
        _fail(found.problem)
    return lambda hour: found.intensity


def _country(name: str | None) -> str | None:
    """Return the code of a country by its code or name."""
    return resolve({"country_iso_code": name}).settings.country_iso_code if name else None


def _own(intensity: str) -> IntensityOf:
    try:
        own = locate(Place(own_g_per_kwh=float(intensity))).intensity
    except ValueError:
        return repricing.read_intensities(Path(intensity))
    if not own.g_per_kwh >= 0:
        _fail(f"--intensity must be at least 0, got {intensity}")
    return lambda hour: own


def _live_intensity(run: Finished, where: Mapping[str, str]) -> IntensityOf:
    """Fetch the intensity of a run's hours from a live source."""
    settings = resolve(where).settings
    clock = SystemClock()
    source = source_of(settings, fetcher(clock), place_of(settings, process_environment()))
    hours = [utc(hour.start) for hour in run.hours]
    if max(hours) - min(hours) > _LONGEST_REQUEST:
        _fail(f"the hours of the run are more than {_LONGEST_REQUEST.days} days apart")
    values = source.between(min(hours), max(hours) + timedelta(hours=1))
    return repricing.of_hours(values, source.name)


def _data(run: Finished, repriced: repricing.Repriced) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "energy_kwh": estimate_data(run.energy_kwh),
        "emissions_kg": estimate_data(run.emissions_kg),
        "repriced_emissions_kg": estimate_data(repriced.emissions_kg),
        "intensities": [asdict(one) for one in repriced.intensities],
        "hours": [hour._asdict() for hour in repriced.hours],
    }


def _print_table(label: str, run: Finished, repriced: repricing.Repriced) -> None:
    rows = [
        (run.place, *_figures(run, run.emissions_kg)),
        (_names(repriced.intensities), *_figures(run, repriced.emissions_kg)),
    ]
    title = f"{label}, {energy(run.energy_kwh.value)}: {run.run_id}"
    show(PlainConsole(), _COLUMNS, rows, title=title)


def _figures(run: Finished, emissions_kg: Estimate) -> tuple[str, str]:
    kwh = run.energy_kwh.value
    mean = formatted(emissions_kg.value * GRAMS_PER_KG / kwh) if kwh else "-"
    return mean, emissions_interval(emissions_kg)


def _names(intensities: tuple[Intensity, ...]) -> str:
    years = {one.year for one in intensities if one.year}
    names = "; ".join(dict.fromkeys(f"{one.place} ({one.source})" for one in intensities))
    return f"{names}, {min(years)}" if years else names


def _fail(reason: str) -> NoReturn:
    warn(reason)
    raise typer.Exit(2)
