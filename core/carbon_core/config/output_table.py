"""The table of outputs that settings select: one row each.

The choices of `output_methods`, what `save_to_…` selects, the outputs of a run, what each of them needs
and the warnings about what is missing are derived from these rows. A row's ``make`` imports the
output's module where it is used, so that this table costs next to nothing to import.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from carbon_core.addresses import joined, with_scheme
from carbon_core.config.secret_values import Secret, address_problem
from carbon_core.errors import ConfigError
from carbon_core.rank_environment import rank_of
from carbon_core.record import record

if TYPE_CHECKING:
    from carbon_core.clock import Clock
    from carbon_core.config.schema import Settings
    from carbon_core.fetch import Send
    from carbon_core.outputs.base import FileOutput, Output

_LOGGER = "carbon_callbacks.emissions"


@record(frozen=True)
class OutputArguments:
    """What an output is made from.

    Attributes:
        settings: The effective settings.
        environ: Environment variables.
        directory: The output directory, absolute.
        clock: Source of time.
        remote_id: The service's id of the run, where the run was created there earlier.
        warn: Receives warnings about an output that works nevertheless.
    """

    settings: Settings
    environ: Mapping[str, str]
    directory: Path
    clock: Clock
    remote_id: str | None = None
    warn: Callable[[str], None] = lambda text: None

    @property
    def send(self) -> Send:
        """Sends a request over HTTP."""
        from carbon_core.fetch import sender

        return sender(self.clock)


@record(frozen=True)
class Check:
    """A requirement of an output on its settings, beyond their types.

    Attributes:
        problem: Returns what is wrong, or an empty string.
        key: The setting that is wrong.
        raises_for: Settings; if one of them is an argument, the problem is raised, not only warned of.
        always: Whether the argument is checked even where the output is not selected.
    """

    problem: Callable[[Settings], str]
    key: str
    raises_for: tuple[str, ...]
    always: bool = False


@record(frozen=True)
class OutputSpec:
    """One output.

    Attributes:
        name: Its name in `output_methods` (if `method`), in journals and in messages.
        title: Its name in the documentation.
        make: Returns the output; imports its module.
        kind: ``file``: updated on the files' thread; ``service``: sent over the network; ``local``:
            neither, but possibly slow.
        method: Whether it is a choice of `output_methods`.
        switch: The setting ``save_to_…`` that selects it where `output_methods` is unset.
        selected_by: A setting that selects it by being set.
        address: The setting with the address of a service.
        listens_on: The setting with the address that it serves results on, to those who request them.
        secret: The secret that is sent with the results; only to an address that may receive it.
        headers: The same for headers that only variables hold.
        needs_secret: Whether it cannot work without.
        check: A requirement on its settings.
        library: The module that it needs beyond the package's dependencies.
        extra: The extra that installs this module.
        resendable: Whether `carbon-callbacks resend` sends what was not accepted. Not for services that
            keep the present only: an earlier run's totals would replace a later one's.
        tolerant: Whether it is made even where something is wrong, and does without.
    """

    name: str
    title: str
    make: Callable[[OutputArguments], Output | FileOutput]
    kind: Literal["file", "service", "local"]
    method: bool = False
    switch: str = ""
    selected_by: str = ""
    address: str = ""
    listens_on: str = ""
    secret: Secret | None = None
    headers: Secret | None = None
    needs_secret: bool = False
    check: Check | None = None
    library: str = ""
    extra: str = ""
    resendable: bool = False
    tolerant: bool = False

    def selected(self, settings: Settings) -> bool:
        """Return whether the settings select it."""
        if self.selected_by and getattr(settings, self.selected_by):
            return True
        return self.method and self.name in settings.outputs()

    @property
    def sends(self) -> bool:
        """Whether results leave the process by the network."""
        return self.kind == "service" or bool(self.listens_on)

    @property
    def address_key(self) -> str:
        """The setting with its address; an empty string for none."""
        if self.secret is not None:
            return self.secret.address
        if self.listens_on:
            return self.listens_on
        return self.selected_by if self.kind == "service" else ""

    def selecting_keys(self, settings: Settings) -> list[str]:
        """Return the settings that select it; any of them would do."""
        keys = [key for key in (self.selected_by, self.switch) if key and getattr(settings, key)]
        if self.method and settings.output_methods and self.name in settings.output_methods:
            keys.append("output_methods")
        return keys

    def problems(self, settings: Settings, environ: Mapping[str, str]) -> list[str]:
        """Return what keeps it from working, one sentence each."""
        texts = [self._missing_library(), self.check.problem(settings) if self.check else ""]
        if self.secret is not None:
            texts.append(self._missing_secret(self.secret, settings, environ))
        return [text for text in [*texts, self.refusal(settings, environ)] if text]

    def refusal(self, settings: Settings, environ: Mapping[str, str]) -> str:
        """Return why nothing may be sent to its address; an empty string if it may get all."""
        for secret in (self.secret, self.headers):
            if secret is not None and (refusal := secret.refusal(settings, environ)):
                return refusal
        if not self.address:
            return ""
        return address_problem(getattr(settings, self.address) or "", self.address)

    def _missing_library(self) -> str:
        if not self.library or _is_installed(self.library):
            return ""
        install = f"pip install 'carbon-callbacks[{self.extra}]'"
        return f"{self.title} needs the module {self.library}: {install}"

    def _missing_secret(
        self, secret: Secret, settings: Settings, environ: Mapping[str, str]
    ) -> str:
        if not self.needs_secret or secret.value(settings, environ) is not None:
            return ""
        or_variable = f", or the variable {secret.variable}" if secret.variable else ""
        return f"{self.title} needs {secret.key}{or_variable}"


def output_methods() -> list[str]:
    """Return the names that `output_methods` accepts."""
    return [spec.name for spec in OUTPUTS.values() if spec.method]


def output_named(name: str) -> OutputSpec:
    """Return the row of an output.

    Raises:
        ConfigError: There is no such output.
    """
    if name not in OUTPUTS:
        raise ConfigError(
            f"there is no output {name!r}; known are {', '.join(OUTPUTS)}", key="output_methods"
        )
    return OUTPUTS[name]


def _is_installed(library: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):  # a parent package is missing, or is no package
        return False


# --- how each is made ---------------------------------------------------------------------------------


def _csv(given: OutputArguments) -> FileOutput:
    from carbon_core.outputs.run_directory import RunDirectory

    settings = given.settings
    return RunDirectory(
        given.directory,
        _csv_name(settings, given.directory),
        always_update=settings.on_csv_write == "update",
        keep_journal=settings.journal,
        experiment_name=settings.experiment_name,
        warn=given.warn,
    )


def _csv_name(settings: Settings, directory: Path) -> str:
    """Return the CSV file's path; from a file or variable, it must not leave the output directory."""
    name = Path(settings.output_file)
    if settings.origin("output_file").source == "argument":
        return settings.output_file
    try:
        place = Path(os.path.realpath(directory / name.parent))
        inside = not name.is_absolute() and place.is_relative_to(os.path.realpath(directory))
    except (OSError, ValueError):  # an invalid name: reported by the first write
        inside = False
    return settings.output_file if inside else name.name


