"""The table of outputs that settings select: one row each.

The choices of `output_methods`, what `save_to_…` selects, the outputs of a run, what each of them needs
and the warnings about what is missing are derived from these rows. A row's ``make`` imports the
output's module where it is used, so that this table costs next to nothing to import.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from carbon_core.addresses import joined, with_scheme
from carbon_core.config.output_spec import Check, OutputArguments, OutputSpec
from carbon_core.config.secret_values import Secret
from carbon_core.errors import ConfigError
from carbon_core.rank_environment import rank_of

if TYPE_CHECKING:
    from carbon_core.config.schema import Settings
    from carbon_core.outputs.base import FileOutput, Output

__all__ = ["OUTPUTS", "Check", "OutputArguments", "OutputSpec", "output_methods", "output_named"]
_LOGGER = "carbon_callbacks.emissions"


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
    return BoampsFile(given.directory, metadata, given.warn)


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
