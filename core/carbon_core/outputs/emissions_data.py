"""Run results in CodeCarbon's format: the 38 fields of its CSV file, in their order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from carbon_core.record import field, record, replace
from carbon_core.records import COMPONENTS, Amounts
from carbon_core.report import Provenance, Report
from carbon_core.run_facts import project_label
from carbon_core.shared_methods import options_of
from carbon_core.units import joules


class _Described:
    """What a result has beside CodeCarbon's fields: not a field, and not in its ``__dict__``."""

    __slots__ = ("_described",)

    @property
    def intensity_place(self) -> str:
        """Location of the intensity that applies to most of the energy.

        It may be a part of the country, or ``world``.
        """
        return self._description[0]

    @property
    def provenance(self) -> Provenance | None:
        """Intervals and grades of the totals."""
        return self._description[1]

    @property
    def _description(self) -> tuple[str, Provenance | None]:
        found: tuple[str, Provenance | None] = getattr(self, "_described", ("", None))
        return found


@record(frozen=True)
class EmissionsData(_Described):
    """One row of ``emissions.csv``.

    Units are CodeCarbon's: ``duration`` s, ``emissions`` kg, ``emissions_rate`` kg/s, powers W,
    energies kWh, ``water_consumed`` L, memory GB. Energies and powers include PUE. An unknown value
    is None, an empty cell of the file; without a GPU, `gpu_utilization_percent` is 0.
    """

    timestamp: str
    project_name: str
    run_id: str
    experiment_id: str | None
    duration: float
    emissions: float | None
    emissions_rate: float | None
    cpu_power: float | None
    gpu_power: float | None
    ram_power: float | None
    cpu_energy: float | None
    gpu_energy: float | None
    ram_energy: float | None
    energy_consumed: float | None
    water_consumed: float | None
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

    @property
    def values(self) -> dict[str, Any]:
        """The 38 columns by name, in order."""
        return {name: getattr(self, name) for name in COLUMNS}

    def toJSON(self) -> str:  # noqa: N802 - CodeCarbon's name for it
        """Return the 38 columns as JSON, sorted and indented by four as in CodeCarbon."""
        return json.dumps(self.values, sort_keys=True, indent=4)

    def compute_delta_emission(self, previous_emission: EmissionsData) -> None:
        """Subtract an earlier result of the run from this one, as CodeCarbon does.

        This changes an object that is frozen otherwise; `dataclasses.replace` makes a copy before.

        Args:
            previous_emission: The earlier result.
        """
        for name in _SUMMED:
            own, earlier = getattr(self, name), getattr(previous_emission, name)
            difference = None if own is None else own - (earlier or 0.0)
            object.__setattr__(self, name, difference)
        rate = None if self.emissions is None else _rate(self.emissions, self.duration)
        object.__setattr__(self, "emissions_rate", rate)

    def _repr_html_(self) -> str | None:
        """Return the totals as a small table for notebooks."""
        from carbon_core.notebook import html_of

        return html_of(self, lambda: _rows(self))

    def __getstate__(self) -> tuple[dict[str, Any], tuple[str, Provenance | None]]:
        return dict(self.__dict__), self._description

    def __setstate__(self, state: tuple[dict[str, Any], tuple[str, Provenance | None]]) -> None:
        self.__dict__.update(state[0])
        object.__setattr__(self, "_described", state[1])


COLUMNS = tuple(options_of(EmissionsData))
_SUMMED = (
    "duration", "emissions", "cpu_energy", "gpu_energy", "ram_energy", "energy_consumed",
    "water_consumed",
)  # fmt: skip
_MEASURED = (
    "emissions", "emissions_rate", "cpu_power", "gpu_power", "ram_power", "cpu_energy", "gpu_energy",
    "ram_energy", "energy_consumed", "water_consumed",
)  # fmt: skip
_NOT_OF_TASKS = frozenset({"experiment_id", "pue", "wue"})


def emissions_data(report: Report) -> EmissionsData:
    """Return a report in CodeCarbon's format."""
    run, host, load = report.run, report.host, report.utilization
    kilograms = report.emissions_kg.value
    ended = datetime.fromisoformat(report.ended_at).astimezone()
    latitude, longitude = _coordinates(run.settings)
    data = EmissionsData(
        timestamp=ended.strftime("%Y-%m-%dT%H:%M:%S"),
        project_name=run.project_name,
        run_id=run.run_id,
        experiment_id=run.experiment_id,
        duration=report.duration_s,
        emissions=kilograms,
        emissions_rate=_rate(kilograms, report.duration_s),
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
        longitude=longitude,
        latitude=latitude,
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
    )
    return _with_description(replace(data, **_unknown(report)), report.place, report.provenance)


def _unknown(report: Report) -> dict[str, Any]:
    """Return None for each figure that is unknown: of all components, or of those without a reading."""
    if not report.is_known:
        return dict.fromkeys(_MEASURED)
    unread = [name for name in COMPONENTS if not report.measures(name)]
    return dict.fromkeys(f"{name}_{kind}" for name in unread for kind in ("power", "energy"))


def _rate(kilograms: float, duration_s: float) -> float:
    return kilograms / duration_s if duration_s > 0 else 0.0


def _with_description(
    data: EmissionsData, place: str, provenance: Provenance | None
) -> EmissionsData:
    object.__setattr__(data, "_described", (place, provenance))
    return data


def _rows(data: EmissionsData) -> dict[str, str]:
    """Return the rows of a table for notebooks: names and texts."""
    from carbon_core.formatting import duration, emissions, energy

    components = {"CPU": data.cpu_energy, "GPU": data.gpu_energy, "RAM": data.ram_energy}
    return {
        "run": f"{project_label(data.project_name)}, {duration(data.duration)}",
        "energy": energy(data.energy_consumed),
        **{name: energy(kwh) for name, kwh in components.items() if kwh},
        "emissions": emissions(data.emissions),
        "place": data.intensity_place or data.country_name or "unknown",
    }


def _coordinates(settings: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return latitude and longitude, which are set together; None without them.

    The settings keep a tenth of a degree, and those of a run are text.
    """
    try:
        return float(str(settings.get("latitude"))), float(str(settings.get("longitude")))
    except ValueError:
        return None, None


def delta_data(total: EmissionsData, delta: Amounts) -> EmissionsData:
    """Return a part of a run in CodeCarbon's format.

    Args:
        total: The run.
        delta: Amounts of the part.
    """
    duration_s = delta.duration_s

    def mean_w(kwh: float) -> float:
        return joules(kwh) / duration_s if duration_s > 0 else 0.0

    part = replace(
        total,
        duration=duration_s,
        emissions=delta.emissions_kg,
        emissions_rate=_rate(delta.emissions_kg, duration_s),
        cpu_power=mean_w(delta.cpu_energy_kwh),
        gpu_power=mean_w(delta.gpu_energy_kwh),
        ram_power=mean_w(delta.ram_energy_kwh),
        cpu_energy=delta.cpu_energy_kwh,
        gpu_energy=delta.gpu_energy_kwh,
        ram_energy=delta.ram_energy_kwh,
        energy_consumed=delta.energy_kwh,
        water_consumed=delta.water_l,
    )
    unknown: dict[str, Any] = {name: None for name in _MEASURED if getattr(total, name) is None}
    return _with_description(replace(part, **unknown), total.intensity_place, total.provenance)


@record(frozen=True)
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