def _boamps(given: OutputArguments) -> FileOutput:
    from carbon_core.outputs.boamps import BoampsFile, read_metadata

    try:
        metadata = read_metadata(given.settings.metadata)
    except ConfigError:  # reported as a problem; the rest of the file is still useful
        metadata = {}
    return BoampsFile(given.directory, metadata)


def _endpoint(given: OutputArguments) -> Output:
    from carbon_core.outputs.endpoint import Endpoint

    return Endpoint(given.settings.emissions_endpoint or "", given.send)


def _api(given: OutputArguments) -> Output:
    from carbon_core.outputs.codecarbon_api import CodeCarbonApi

    settings = given.settings
    return CodeCarbonApi(
        settings.api_endpoint,
        settings.api_key,
        settings.experiment_id or "",
        given.send,
        remote_id=given.remote_id,
    )


def _prometheus(given: OutputArguments) -> Output:
    from carbon_core.outputs.prometheus import Pushgateway, basic_authorization

    settings = given.settings
    user = settings.prometheus_username or given.environ.get("PROMETHEUS_USERNAME")
    headers = basic_authorization(user, _PROMETHEUS.value(settings, given.environ))
    ids = settings.prometheus_run_labels or ()
    return Pushgateway(settings.prometheus_url, settings.experiment_name, given.send, headers, ids)


def _prometheus_endpoint(given: OutputArguments) -> FileOutput:
    from carbon_core.outputs.prometheus_endpoint import PrometheusEndpoint

    settings, rank = given.settings, rank_of(given.environ)
    return PrometheusEndpoint(
        settings.prometheus_address.strip("[]"),
        (settings.prometheus_port or 0) + (rank.world if rank.local is None else rank.local),
        settings.experiment_name,
        settings.prometheus_run_labels or (),
        clock=given.clock,
        warn=given.warn,
    )


def _text_file(given: OutputArguments) -> Output:
    from carbon_core.outputs.prometheus import TextFile

    directory = Path(given.settings.prometheus_textfile_dir or "").absolute()
    ids = given.settings.prometheus_run_labels or ()
    return TextFile(directory, given.settings.experiment_name, ids)


def _otel(given: OutputArguments) -> Output:
    from carbon_core.outputs.open_telemetry import OpenTelemetry, endpoint_of, headers_of

    url = given.settings.otlp_endpoint or endpoint_of(given.environ)
    headers = headers_of(_OTLP.value(given.settings, given.environ) or "")
    return OpenTelemetry(url, headers, clock=given.clock, names_host=given.settings.job_node)


