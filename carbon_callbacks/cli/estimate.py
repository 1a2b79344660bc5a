"""``carbon-callbacks estimate``: energy, time and emissions of a training before it runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import typer

from carbon_callbacks.cli.estimate_dry_run import planned_by
from carbon_callbacks.cli.tables import Column, show
from carbon_callbacks.cli.terminal import PlainConsole, say, say_wrapped, warn, write_data
from carbon_callbacks.cli.tracking import WRONG_USE, overrides_of, settings_of
from carbon_core.assemble.build import detected_hardware
from carbon_core.assemble.grid import place_of, source_of
from carbon_core.clock import SystemClock
from carbon_core.config.resolve import resolve
from carbon_core.config.schema import Settings
from carbon_core.config.sources import process_environment
from carbon_core.errors import CarbonError
from carbon_core.estimation import (
    Cost,
    HourCost,
    Planned,
    TrainingEstimate,
    by_start_hour,
    cost,
    from_flops,
    from_runs,
    middle,
    of_machine,
)
from carbon_core.fetch import fetcher
from carbon_core.formatting import (
    emissions,
    emissions_interval,
    energy,
    energy_interval,
    formatted,
)
from carbon_core.input_files import InputFileError
from carbon_core.intensity import tables
from carbon_core.intensity.location import locate
from carbon_core.outputs import past_runs
from carbon_core.outputs.emissions_data import counted
from carbon_core.outputs.receipt import estimate_data
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.records import Estimate, Intensity
from carbon_core.repricing import intensities_in
from carbon_core.run_facts import Work

EXCEEDED, UNCERTAIN = 1, 3
# Shown where no country is chosen: large grids, and some with the lowest and the highest intensity.
_COUNTRIES = ("SWE", "FRA", "GBR", "DEU", "USA", "CHN", "POL", "IND")
# Days of a live source that show how the hours of a day differ.
_DAYS = 7
_TERA = 1e12
_PLACES = (
    Column("place", folds=True),
    Column("g/kWh", dropped=1),
    Column("emissions (95 %)", wraps=True),
)
_HOURS = (Column("start (UTC)"), Column("g/kWh", dropped=1), Column("emissions (95 %)", wraps=True))


class Request(NamedTuple):
    """Arguments of the command line.

    Attributes:
        command: A program to make a dry run of; empty for none.
        steps: Steps of its dry run.
        work: Amount of work of the planned training, for past runs.
        any_machine: Whether past runs of another machine count.
        flops: Floating-point operations of the training, or None.
        peak_tflops: Total peak of the devices in TFLOP/s, or None.
        utilization: Ends of the part of the peak that is achieved, as ``0.3-0.5``, or None.
        power: Ends of the total mean power in watts, as ``300-400``, or None.
        countries: Countries to compare.
        intensity: A CSV file of hourly intensities, or None.
        settings: Settings as ``key=value``.
        as_json: Print JSON instead of tables.
    """

    command: Sequence[str] = ()
    steps: int = 50
    work: Work = Work()
    any_machine: bool = False
    flops: float | None = None
    peak_tflops: float | None = None
    utilization: str | None = None
    power: str | None = None
    countries: Sequence[str] = ()
    intensity: Path | None = None
    settings: Sequence[str] = ()
    as_json: bool = False


def run(request: Request) -> None:
    """Print an estimate; exit with 1 if a budget is exceeded, with 3 if that is uncertain.

    Args:
        request: The arguments.
    """
    overrides = overrides_of(request.settings)
    settings = settings_of(overrides)
    try:
        planned = _planned(request, settings, overrides)
        year = SystemClock().now().year
        located = locate(place_of(settings, process_environment()))
        limits = {"budget_kwh": settings.budget_kwh, "budget_kg_co2e": settings.budget_kg_co2e}
        found = TrainingEstimate(
            planned,
            cost(planned, located.intensity, year),
            {name: limit for name, limit in limits.items() if limit is not None},
            year,
        )
        elsewhere = _elsewhere(found, request.countries)
        hours = by_start_hour(planned, _hourly(request, settings))
    except CarbonError as error:
        _fail(str(error))
    if request.as_json:
        write_data(json.dumps(_data(found, elsewhere, hours), indent=2))
    else:
        _print(found, elsewhere, hours)
    if found.budget in ("exceeded", "uncertain"):
        raise typer.Exit(EXCEEDED if found.budget == "exceeded" else UNCERTAIN)


def _planned(request: Request, settings: Settings, overrides: dict[str, str]) -> Planned:
    """Return energy and time of the training, by the chosen source."""
    if request.command and request.flops is not None:
        _fail("choose either a COMMAND or --flops")
    if request.command:
        return planned_by(request.command, request.steps, overrides)
    if request.flops is not None:
        return _by_flops(request, request.flops)
    return _by_past_runs(request, settings)


def _by_flops(request: Request, flops: float) -> Planned:
    if request.peak_tflops is None or request.utilization is None or request.power is None:
        _fail(
            "--flops needs --peak-tflops, --utilization and --power of your hardware, such as "
            "--peak-tflops 312 --utilization 0.3-0.5 --power 300-400 (docs/estimate.md)"
        )
    peak_flops_per_s = request.peak_tflops * _TERA
    if not (math.isfinite(flops) and math.isfinite(peak_flops_per_s)):
        _fail("--flops and --peak-tflops must be finite numbers")
    utilization = _ends(request.utilization, "--utilization", most=1.0)
    power_w = _ends(request.power, "--power")
    return from_flops(flops, peak_flops_per_s, utilization, power_w)


def _ends(text: str, option: str, most: float | None = None) -> Estimate:
    """Return a figure from the ends of its interval; exit with 2 if they are invalid."""
    low, _, high = text.partition("-")
    try:
        ends = float(low), float(high or low)
    except ValueError:
        ends = (0.0, 0.0)
    is_valid = 0.0 < ends[0] <= ends[1] < float("inf") and (most is None or ends[1] <= most)
    if not is_valid:
        at_most = f", at most {most:g}" if most else ""
        _fail(f"{option} must be LOW-HIGH with numbers above 0{at_most}; got {text!r}")
    return middle(*ends)


def _by_past_runs(request: Request, settings: Settings) -> Planned:
    if sum(amount is not None for amount in request.work) > 1:
        _fail("choose one of --train-steps, --samples and --tokens")
    directory = Path(settings.output_dir)
    runs: list[Receipt] = []
    for path, one in past_runs.in_directory(directory):
        if isinstance(one, InputFileError):
            warn(f"{path}: {one.reason}")
        elif one.run.project_name == settings.project_name:
            runs.append(one)
    is_here = _is_this_machine(settings)
    chosen = of_machine(runs, (lambda one: True) if request.any_machine else is_here)
    if chosen and request.any_machine:
        latest = _machine_of(chosen[-1])
        chosen = [one for one in chosen if _machine_of(one) == latest]
    if not chosen:
        _fail(_no_runs(settings, directory, of_machine(runs, lambda one: True)))
    return from_runs(chosen, request.work)


def _is_this_machine(settings: Settings) -> Callable[[Receipt], bool]:
    found = detected_hardware(settings, process_environment())
    here = found["cpu_model"], found["cpu_count"], found["gpu_model"]
    return lambda one: _machine_of(one) == here


def _machine_of(run: Receipt) -> tuple[Any, ...]:
    return run.host.cpu_model, run.host.cpu_count, counted(run.host.gpu_models)


def _no_runs(settings: Settings, directory: Path, elsewhere: Sequence[Receipt]) -> str:
    which = f"of project {settings.project_name}"
    if not elsewhere:
        return (
            f"no completed training {which} in {directory}: make a dry run "
            "(carbon-callbacks estimate -- python train.py), or use --flops"
        )
    cpu, _, gpu = _machine_of(elsewhere[-1])
    machine = " with ".join(filter(None, [str(cpu), gpu]))
    return f"no completed training {which} on this machine; --any-machine uses those on {machine}"


def _elsewhere(found: TrainingEstimate, countries: Sequence[str]) -> list[Cost]:
    codes = [resolve({"country_iso_code": one}).settings.country_iso_code for one in countries]
    shown = [found.in_country(code or "") for code in codes or _COUNTRIES]
    if not countries:
        shown.append(cost(found.planned, tables.world(), found.year))
    return sorted(
        (one for one in shown if one.intensity.place != found.here.intensity.place),
        key=lambda one: one.emissions_kg.value,
    )


def _hourly(request: Request, settings: Settings) -> Sequence[Intensity]:
    """Return hourly intensities: of a file, or of the last days of the live source that is set."""
    if request.intensity is not None:
        return intensities_in(request.intensity)
    if not settings.intensity_source:
        return ()
    clock = SystemClock()
    try:
        source = source_of(settings, fetcher(clock), place_of(settings, process_environment()))
        return source.between(clock.now() - timedelta(days=_DAYS), clock.now())
    except CarbonError as error:
        warn(f"no hourly intensities: {error}")
        return ()


def _data(
    found: TrainingEstimate, elsewhere: Sequence[Cost], hours: Sequence[HourCost]
) -> dict[str, Any]:
    planned = found.planned
    return {
        "basis": planned.basis,
        "energy_kwh": estimate_data(found.energy_kwh),
        "duration_s": estimate_data(found.duration_s),
        "emissions_kg": estimate_data(found.emissions_kg),
        "place": found.here.intensity.place,
        "intensity_g_per_kwh": found.here.intensity.g_per_kwh,
        "per": planned.per or None,
        "energy_per_unit_j": estimate_data(planned.rate_j) if planned.rate_j else None,
        "amount": planned.amount,
        "elsewhere": [
            {
                "place": one.intensity.place,
                "intensity_g_per_kwh": one.intensity.g_per_kwh,
                "source": one.intensity.source,
                "year": one.intensity.year,
                "emissions_kg": estimate_data(one.emissions_kg),
            }
            for one in elsewhere
        ],
        "by_start_hour_utc": [
            {**one._asdict(), "emissions_kg": estimate_data(one.emissions_kg)} for one in hours
        ],
        "budgets": found.budgets,
    }


def _print(found: TrainingEstimate, elsewhere: Sequence[Cost], hours: Sequence[HourCost]) -> None:
    planned, console = found.planned, PlainConsole()
    say_wrapped(found.summary())
    if planned.rate_j is not None and planned.amount is not None:
        kwh = planned.rate_j.scaled(1.0 / 3.6e6)
        say(f"per {planned.per}: {energy_interval(kwh)}; {planned.amount:.15g} {planned.per}s")
    show(console, _PLACES, map(_place_cells, [found.here, *elsewhere]), title="By place")
    if hours:
        show(console, _HOURS, map(_hour_cells, hours), title="By hour of the start")
        best, worst = (choose(hours, key=lambda one: one.g_per_kwh) for choose in (min, max))
        say(f"lowest at {best.hour:02}:00, highest at {worst.hour:02}:00 UTC")
    amounts = {"budget_kwh": energy, "budget_kg_co2e": emissions}
    for name, state in found.budgets.items():
        say(f"{name} {amounts[name](found.limits[name])}: {_STATES[state]}")


_STATES = {
    "holds": "holds",
    "uncertain": "uncertain; it is within the interval",
    "exceeded": "exceeded",
}


def _place_cells(one: Cost) -> tuple[str, ...]:
    return (
        one.intensity.place, formatted(one.intensity.g_per_kwh), emissions_interval(one.emissions_kg),
    )  # fmt: skip


def _hour_cells(one: HourCost) -> tuple[str, ...]:
    return f"{one.hour:02}:00", formatted(one.g_per_kwh), emissions_interval(one.emissions_kg)


def _fail(reason: str) -> NoReturn:
    warn(reason)
    raise typer.Exit(WRONG_USE)
