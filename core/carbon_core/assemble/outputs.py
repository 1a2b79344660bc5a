"""From settings to the outputs of a run: its files, and whom to tell over the network."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from carbon_core.clock import Clock
from carbon_core.config.origin import ENVIRONMENT_TRUST, Origin
from carbon_core.config.schema import OutputMethod, Settings
from carbon_core.errors import ConfigError
from carbon_core.fetch import may_carry_secrets, sender
from carbon_core.messages import Messages
from carbon_core.outputs.base import Delivered, FileOutput, Output
from carbon_core.outputs.delivery import Delivery
from carbon_core.outputs.endpoint import with_scheme
from carbon_core.records import Amounts
from carbon_core.report import Report

if TYPE_CHECKING:
    from carbon_core.outputs.handlers import CodeCarbonHandler

# Others keep the present only: an earlier run's totals would take the place of a later one's.
_RESENDABLE = ("emissions_endpoint", "api")
_LOGGER = "carbon_callbacks.emissions"
_ASKS_FOR_API = ("save_to_api", "output_methods")


def files(settings: Settings, directory: Path) -> list[FileOutput]:
    """Return the files that the settings ask for.

    Args:
        settings: The effective settings.
        directory: The output directory, absolute.
    """
    asked: list[FileOutput] = []
    if OutputMethod.CSV in settings.outputs():
        from carbon_core.outputs.run_directory import RunDirectory

        given_by_user = settings.origin("output_file").source == "argument"
        csv_name = settings.output_file
        asked.append(
            RunDirectory(
                directory,
                # A name from a file or variable must not lead out of the directory.
                csv_name if given_by_user else Path(csv_name).name,
                always_update=settings.on_csv_write == "update",
                keep_journal=settings.journal,
                experiment_name=settings.experiment_name,
            )
        )
    if OutputMethod.BOAMPS in settings.outputs():
        from carbon_core.outputs.boamps import BoampsFile

        metadata: Mapping[str, Any] = {}
        with contextlib.suppress(ConfigError):  # `problems` has told of it
            metadata = _metadata(settings)
        asked.append(BoampsFile(directory, metadata))
    return asked


def deliveries(
    settings: Settings,
    environ: Mapping[str, str],
    clock: Clock,
    messages: Messages,
    confirm: Callable[[Delivered], None],
    *,
    offline: bool = False,
) -> list[Delivery]:
    """Return the outputs that may be slow: services, and objects of the user's.

    Args:
        settings: The effective settings.
        environ: Environment variables.
        clock: Source of time.
        messages: Lines for people.
        confirm: Told what each has accepted.
        offline: Leave out those that are told over the network.
    """
    services = dict(services_of(settings, environ, clock))
    if offline and services:
        messages.warn(
            f"an offline tracker tells nobody over the network: not {', '.join(services)}"
        )
        services = {}
    named = [*((name, output, None) for name, output in services.items()), *_own(settings)]
    return [
        Delivery(
            name,
            output,
            clock=clock,
            warn=messages.warn,
            confirm=confirm if name in _RESENDABLE else None,
            flush=flush,
        )
        for name, output, flush in named
    ]


def services_of(
    settings: Settings,
    environ: Mapping[str, str],
    clock: Clock,
    before: Mapping[str, Delivered] | None = None,
) -> Iterator[tuple[str, Output]]:
    """Give the services that the settings ask for, each with its name in journals.

    Args:
        settings: The effective settings.
        environ: Environment variables.
        clock: Source of time.
        before: What each has accepted of the run earlier, by its name.
    """
    send = sender(clock)
    asked = settings.outputs()
    if settings.emissions_endpoint:
        from carbon_core.outputs.endpoint import Endpoint

        yield "emissions_endpoint", Endpoint(settings.emissions_endpoint, send)
    if (
        OutputMethod.API in asked
        and settings.experiment_id
        and not _experiment_problem(settings)
        and not _refused(settings, environ, _API)
    ):
        from carbon_core.outputs.codecarbon_api import CodeCarbonApi

        remote_id = before["api"].remote_id if before and "api" in before else None
        address, key = settings.api_endpoint, settings.api_key
        yield "api", CodeCarbonApi(address, key, settings.experiment_id, send, remote_id=remote_id)
    if OutputMethod.PROMETHEUS in asked and not _refused(settings, environ, _PROMETHEUS):
        from carbon_core.outputs.prometheus import Pushgateway

        user = settings.prometheus_username or environ.get("PROMETHEUS_USERNAME")
        headers = _basic(user, _value(settings, environ, _PROMETHEUS))
        name = settings.experiment_name
        yield "prometheus", Pushgateway(settings.prometheus_url, name, send, headers)
    if OutputMethod.OTEL in asked or settings.otlp_endpoint:
        from carbon_core.outputs.open_telemetry import OpenTelemetry

        yield "otel", OpenTelemetry(settings.otlp_endpoint)
    token = _value(settings, environ, _LOGFIRE)
    if OutputMethod.LOGFIRE in asked and token and not _refused(settings, environ, _LOGFIRE):
        from carbon_core.outputs.open_telemetry import OpenTelemetry

        url = f"{settings.logfire_url.rstrip('/')}/v1/metrics"
        yield "logfire", OpenTelemetry(url, {"Authorization": token})


def told(settings: Settings, environ: Mapping[str, str], clock: Clock) -> tuple[str, ...]:
    """Return the names of the services that `carbon-callbacks resend` tells what they were not told."""
    return tuple(name for name, _ in services_of(settings, environ, clock) if name in _RESENDABLE)


def problems(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Say which outputs were asked for and cannot be told anything."""
    asked = settings.outputs()
    texts = []
    if OutputMethod.API in asked:
        texts += [_experiment_problem(settings), _refused(settings, environ, _API)]
    if OutputMethod.PROMETHEUS in asked:
        texts.append(_refused(settings, environ, _PROMETHEUS))
    if OutputMethod.LOGFIRE in asked:
        if _value(settings, environ, _LOGFIRE) is None:
            texts.append("Logfire needs logfire_token, or the variable LOGFIRE_TOKEN")
        texts.append(_refused(settings, environ, _LOGFIRE))
    if OutputMethod.BOAMPS in asked:
        try:
            _metadata(settings)
        except ConfigError as error:
            texts.append(str(error))
    return [text for text in texts if text]


