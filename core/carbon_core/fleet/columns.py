"""The columns of the exported tables. Rows, files, schema and documentation are derived from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from carbon_core.data import rows as shipped_rows
from carbon_core.fleet import values
from carbon_core.fleet.values import RunSource, known, known_in_receipt
from carbon_core.outputs.receipt_reading import TaskEnergy

# Of the tables: raised when a column is renamed or removed, or has another meaning. Columns may be added
# without that.
SCHEMA_VERSION = 1

TEXT, INTEGER, NUMBER, BOOLEAN, TIME = "text", "integer", "number", "boolean", "time"
TYPES = (TEXT, INTEGER, NUMBER, BOOLEAN, TIME)
GRADES = ("A", "B", "C", "D", "E")
RUNS, PHASES, DEVICES, COUNTRIES = "runs", "phases", "devices", "countries"
_KWH, _KG = "kWh", "kg CO2e"
RUN, PART, BOTH = range(3)


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: Its name.
        type: One of `TYPES`.
        unit: Its unit, or an empty string.
        description: What it is.
        of: Returns its value of a row; a text is the path of an attribute.
        given: What `of` gets: the `RunSource` (`RUN`), its receipt or the part that the row is
            (`PART`), or a tuple of these (`BOTH`).
    """

    name: str
    type: str
    unit: str
    description: str
    of: Callable[[Any], Any] | str
    given: int = 0

    @property
    def get(self) -> Callable[[Any], Any]:
        """The function that returns its value."""
        return attrgetter(self.of) if isinstance(self.of, str) else self.of


class Table(NamedTuple):
    """A table of an export.

    Attributes:
        name: Its name, and that of its directory.
        row: What a row is, as text.
        columns: Its columns.
    """

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(column.name for column in self.columns)

    def row_of(self, run: object, part: object) -> list[Any]:
        """Return the values of a row.

        Args:
            run: The run.
            part: Its receipt, or what the row is a part of it; None for a row of a CSV file.
        """
        getters, texts = _GETTERS[self.name]
        if part is None:
            row = [None if given else get(run) for get, given in getters]
        else:
            sources = run, part, (run, part)
            row = [get(sources[given]) for get, given in getters]
        for i in texts:
            text = row[i]
            if not text:
                row[i] = None
            elif not text.isascii():  # a name of a directory may have lone surrogates
                row[i] = text.encode("utf-8", "replace").decode()
        return row


def _of_receipt(
    name: str, kind: str, unit: str, description: str, of: Callable[[Any], Any] | str
) -> Column:
    return Column(name, kind, unit, description, of, PART)