def _logfire(given: OutputArguments) -> Output:
    from carbon_core.outputs.open_telemetry import OpenTelemetry

    url = joined(with_scheme(given.settings.logfire_url), "v1", "metrics")
    token = _LOGFIRE.value(given.settings, given.environ) or ""
    names_host = given.settings.job_node
    return OpenTelemetry(url, {"Authorization": token}, clock=given.clock, names_host=names_host)


def _logger(given: OutputArguments) -> Output:
    import logging

    from carbon_core.outputs.handlers import LoggerOutput, adapted

    logger = given.settings.logging_logger or logging.getLogger(_LOGGER)
    if hasattr(logger, "out") or hasattr(logger, "live_out"):
        return adapted(logger, given.settings.experiment_name)
    return LoggerOutput(logger)


# --- what they need -----------------------------------------------------------------------------------


def _experiment_problem(settings: Settings) -> str:
    if not settings.experiment_id:
        return (
            "the CodeCarbon API needs experiment_id: the experiment that the runs belong to "
            "(`codecarbon config` makes one); nothing is sent to a public one"
        )
    import uuid

    try:
        uuid.UUID(settings.experiment_id)
    except ValueError:
        return f"the CodeCarbon API needs a UUID as experiment_id, got {settings.experiment_id!r}"
    return ""


def _listening_problem(settings: Settings) -> str:
    import ipaddress

    try:
        ipaddress.ip_address(settings.prometheus_address.strip("[]"))
    except ValueError:  # a name would have to be looked up
        shown = settings.prometheus_address[:100]
        return f"prometheus_address must be an IP address such as 127.0.0.1, got {shown!r}"
    return ""


def _metadata_problem(settings: Settings) -> str:
    from carbon_core.outputs.boamps import read_metadata

    try:
        read_metadata(settings.metadata)
    except ConfigError as error:
        return str(error)
    return ""


_PROMETHEUS = Secret("prometheus_password", "prometheus_url", "PROMETHEUS_PASSWORD")
_LOGFIRE = Secret("logfire_token", "logfire_url", "LOGFIRE_TOKEN")
_API = Secret("api_key", "api_endpoint")
# Headers may be anything; those of OpenTelemetry's variables usually are a key.
_OTLP = Secret(
    "",
    "otlp_endpoint",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    more_variables=("OTEL_EXPORTER_OTLP_HEADERS",),
    address_variables=("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
)
_PROMETHEUS_LIBRARY, _OTEL_LIBRARY = "prometheus_client", "opentelemetry.exporter.otlp.proto.http"

_ROWS = (
    OutputSpec("csv", "`emissions.csv`", _csv, "file", method=True, switch="save_to_file"),
    OutputSpec(
        "boamps",
        "BoAmps",
        _boamps,
        "file",
        method=True,
        check=Check(_metadata_problem, "metadata", ("metadata",), always=True),
        tolerant=True,
    ),
    OutputSpec(
        "emissions_endpoint",
        "HTTP endpoint",
        _endpoint,
        "service",
        selected_by="emissions_endpoint",
        address="emissions_endpoint",
        resendable=True,
    ),
    OutputSpec(
        "api",
        "CodeCarbon API",
        _api,
        "service",
        method=True,
        switch="save_to_api",
        address="api_endpoint",
        secret=_API,
        check=Check(_experiment_problem, "experiment_id", ("save_to_api", "output_methods")),
        resendable=True,
    ),
    OutputSpec(
        "prometheus",
        "Prometheus",
        _prometheus,
        "service",
        method=True,
        switch="save_to_prometheus",
        address="prometheus_url",
        secret=_PROMETHEUS,
        library=_PROMETHEUS_LIBRARY,
        extra="prometheus",
    ),
    OutputSpec(
        "otel",
        "OpenTelemetry",
        _otel,
        "service",
        method=True,
        selected_by="otlp_endpoint",
        address="otlp_endpoint",
        headers=_OTLP,
        library=_OTEL_LIBRARY,
        extra="otel",
    ),
    OutputSpec(
        "logfire",
        "Logfire",
        _logfire,
        "service",
        method=True,
        switch="save_to_logfire",
        address="logfire_url",
        secret=_LOGFIRE,
        needs_secret=True,
        library=_OTEL_LIBRARY,
        extra="otel",
    ),
    OutputSpec(
        "prometheus_textfile",
        "node_exporter",
        _text_file,
        "local",
        selected_by="prometheus_textfile_dir",
        library=_PROMETHEUS_LIBRARY,
        extra="prometheus",
    ),
    OutputSpec(
        "prometheus_endpoint",
        "Prometheus endpoint",
        _prometheus_endpoint,
        "file",
        selected_by="prometheus_port",
        listens_on="prometheus_address",
        check=Check(_listening_problem, "prometheus_address", ("prometheus_address",)),
        library=_PROMETHEUS_LIBRARY,
        extra="prometheus",
    ),
    OutputSpec("logger", "logging", _logger, "local", method=True, switch="save_to_logger"),
)
OUTPUTS: dict[str, OutputSpec] = {spec.name: spec for spec in _ROWS}
