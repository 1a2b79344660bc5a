"""The table of settings: one field each, with type, default, kind, help and what it replaces.

Argument checks, environment, files, the command line and the documentation all read this table.
Names and defaults are CodeCarbon's where it has the key.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar

from carbon_core.addresses import HIDDEN, masked_address, masked_value
from carbon_core.config import kinds
from carbon_core.config.kinds import Kind
from carbon_core.config.origin import DEFAULT, LOCAL_TRUST, Origin
from carbon_core.config.output_table import OUTPUTS, output_methods
from carbon_core.intensity.source_table import MARGINAL_SOURCES, SOURCES, source_choices
from carbon_core.record import field, record
from carbon_core.shared_methods import options_of

# Written by CodeCarbon's own command line into the same files; this package does not use them.
IGNORED_KEYS = frozenset({"organization_id", "project_id"})


# Longest value in a file or variable. Longer ones are mistakes, and would cost time in every check.
LONGEST_VALUE = 4096
_LONGEST_SHOWN = 200


@record(frozen=True)
class Key:
    """Row of one setting, beside its name, type and default.

    Attributes:
        kind: Parser and words for what is allowed.
        help: One line for the documentation.
        secret: Never shown, stored or pickled.
        used: Whether the setting has an effect; otherwise it is checked, and reported as unused.
        replaces: Deprecated name that still works.
        common: Whether it is among the few that docs/settings.md lists first.
    """

    kind: Kind
    help: str
    secret: bool = False
    used: bool = True
    replaces: str | None = None
    common: bool = False


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return self.name


# An argument that is not given: the next source decides. None, in contrast, means the default.
UNSET = Unset.UNSET


class OutputMethod(str, enum.Enum):
    """An output by name, for `output_methods`: those of CodeCarbon's enumeration and a few more.

    `output_table` is the table; a test compares the two.
    """

    CSV = "csv"
    API = "api"
    LOGGER = "logger"
    PROMETHEUS = "prometheus"
    LOGFIRE = "logfire"
    BOAMPS = "boamps"
    OTEL = "otel"


# The output that each of these selects where `output_methods` is unset.
SAVE_TO = {spec.switch: spec.name for spec in OUTPUTS.values() if spec.switch}


def _key(default: Any, kind: Kind, help: str, **more: Any) -> Any:
    key = Key(kind, help, **more)
    return field(default=default, metadata={"key": key})


def _later(default: Any, kind: Kind, help: str, **more: Any) -> Any:
    return _key(default, kind, help, used=False, **more)


@record(frozen=True, repr=False)
class Settings:
    """The effective settings of a tracker, each with its origin."""

    # Whether they were loaded from a pickle, which has no secrets.
    stored: ClassVar[bool] = False

    # What is measured
    project_name: str = _key("codecarbon", kinds.text(), "Name of the project in the results.")
    measure_power_secs: float = _key(
        15,
        kinds.number(least=0.01, most=86_400, unit="seconds"),
        "Seconds between two readings of a counter.",
        common=True,
    )
    tracking_mode: str = _key(
        "machine",
        kinds.choice("machine", "process"),
        "`machine` counts the whole machine; `process` the share of this process and its children, or "
        "of the container or batch job that it runs in.",
    )
    gpu_ids: list[int | str] | None = _key(
        None,
        kinds.gpu_list(),
        "GPUs to count; else those of `CUDA_VISIBLE_DEVICES`, else all.",
        common=True,
    )
    force_cpu_power: float | None = _key(
        None,
        kinds.number(above=0, unit="watts"),
        "Rated power (TDP) of all CPUs together, for the load model, instead of a counter.",
    )
    force_ram_power: float | None = _key(
        None, kinds.number(least=0, unit="watts"), "Constant memory power instead of a meter."
    )
    force_mode_cpu_load: bool = _key(
        False, kinds.boolean(), "Use the CPU load model even where a counter can be read."
    )
    calibration: str | None = _key(
        None,
        kinds.calibration(),
        "Gains of devices that you compared with a wall meter or in a laboratory, with their standard "
        "deviations: multiply the energy, and replace the uncertainty of the meter.",
    )
    pue: float = _key(
        1.0,
        kinds.number(least=1),
        "Power usage effectiveness of the site; multiplies energy and power.",
        common=True,
    )
    cloud_pue: bool = _key(
        False,
        kinds.boolean(),
        "Where `pue` is not set, use the one that the cloud publishes for its region.",
    )
    wue: float = _key(
        0.0, kinds.number(least=0), "Water usage effectiveness in litres per kWh of the hardware."
    )
    budget_kwh: float | None = _key(
        None,
        kinds.number(above=0, unit="kWh"),
        "Energy limit of a run, with warnings at 50 %, 80 % and 100 % of it.",
    )
    budget_kg_co2e: float | None = _key(
        None,
        kinds.number(above=0, unit="kg CO2e"),
        "Emissions limit of a run, with the same warnings.",
    )
    on_budget: str = _key(
        "stop",
        kinds.choice("stop", "warn"),
        "What a callback does then: `stop` the training as the framework itself would, or only `warn`.",
    )
    # Grams
    country_iso_code: str | None = _key(
        None,
        kinds.country_code(),
        "Country of the machine, such as `FRA` or `France`; else its time zone's (a guess) or the "
        "world's average.",
        common=True,
    )
    country_2letter_iso_code: str | None = _key(
        None, kinds.country_code(), "Country code of two letters, in place of `country_iso_code`."
    )
    region: str | None = _key(
        None, kinds.text(), "State or province within the country, by name or code.", common=True
    )
    cloud_provider: str | None = _key(
        None, kinds.text(), "Cloud provider (`aws`, `azure`, `gcp`), together with its region."
    )
    cloud_region: str | None = _key(
        None, kinds.text(), "Region of the cloud provider, such as `eu-west-3`."
    )
    geolocation: str = _key(
        "local",
        kinds.choice("local", "cloud", "ip", "off"),
        "How to find the location when no setting has it: `local`, from this machine's time zone, as a "
        "guess; `cloud`, first from the cloud's metadata service; `ip`, then also from the service at "
        "`geolocation_url`, by this machine's public address; `off`, not at all.",
    )
    geolocation_url: str = _key(
        "https://get.geojs.io/v1/ip/geo.json",
        kinds.url(),
        "Service that `geolocation=ip` requests; its response must be like that of GeoJS.",
    )
    intensity_scope: str = _key(
        "lifecycle",
        kinds.choice("lifecycle", "direct"),
        "Whether annual averages count the whole life cycle, or direct emissions only (Scope 2).",
    )
    intensity_year: int | None = _key(
        None, kinds.year(), "Year of annual averages; else the newest."
    )
    force_carbon_intensity_g_co2e_kwh: float | None = _key(
        None, kinds.number(least=0, unit="gCO2e/kWh"), "Your own grid intensity."
    )
    electricitymaps_api_token: str | None = _key(
        None,
        kinds.text(),
        "Token of Electricity Maps; with it, live intensity is requested.",
        secret=True,
        replaces="co2_signal_api_token",
        common=True,
    )
    electricitymaps_zone: str | None = _key(
        None, kinds.text(), "Zone to request, such as `DE` or `US-CAL-CISO`; else the country."
    )
    latitude: float | None = _key(
        None,
        kinds.coordinate(90),
        "With `longitude`, the location to request from Electricity Maps when neither zone nor country "
        "is set; kept to a tenth of a degree.",
    )
    longitude: float | None = _key(None, kinds.coordinate(180), "See `latitude`.")
    electricitymaps_url: str = _key(
        SOURCES["electricitymaps"].url, kinds.url(), "Base address of Electricity Maps."
    )
    intensity_source: str | None = _key(
        None,
        kinds.choice_of(lambda: SOURCES),
        source_choices(),
    )
    intensity_url: str | None = _key(
        None, kinds.url(), "Base address of a source without a token, in place of its default."
    )
    watttime_username: str | None = _key(
        None,
        kinds.text(),
        "Account of WattTime; with it, the receipt has the marginal intensity of `watttime_region` "
        "during the run, beside the emissions and never part of them.",
    )
    watttime_password: str | None = _key(None, kinds.text(), "Its password.", secret=True)
    watttime_region: str | None = _key(
        None, kinds.text(), "WattTime's name of the region, such as `CAISO_NORTH`."
    )
    watttime_url: str = _key(
        MARGINAL_SOURCES["watttime"].url, kinds.url(), "Base address of WattTime."
    )
    api_call_interval: int = _key(
        8,
        kinds.interval_count(),
        "Readings between two live look-ups, and between two deliveries; -1: only at the end.",
    )
    # Files and lines
    output_dir: str = _key(
        ".", kinds.path(), "Directory of the results; made when absent.", common=True
    )
    output_file: str = _key("emissions.csv", kinds.path(), "Name of the CSV file.")
    save_to_file: bool = _key(
        True,
        kinds.boolean(),
        "Write the CSV, journal and receipt. `output_methods`, where it is set, decides instead.",
    )
    output_methods: list[str] | None = _key(
        None,
        kinds.choices_of(output_methods),
        "Outputs by name, in place of `save_to_…`.",
    )
    on_csv_write: str = _key(
        "append",
        kinds.choice("append", "update"),
        "`append` a row for each run, or `update` its row; a flush always updates.",
    )
    journal: bool = _key(
        True, kinds.boolean(), "Keep a journal, from which a killed run is recovered."
    )
    log_metrics: str | list[str] = _key(
        "standard",
        kinds.metrics(),
        "What the callbacks log: `minimal`, `standard` or `all` metrics, or those of a list of names "
        "(docs/metrics.md).",
    )
    log_receipt: bool = _key(
        True,
        kinds.boolean(),
        "Whether the callbacks add the receipt of a training, as an artifact, to the runs of MLflow and "
        "W&B that the training is logged to.",
    )
    progress_bar: bool = _key(
        True,
        kinds.boolean(),
        "Show energy and emissions in the progress bar and the line of an epoch, too.",
    )
    min_duration_s: float = _key(
        0.0,
        kinds.number(least=0, unit="seconds"),
        "A shorter run leaves no file, reaches no output and prints no result; its report is returned. "
        "For test suites.",
    )
    log_level: str | int = _key("INFO", kinds.log_level(), "Least severe lines to show.")
    logger_preamble: str = _key("", kinds.text(), "Put before each line.")
    shutdown_timeout_s: float = _key(
        2.0, kinds.number(least=0, most=3600, unit="seconds"), "Longest time that stop() may wait."
    )
    strict_config: bool = _key(
        False, kinds.boolean(), "Raise for mistakes in files and variables, too."
    )
    trust_local_config: bool = _key(
        False,
        kinds.boolean(),
        "Whether `./.codecarbon.config` may switch on by itself what sends data over the network: "
        "services, live intensity, look-ups of the place. Without effect in that file.",
    )
    experiment_id: str | None = _key(
        None,
        kinds.identifier(),
        "Experiment, kept in the CSV; for the CodeCarbon API its UUID there.",
    )
    study_id: str | None = _key(
        None,
        kinds.identifier(),
        "Study of a hyperparameter search that the runs belong to; else that of a W&B sweep "
        "(`WANDB_SWEEP_ID`) or a Slurm array (`SLURM_ARRAY_JOB_ID`). Its processes divide the machine "
        "(docs/sweeps.md).",
    )
    trial_id: str | None = _key(
        None,
        kinds.identifier(),
        "Trial of the study that the run is; else that of the sweep (`WANDB_RUN_ID`) or the array "
        "(`SLURM_ARRAY_TASK_ID`).",
    )
    job_node: bool = _key(
        True, kinds.boolean(), "Record the name of the node that a job of a batch system runs on."
    )
    job_user: bool = _key(
        False, kinds.boolean(), "Record the user of the job, as the batch system names it."
    )
    # Services and other outputs
    experiment_name: str = _key(
        "base",
        kinds.text(),
        "Name of the experiment: in the name of the tasks' file and of the job.",
    )
    output_handlers: Any = _key(
        None,
        kinds.anything(),
        "Custom outputs, in a list: see docs/outputs.md. Objects with CodeCarbon's `out` and `live_out` "
        "are accepted, too.",
    )
    emissions_endpoint: str | None = _key(
        None, kinds.url(), "Address that gets the result of each run, by POST as JSON."
    )
    save_to_api: bool = _key(
        False,
        kinds.boolean(),
        "Send to the CodeCarbon API, to the experiment `experiment_id`, which must be set.",
    )
    api_endpoint: str = _key(
        "https://api.codecarbon.io", kinds.url(), "Address of the CodeCarbon API."
    )
    api_key: str | None = _key(None, kinds.text(), "Key of the CodeCarbon API.", secret=True)
    save_to_logger: bool = _key(False, kinds.boolean(), "Send to `logging_logger`.")
    logging_logger: Any = _key(
        None,
        kinds.anything(),
        "A logger of Python's, or CodeCarbon's `LoggerOutput`; else the logger "
        "`carbon_callbacks.emissions`.",
    )
    save_to_prometheus: bool = _key(
        False, kinds.boolean(), "Push to the Pushgateway at `prometheus_url`."
    )
    prometheus_url: str = _key("localhost:9091", kinds.url(), "Address of the Pushgateway.")
    prometheus_username: str | None = _key(
        None, kinds.text(), "User of the Pushgateway; else the variable `PROMETHEUS_USERNAME`."
    )
    prometheus_password: str | None = _key(
        None, kinds.text(), "Password; else the variable `PROMETHEUS_PASSWORD`.", secret=True
    )
    prometheus_textfile_dir: str | None = _key(
        None, kinds.path(), "Directory of node_exporter's text-file collector; gets a `.prom` file."
    )
    prometheus_port: int | None = _key(
        None,
        kinds.port(),
        "Port at which Prometheus scrapes this process during a run; each further rank of a node has "
        "the next one.",
    )
    prometheus_address: str = _key(
        "127.0.0.1",
        kinds.text(),
        "IP address of `prometheus_port`; `0.0.0.0` is reachable from other machines.",
    )
    prometheus_run_labels: list[str] | None = _key(
        None,
        kinds.choices("run_id", "job_id", "array_index", "step", "user"),
        "Labels with a new value for each run that `carbon_run_info` gets, too.",
    )
    otlp_endpoint: str | None = _key(
        None,
        kinds.url(),
        "Whole address for metrics by OTLP/HTTP, such as `http://localhost:4318/v1/metrics`. "
        "`output_methods=otel` without it uses the `OTEL_EXPORTER_OTLP_*` variables.",
    )
    save_to_logfire: bool = _key(
        False, kinds.boolean(), "Send metrics to Logfire, with `logfire_token`."
    )
    logfire_token: str | None = _key(
        None,
        kinds.text(),
        "Write token of Logfire; else the variable `LOGFIRE_TOKEN`.",
        secret=True,
    )
    logfire_url: str = _key(
        "https://logfire-us.pydantic.dev", kinds.url(), "Base address of Logfire."
    )
    metadata: Any = _key(
        None,
        kinds.mapping_or_path(),
        "Task of a BoAmps report (`output_methods=boamps`): a mapping, or the path of a JSON file.",
    )
    # Checked, without effect
    allow_multiple_runs: bool = _later(
        True, kinds.boolean(), "Runs side by side never disturb each other here."
    )
    rapl_include_dram: bool = _later(
        False, kinds.boolean(), "DRAM counters always count here, as memory."
    )
    rapl_prefer_psys: bool = _later(
        False, kinds.boolean(), "The psys counter never replaces the packages here."
    )

    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)

    def origin(self, key: str) -> Origin:
        """Return where the value of a setting came from.

        Raises:
            KeyError: There is no such setting.
        """
        if key not in KEYS:
            raise KeyError(key)
        return self.origins.get(key, DEFAULT)

    def explicit(self) -> dict[str, Any]:
        """Return the settings that some source gave, with their values."""
        return {key: getattr(self, key) for key in KEYS if key in self.origins}

    def shown(self) -> dict[str, Any]:
        """Return all settings with secrets hidden, for display and files."""
        return {name: hidden(name, getattr(self, name)) for name in KEYS}

    def outputs(self) -> set[str]:
        """Return the selected outputs by name: `output_methods`, else what ``save_to_…`` selects."""
        if self.output_methods is not None:
            return set(self.output_methods)
        return {name for key, name in SAVE_TO.items() if getattr(self, key)}

    @property
    def sends_receipts(self) -> bool:
        """Whether MLflow and W&B get receipts; the working directory's file cannot switch it on."""
        is_trusted = self.trust_local_config or self.origin("log_receipt").trust > LOCAL_TRUST
        return self.log_receipt and is_trusted

    def unused(self) -> list[str]:
        """Return the keys that some source gave and that have no effect in this version."""
        return [name for name in self.explicit() if not KEYS[name].used]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={hidden(name, v)!r}" for name, v in self.explicit().items())
        return f"Settings({shown})"

    def __getstate__(self) -> dict[str, Any]:
        # A pickle may end up in a checkpoint: secrets, passwords and queries stay out. A tracker finds
        # those of files and variables again where it is loaded (`resolve.with_secrets`).
        stored = {name: bare(name, getattr(self, name)) for name in KEYS}
        return {**self.__dict__, **stored, "stored": True}

    def __deepcopy__(self, memo: dict[int, Any]) -> Settings:
        return self