_of_part = _of_receipt
# fmt: off
_RUN_COLUMNS = (
    Column("run_id", TEXT, "", "Id of the run.", "run.run_id"),
    Column("month", TEXT, "", "Month in which it began (UTC): `2026-01`, or `unknown`.",
        "month"),
    Column("schema_version", INTEGER, "", "Version of the tables.", lambda one: SCHEMA_VERSION),
    Column("project", TEXT, "", "Project as `report` displays it.", "run.project_label"),
    Column("project_name", TEXT, "", "The setting `project_name`.", "run.project_name"),
    Column("kind", TEXT, "", "`training`, `evaluation`; null if unknown.", "run.kind"),
    Column("status", TEXT, "",
        "How it ended, such as `completed` or `failed`; `running` while it is measured; null in "
        "CSV files.", "run.status"),
    Column("started_at", TIME, "UTC", "When it began.", "began"),
    Column("ended_at", TIME, "UTC", "When it ended; of a running one, its last reading.",
        "ended"),
    Column("duration_s", NUMBER, "s", "Duration.", "run.duration_s"),
    Column("counted", NUMBER, "0 to 1",
        "Share of its energy that no other run includes. Multiply by it before adding up runs.",
        "run.counted"),
    Column("part_of", TEXT, "", "The run that includes its energy.", "run.part_of"),
    Column("within", TEXT, "",
        "Ids of the runs that it was started in, the innermost first, with blanks between them.",
        lambda one: " ".join(one.run.within)),
    Column("is_known", BOOLEAN, "",
        "Whether anything was measured. If not, energy and emissions are null.", "run.is_known"),
    Column("energy_kwh", NUMBER, _KWH, "Energy, times PUE.", known(attrgetter("energy_kwh.value"))),
    _of_receipt("energy_low_kwh", NUMBER, _KWH, "Low end of its 95 % interval.",
        known_in_receipt("energy_kwh.low_95")),
    _of_receipt("energy_high_kwh", NUMBER, _KWH, "High end.",
        known_in_receipt("energy_kwh.high_95")),
    Column("emissions_kg", NUMBER, _KG, "Emissions, location-based.",
        known(attrgetter("emissions_kg.value"))),
    _of_receipt("emissions_low_kg", NUMBER, _KG, "Low end of their 95 % interval.",
        known_in_receipt("emissions_kg.low_95")),
    _of_receipt("emissions_high_kg", NUMBER, _KG, "High end.",
        known_in_receipt("emissions_kg.high_95")),
    _of_receipt("cpu_energy_kwh", NUMBER, _KWH, "Energy of the processors, times PUE.",
        values.component_kwh("cpu")),
    _of_receipt("gpu_energy_kwh", NUMBER, _KWH, "Energy of the GPUs, times PUE.",
        values.component_kwh("gpu")),
    _of_receipt("ram_energy_kwh", NUMBER, _KWH, "Energy of the memory, times PUE.",
        values.component_kwh("ram")),
    _of_receipt("hardware_energy_kwh", NUMBER, _KWH, "Energy without PUE.",
        known_in_receipt("hardware_energy_kwh")),
    _of_receipt("net_energy_kwh", NUMBER, _KWH, "Energy above idle, where a baseline is known.",
        "net_energy_kwh"),
    _of_receipt("node_energy_kwh", NUMBER, _KWH, "Estimate for the whole node.", "node_energy_kwh"),
    _of_receipt("power_w", NUMBER, "W", "Mean power, times PUE.",
        known_in_receipt("power_w")),
    _of_receipt("water_l", NUMBER, "l", "Water; 0 unless `wue` is set.", values.water_l),
    _of_receipt("pue", NUMBER, "", "Power usage effectiveness.", "run.pue"),
    _of_receipt("is_estimate", BOOLEAN, "",
        "Whether more than a fifth of the energy is from models.", "is_estimate"),
    *(_of_receipt(f"share_grade_{grade.lower()}", NUMBER, "0 to 1",
        f"Share of the energy with grade {grade}.", values.grade_share(grade)) for grade in GRADES),
    _of_receipt("methods", TEXT, "", "Methods of measurement.",
        lambda found: ", ".join(sorted({one.method for one in found.devices}))),
    _of_receipt("missing_s", NUMBER, "s", "Longest time for which a device was not read.",
        lambda found: max((one.missing_s for one in found.devices), default=None)),
    _of_receipt("country", TEXT, "", "Country.", "run.country_name"),
    _of_receipt("country_iso_code", TEXT, "", "Its three-letter code.", "run.country_iso_code"),
    _of_receipt("region", TEXT, "", "State or province.", "run.region"),
    _of_receipt("cloud_provider", TEXT, "", "Cloud provider, such as `aws`.", "run.cloud_provider"),
    _of_receipt("cloud_region", TEXT, "", "Its region, such as `eu-west-3`.", "run.cloud_region"),
    _of_receipt("intensity_g_per_kwh", NUMBER, "g CO2e/kWh", "Mean grid intensity.",
        lambda found: found.intensity_g_per_kwh if found.intensities else None),
    _of_receipt("intensity_place", TEXT, "", "Place of the intensity of most of the energy.",
        values.main_intensity("place")),
    _of_receipt("intensity_source", TEXT, "", "Its source.", values.main_intensity("source")),
    _of_receipt("intensity_kind", TEXT, "", "`live`, `annual`, `world` or `user`.",
        values.main_intensity("kind")),
    _of_receipt("intensity_year", INTEGER, "", "Year of an annual average.",
        values.main_intensity("year")),
    _of_receipt("scheduler", TEXT, "", "Batch system, such as `slurm`.", values.job("scheduler")),
    _of_receipt("job_id", TEXT, "", "Id of the job.", values.job("job_id")),
    _of_receipt("array_id", TEXT, "",
        "Id that all elements of the job's array have, where it is not `job_id`.",
        values.job("array_id")),
    _of_receipt("array_index", TEXT, "", "Index within the job's array.", values.job("array_index")),
    _of_receipt("job_step", TEXT, "", "Step of the job.", values.job("step")),
    _of_receipt("cluster", TEXT, "", "Name of the cluster.", values.job("cluster")),
    _of_receipt("namespace", TEXT, "", "Namespace of a Kubernetes pod.", values.job("namespace")),
    _of_receipt("node", TEXT, "", "Name of the node.", values.job("node")),
    _of_receipt("user_name", TEXT, "", "User, if a setting records it.", values.job("user")),
    _of_receipt("rank", INTEGER, "", "Rank within the job.", "run.rank"),
    _of_receipt("cpu_model", TEXT, "", "Processor.", "host.cpu_model"),
    _of_receipt("cpu_count", INTEGER, "", "Logical processors.", "host.cpu_count"),
    _of_receipt("ram_total_gib", NUMBER, "GiB", "Memory.", "host.ram_total_gb"),
    _of_receipt("gpu_model", TEXT, "", "Models of the GPUs that were measured.",
        lambda found: ", ".join(dict.fromkeys(found.host.gpu_models))),
    _of_receipt("gpu_count", INTEGER, "", "Number of these GPUs.",
        lambda found: len(found.host.gpu_models)),
    _of_receipt("training_steps", NUMBER, "", "Steps of the training.", "work.steps"),
    _of_receipt("training_samples", NUMBER, "", "Samples of the training.", "work.samples"),
    _of_receipt("training_tokens", NUMBER, "", "Tokens of the training.", "work.tokens"),
    _of_receipt("training_flops", NUMBER, "FLOP", "Operations of the training.", "work.flops"),
    _of_receipt("requests", INTEGER, "", "Completed requests of a server.",
        values.requests("completed")),
    _of_receipt("request_tokens", INTEGER, "", "Their tokens.", values.requests("tokens")),
    _of_receipt("accuracy_metric", TEXT, "",
        "Logged metric of accuracy: that of a test before one of validation.", values.accuracy(0)),
    _of_receipt("accuracy", NUMBER, "", "Its last value, as it was logged.", values.accuracy(1)),
    _of_receipt("logged_metrics", TEXT, "JSON", "Last values of the logged metrics by name.",
        lambda found: values.as_json(found.logged_metrics)),
    Column("study_id", TEXT, "", "Study that it belongs to.", values.of_study("study_id")),
    Column("trial_id", TEXT, "", "Trial that it is.", values.of_study("trial_id")),
    Column("counted_in_study", NUMBER, "0 to 1", "As `counted`, among the runs of its study.",
        lambda one: one.run.counted_in_study if one.run.study else None),
    Column("study", TEXT, "JSON", "Facts of the study.", values.study_json),
    Column("trials", TEXT, "JSON", "Trials that it measured.", values.trials_json),
    Column("energy_errors", TEXT, "JSON, kWh",
        "Standard deviations of the energy by cause; those with one name are correlated between runs.",
        values.errors("energy_sd_kwh")),
    Column("emissions_errors", TEXT, "JSON, kg",
        "Those of the emissions that the grid intensity causes, by place.",
        values.errors("intensity_sd_kg")),
    Column("foreign_kwh", NUMBER, _KWH, "Energy that may be other users'.",
        lambda one: one.run.segment.foreign_kwh if one.run.segment else None),
    _of_receipt("package_version", TEXT, "", "Version of carbon-callbacks.", "run.package_version"),
    _of_receipt("python_version", TEXT, "", "Version of Python.", "run.python_version"),
    _of_receipt("os", TEXT, "", "Operating system.", "run.os"),
    Column("source", TEXT, "", "File that the run was read from.", "file.path"),
    Column("source_size_bytes", INTEGER, "B", "Its size.", "file.size_bytes"),
    Column("source_mtime_ns", INTEGER, "ns", "Time of its last change.", "file.mtime_ns"),
)
_PHASE_COLUMNS = (
    Column("run_id", TEXT, "", "Id of the run.", "run.run_id"),
    Column("month", TEXT, "", "Month in which the run began.", "month"),
    Column("schema_version", INTEGER, "", "Version of the tables.", lambda one: SCHEMA_VERSION),
    _of_part("kind", TEXT, "",
        "`phase`, or `task` for a part that the program named. Phases do not overlap; tasks may.",
        lambda part: "task" if isinstance(part, TaskEnergy) else "phase"),
    _of_part("phase", TEXT, "", "Name, such as `train` or `validate`.", "name"),
    _of_part("count", INTEGER, "",
        "How often the phase was entered: of `train` and `validate` in most frameworks, the epochs.",
        values.optional("count")),
    _of_part("duration_s", NUMBER, "s", "Duration, in total.", "duration_s"),
    _of_part("energy_kwh", NUMBER, _KWH, "Energy, times PUE.", "energy_kwh"),
    _of_part("energy_low_kwh", NUMBER, _KWH, "Low end of its 95 % interval.", "energy_low_kwh"),
    _of_part("energy_high_kwh", NUMBER, _KWH, "High end.", "energy_high_kwh"),
    _of_part("emissions_kg", NUMBER, _KG, "Emissions of a task.", values.optional("emissions_kg")),
    _of_part("emissions_low_kg", NUMBER, _KG, "Low end of their 95 % interval.",
        values.optional("emissions_low_kg")),
    _of_part("emissions_high_kg", NUMBER, _KG, "High end.", values.optional("emissions_high_kg")),
    Column("counted", NUMBER, "0 to 1", "That of the run.", "run.counted"),
)
_DEVICE_COLUMNS = (
    Column("run_id", TEXT, "", "Id of the run.", "run.run_id"),
    Column("month", TEXT, "", "Month in which the run began.", "month"),
    Column("schema_version", INTEGER, "", "Version of the tables.", lambda one: SCHEMA_VERSION),
    _of_part("device_id", TEXT, "", "Id of the device within its machine.", "id"),
    _of_part("device", TEXT, "", "Product name.", "name"),
    _of_part("component", TEXT, "", "`cpu`, `gpu` or `ram`.", "component"),
    _of_part("method", TEXT, "", "Method of measurement.", "method"),
    _of_part("grade", TEXT, "", "Grade of the method, A to E.", "grade"),
    Column("energy_kwh", NUMBER, _KWH, "Energy, times PUE; null where the device was not read.",
        values.device_kwh, BOTH),
    _of_part("energy_low_kwh", NUMBER, _KWH, "Low end of its 95 % interval.", "energy_low_kwh"),
    _of_part("energy_high_kwh", NUMBER, _KWH, "High end.", "energy_high_kwh"),
    _of_part("measured_j", NUMBER, "J", "Energy that the method gave, without PUE.",
        "measured_j"),
    _of_part("extrapolated_j", NUMBER, "J", "Energy that was extrapolated, without PUE.",
        "extrapolated_j"),
    _of_part("missing_s", NUMBER, "s", "Time for which it was not read.", "missing_s"),
    _of_part("least_share", NUMBER, "0 to 1", "Share that is surely the run's own.",
        "least_share"),
    _of_part("calibration_gain", NUMBER, "", "Factor of a custom calibration.",
        values.calibration("gain")),
    _of_part("calibration_source", TEXT, "", "Its source.", values.calibration("source")),
    _of_part("note", TEXT, "", "Limitation of the measurement.", "note"),
    Column("counted", NUMBER, "0 to 1", "That of the run.", "run.counted"),
)
_COUNTRY_COLUMNS = (
    Column("country_iso_code", TEXT, "", "Three-letter code; `WORLD` for the world.",
        lambda row: row["iso3"]),
    Column("schema_version", INTEGER, "", "Version of the tables.", lambda one: SCHEMA_VERSION),
    Column("country", TEXT, "", "Name.", lambda row: row["name"]),
    Column("year", INTEGER, "", "Year of the figure.", lambda row: int(row["year"])),
    Column("g_per_kwh", NUMBER, "g CO2e/kWh", "Annual average of the grid, life cycle.",
        lambda row: float(row["g_per_kwh"])),
    Column("source", TEXT, "", "Its source and licence.", lambda row: COUNTRY_SOURCE),
)
# fmt: on
COUNTRY_SOURCE = "Ember via Our World in Data, CC BY 4.0"
# Those of the runs, in the order in which they are written: the table of runs comes last, because it
# states what has been exported.
TABLES = (
    Table(PHASES, "a phase or task of a run", _PHASE_COLUMNS),
    Table(DEVICES, "a device of a run with a method of measurement", _DEVICE_COLUMNS),
    Table(RUNS, "a run", _RUN_COLUMNS),
)
COUNTRY_TABLE = Table(COUNTRIES, "a country", _COUNTRY_COLUMNS)
ALL_TABLES = (TABLES[2], TABLES[0], TABLES[1], COUNTRY_TABLE)
# Of each table, its getters with what they get, and the indexes of its texts.
_GETTERS: Mapping[str, tuple[list[tuple[Callable[[Any], Any], int]], list[int]]] = {
    table.name: (
        [(column.get, column.given) for column in table.columns],
        [i for i, column in enumerate(table.columns) if column.type == TEXT],
    )
    for table in ALL_TABLES
}


def rows_of(source: RunSource) -> dict[str, list[list[Any]]]:
    """Return the rows of a run by the name of their table."""
    found, (phases, devices, runs) = source.receipt, TABLES
    parts = (*found.phases, *found.tasks) if found else ()
    of_devices = found.devices if found else ()
    return {
        RUNS: [runs.row_of(source, found)],
        PHASES: [phases.row_of(source, one) for one in parts],
        DEVICES: [devices.row_of(source, one) for one in of_devices],
    }


def country_rows() -> Iterator[list[Any]]:
    """Yield the rows of the table of countries: figures of the shipped table that are not doubtful."""
    for row in shipped_rows("grid_country"):
        if row["quality"] != "low":
            yield COUNTRY_TABLE.row_of(row, None)
