"""Run results in CodeCarbon's format: the 38 fields of its CSV file, in their order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from carbon_core.records import Amounts
from carbon_core.report import Provenance, Report
from carbon_core.units import joules


@dataclass(frozen=True)
class EmissionsData:
    """One row of ``emissions.csv``.

    Units are CodeCarbon's: ``duration`` s, ``emissions`` kg, ``emissions_rate`` kg/s, powers W,
    energies kWh, ``water_consumed`` L, memory GB. Energies and powers include PUE. An unknown value
    is None, an empty cell of the file; without a GPU, `gpu_utilization_percent` is 0.

    Attributes:
        intensity_place: Not a column. Location of the intensity that applies to most of the energy; may
            be a part of the country, or ``world``.
        provenance: Not a column. Intervals and grades of the totals.
    """

    timestamp: str
    project_name: str
    run_id: str
    experiment_id: str | None
    duration: float
    emissions: float
    emissions_rate: float
    cpu_power: float
    gpu_power: float
    ram_power: float
    cpu_energy: float
    gpu_energy: float
    ram_energy: float
    energy_consumed: float
    water_consumed: float
    country_name: str | None
    country_iso_code: str | None
    region: str | None
    cloud_provider: str
    cloud_region: str
    os: str
    python_version: str
    codecarbon_version: str
    cpu_count: int | None
    cpu_model: str | None
    gpu_count: int
    gpu_model: str
    longitude: float | None
    latitude: float | None
    ram_total_size: float | None
    tracking_mode: str
    cpu_utilization_percent: float | None
    gpu_utilization_percent: float | None
    ram_utilization_percent: float | None
    ram_used_gb: float | None
    on_cloud: str
    pue: float
    wue: float
    intensity_place: str = field(default="", compare=False)
    provenance: Provenance | None = field(default=None, repr=False, compare=False)

    @property
    def values(self) -> dict[str, Any]:
        """The 38 columns by name, in order."""
        return {name: getattr(self, name) for name in COLUMNS}

    def toJSON(self) -> str:  # noqa: N802 - CodeCarbon's name for it
        """Return the 38 columns as JSON, sorted and indented by four as in CodeCarbon."""
        return json.dumps(self.values, sort_keys=True, indent=4)


_NOT_COLUMNS = frozenset({"intensity_place", "provenance"})
COLUMNS = tuple(f.name for f in fields(EmissionsData) if f.name not in _NOT_COLUMNS)
_NOT_OF_TASKS = frozenset({"experiment_id", "pue", "wue"})


def emissions_data(report: Report) -> EmissionsData:
    """Return a report in CodeCarbon's format."""
    run, host, load = report.run, report.host, report.utilization
    kilograms = report.emissions_kg.value
    ended = datetime.fromisoformat(report.ended_at).astimezone()
    return EmissionsData(
        timestamp=ended.strftime("%Y-%m-%dT%H:%M:%S"),
        project_name=run.project_name,
        run_id=run.run_id,
        experiment_id=run.experiment_id,
        duration=report.duration_s,
        emissions=kilograms,
        emissions_rate=kilograms / report.duration_s if report.duration_s > 0 else 0.0,
        cpu_power=report.component_w("cpu"),
        gpu_power=report.component_w("gpu"),
        ram_power=report.component_w("ram"),
        cpu_energy=report.component_kwh("cpu"),
        gpu_energy=report.component_kwh("gpu"),
        ram_energy=report.component_kwh("ram"),
        energy_consumed=report.energy_kwh.value,
        water_consumed=report.water_l,
        country_name=run.country_name or None,
        country_iso_code=run.country_iso_code or None,
        region=run.region or None,
        cloud_provider=run.cloud_provider,
        cloud_region=run.cloud_region,
        os=run.os,
        python_version=run.python_version,
        codecarbon_version=f"carbon-callbacks {run.package_version}",
        cpu_count=host.cpu_count,
        cpu_model=host.cpu_model,
        gpu_count=len(host.gpu_models),
        gpu_model=counted(host.gpu_models),
        longitude=None,
        latitude=None,
        ram_total_size=host.ram_total_gb,
        tracking_mode=run.tracking_mode,
        cpu_utilization_percent=load.cpu_percent,
        # CodeCarbon writes 0 without a GPU, and scripts compare it with numbers.
        gpu_utilization_percent=load.gpu_percent if host.gpu_models else 0.0,
        ram_utilization_percent=load.ram_percent,
        ram_used_gb=load.ram_used_gb,
        on_cloud="Y" if run.cloud_provider or run.cloud_region else "N",
        pue=run.pue,
        wue=run.wue,
        intensity_place=report.place,
        provenance=report.provenance,
    )


def delta_data(total: EmissionsData, delta: Amounts) -> EmissionsData:
    """Return a part of a run in CodeCarbon's format.

    Args:
        total: The run.
        delta: Amounts of the part.
    """
    duration_s = delta.duration_s

    def mean_w(kwh: float) -> float:
        return joules(kwh) / duration_s if duration_s > 0 else 0.0

    return replace(
        total,
        duration=duration_s,
        emissions=delta.emissions_kg,
        emissions_rate=delta.emissions_kg / duration_s if duration_s > 0 else 0.0,
        cpu_power=mean_w(delta.cpu_energy_kwh),
        gpu_power=mean_w(delta.gpu_energy_kwh),
        ram_power=mean_w(delta.ram_energy_kwh),
        cpu_energy=delta.cpu_energy_kwh,
        gpu_energy=delta.gpu_energy_kwh,
        ram_energy=delta.ram_energy_kwh,
        energy_consumed=delta.energy_kwh,
        water_consumed=delta.water_l,
    )


@dataclass(frozen=True)
class TaskEmissionsData:
    """One row of the tasks' file: CodeCarbon's columns, in the units of `EmissionsData`."""

    task_name: str
    data: EmissionsData = field(repr=False)

    @property
    def values(self) -> dict[str, Any]:
        """The columns by name, in order."""
        rest = {name: v for name, v in self.data.values.items() if name not in _NOT_OF_TASKS}
        return {"task_name": self.task_name, **rest}

    def __getattr__(self, name: str) -> Any:
        # CodeCarbon's outputs read the columns. Copying looks up `data` before it is set.
        if name in COLUMNS and name not in _NOT_OF_TASKS:
            return getattr(self.data, name)
        raise AttributeError(name)


TASK_COLUMNS = ("task_name", *(name for name in COLUMNS if name not in _NOT_OF_TASKS))


def task_data(name: str, report: Report) -> TaskEmissionsData:
    """Return a task in CodeCarbon's format."""
    return TaskEmissionsData(name, emissions_data(report))


def counted(models: tuple[str, ...]) -> str:
    """Return model names with their counts, such as ``2 x A100, 1 x T4``."""
    return ", ".join(f"{models.count(model)} x {model}" for model in dict.fromkeys(models))