KEYS: dict[str, Key] = {
    name: options["metadata"]["key"]
    for name, options in options_of(Settings).items()
    if "metadata" in options
}
ALIASES: dict[str, str] = {key.replaces: name for name, key in KEYS.items() if key.replaces}


def hidden(name: str, value: Any) -> Any:
    """Return a value as it may be shown: no secret, and no password or query within an address."""
    if value and name in KEYS and KEYS[name].secret:
        return HIDDEN
    return _masked(name, value)


def shown_value(name: str, value: Any) -> str:
    """Return a value as Python code for a message: shortened, and without secrets.

    A long one is only counted: a cut could leave a password without the ``@`` by which it is found.
    """
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        return f"a text of {len(value)} characters"
    try:
        return repr(hidden(name, value))[:_LONGEST_SHOWN]
    except RecursionError:
        return "a deeply nested value"


def bare(name: str, value: Any) -> Any:
    """Return a value as it may be stored: without secrets, those of addresses and within mappings.

    An address whose path is missing holds `HIDDEN`: nothing is sent to another one.
    """
    if KEYS[name].secret:
        return None
    is_plain = isinstance(value, (str, Mapping))
    return _masked(name, value, "") if is_plain else value


def _masked(name: str, value: Any, mask: str = HIDDEN) -> Any:
    is_address = name in KEYS and KEYS[name].kind.name == "url" and isinstance(value, str)
    if is_address:
        return value if value == getattr(Settings, name) else masked_address(value, mask)
    return masked_value(value, mask)


def default_of(name: str) -> Any:
    """Return the default of a setting."""
    return getattr(Settings, name)