def check_arguments(settings: Settings) -> None:
    """Raise for outputs that an argument asks for and that lack what they need.

    Raises:
        ConfigError: The CodeCarbon API is asked for and ``experiment_id`` is missing or no UUID; or the
            file of ``metadata`` is unusable.
    """
    by_argument = any(settings.origin(key).source == "argument" for key in _ASKS_FOR_API)
    problem = _experiment_problem(settings) if OutputMethod.API in settings.outputs() else ""
    if problem and (by_argument or settings.strict_config):
        raise ConfigError(problem, key="experiment_id")
    if settings.origin("metadata").source == "argument" or settings.strict_config:
        _metadata(settings)


class _Secret(NamedTuple):
    """A setting that only its own service may be told.

    Attributes:
        key: The setting.
        address: The setting that says where it is sent.
        variable: The variable that holds it where the setting does not; an empty string for none.
    """

    key: str
    address: str
    variable: str = ""


_API = _Secret("api_key", "api_endpoint")
_PROMETHEUS = _Secret("prometheus_password", "prometheus_url", "PROMETHEUS_PASSWORD")
_LOGFIRE = _Secret("logfire_token", "logfire_url", "LOGFIRE_TOKEN")
_NO_EXPERIMENT = (
    "the CodeCarbon API needs experiment_id: the experiment of yours that the runs belong to "
    "(`codecarbon config` makes one); nothing is sent to a public one"
)


def _experiment_problem(settings: Settings) -> str:
    """Return why the CodeCarbon API cannot use `experiment_id`; an empty string if it can."""
    if not settings.experiment_id:
        return _NO_EXPERIMENT
    try:
        uuid.UUID(settings.experiment_id)
    except ValueError:
        return f"the CodeCarbon API needs a UUID as experiment_id, got {settings.experiment_id!r}"
    return ""


def _value(settings: Settings, environ: Mapping[str, str], secret: _Secret) -> str | None:
    return getattr(settings, secret.key) or environ.get(secret.variable) or None


def _refused(settings: Settings, environ: Mapping[str, str], secret: _Secret) -> str:
    """Say why a secret is not sent to an address; an empty string where it may be, or there is none."""
    if _value(settings, environ, secret) is None:
        return ""
    key, address, variable = secret
    own = bool(getattr(settings, key))
    told_by = settings.origin(key) if own else Origin("environment", variable, ENVIRONMENT_TRUST)
    if settings.origin(address).trust < told_by.trust:
        return (
            f"{key} is not sent where {address} says ({settings.origin(address)}), for it comes "
            f"from a source that is trusted more ({told_by})"
        )
    url = with_scheme(getattr(settings, address))
    return "" if may_carry_secrets(url) else f"{address} must be https: a secret is sent to it"


def _basic(user: str | None, password: str | None) -> dict[str, str]:
    if not user or not password:
        return {}
    import base64

    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


_Flush = Callable[[Report, Amounts], Amounts | None]


def _own(settings: Settings) -> Iterator[tuple[str, Output, _Flush | None]]:
    """Yield the outputs that need no network: a file, Python's logging, objects of the user's.

    Each with its name, and what a flush calls where that is not ``update``.
    """
    if settings.prometheus_textfile_dir:
        from carbon_core.outputs.prometheus import TextFile

        directory = Path(settings.prometheus_textfile_dir).absolute()
        yield "prometheus_textfile", TextFile(directory, settings.experiment_name), None
    handlers = settings.output_handlers or ()
    for i, handler in enumerate(handlers if isinstance(handlers, Sequence) else (handlers,)):
        name = f"{type(handler).__name__}_{i}"
        if hasattr(handler, "update") and hasattr(handler, "open"):
            yield name, handler, None
        else:
            theirs = _theirs(handler, settings)
            yield name, theirs, theirs.flush
    if OutputMethod.LOGGER in settings.outputs():
        logger = settings.logging_logger
        if hasattr(logger, "out") or hasattr(logger, "live_out"):
            theirs = _theirs(logger, settings)
            yield "logger", theirs, theirs.flush
        else:
            import logging

            from carbon_core.outputs.handlers import LoggerOutput

            yield "logger", LoggerOutput(logger or logging.getLogger(_LOGGER)), None


def _theirs(handler: Any, settings: Settings) -> CodeCarbonHandler:
    """Return an object of CodeCarbon's kind as an output."""
    from carbon_core.outputs.handlers import CodeCarbonHandler

    return CodeCarbonHandler(handler, settings.experiment_name)


def _metadata(settings: Settings) -> Mapping[str, Any]:
    """Return what the user says of the task.

    Raises:
        ConfigError: The file that says it is of no use.
    """
    said = settings.metadata
    if isinstance(said, str):
        try:
            said = json.loads(Path(said).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"metadata: {said} is no JSON file: {error}", key="metadata"
            ) from error
    if not isinstance(said, Mapping):
        return {}
    inner = said.get("boamps", said)
    return inner if isinstance(inner, Mapping) else {}
