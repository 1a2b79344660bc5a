"""From settings to the outputs of a run: loops over `carbon_core.config.output_table`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from carbon_core.config.local_trust import is_output_allowed
from carbon_core.config.output_table import OUTPUTS, OutputArguments, OutputSpec, output_named
from carbon_core.config.schema import Settings
from carbon_core.messages import Messages
from carbon_core.outputs.base import Delivered, FileOutput, Output
from carbon_core.outputs.delivery import Delivery
from carbon_core.record import replace
from carbon_core.records import Amounts
from carbon_core.report import Report

_Flush = Callable[[Report, Amounts], Amounts | None]


def problems(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Return what keeps the selected outputs from working, one sentence each."""
    return [text for spec in _selected(settings) for text in spec.problems(settings, environ)]


def files(given: OutputArguments) -> list[FileOutput]:
    """Return the files that the settings select."""
    return [cast(FileOutput, spec.make(given)) for spec in _usable(given, "file")]


def deliveries(
    given: OutputArguments,
    messages: Messages,
    confirm: Callable[[Delivered], None],
    *,
    offline: bool = False,
) -> list[Delivery]:
    """Return the outputs that may be slow: services, and the user's own objects.

    Args:
        given: What the outputs are made from.
        messages: Log messages.
        confirm: Receives what each resendable service has accepted.
        offline: Leave out what is sent over the network.
    """
    services = dict(services_of(given))
    if offline and services:
        messages.warn(
            f"an offline tracker sends nothing over the network: not to {', '.join(services)}"
        )
        services = {}
    return [
        Delivery(
            name,
            output,
            clock=given.clock,
            warn=messages.warn,
            confirm=confirm if name in OUTPUTS and OUTPUTS[name].resendable else None,
            flush=_flush_of(output),
        )
        for name, output in [*services.items(), *_local(given), *_handlers(given.settings)]
    ]


def services_of(
    given: OutputArguments, before: Mapping[str, Delivered] | None = None
) -> Iterator[tuple[str, Output]]:
    """Yield the services that the settings select, each with its name in journals.

    Args:
        given: What the outputs are made from.
        before: What each has accepted of the run earlier, by its name.
    """
    for spec in _usable(given, "service"):
        known = (before or {}).get(spec.name)
        arguments = replace(given, remote_id=known.remote_id if known else None)
        yield spec.name, cast(Output, spec.make(arguments))


def resendable(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the selected services that `carbon-callbacks resend` can send to."""
    return tuple(
        spec.name
        for spec in _selected(settings)
        if spec.resendable and _is_usable(spec, settings, environ)
    )


def _selected(settings: Settings) -> list[OutputSpec]:
    for name in settings.outputs():
        output_named(name)  # an unknown one raises: it must not be left out in silence
    return [spec for spec in OUTPUTS.values() if spec.selected(settings)]


def _usable(given: OutputArguments, kind: str) -> Iterator[OutputSpec]:
    """Yield the selected outputs of a kind that can work and may.

    The others were reported: by `problems`, or by `carbon_core.config.local_trust.warnings`.
    """
    for spec in _selected(given.settings):
        if spec.kind == kind and _is_usable(spec, given.settings, given.environ):
            yield spec


def _is_usable(spec: OutputSpec, settings: Settings, environ: Mapping[str, str]) -> bool:
    is_able = spec.tolerant or not spec.problems(settings, environ)
    return is_able and is_output_allowed(spec, settings)


def _local(given: OutputArguments) -> Iterator[tuple[str, Output]]:
    for spec in _usable(given, "local"):
        yield spec.name, cast(Output, spec.make(given))


def _handlers(settings: Settings) -> Iterator[tuple[str, Output]]:
    """Yield the user's own objects: outputs as they are, those of CodeCarbon's kind adapted."""
    handlers: Any = settings.output_handlers or ()
    for i, handler in enumerate(handlers if isinstance(handlers, Sequence) else (handlers,)):
        name = f"{type(handler).__name__}_{i}"
        if hasattr(handler, "update") and hasattr(handler, "open"):
            yield name, handler
        else:
            from carbon_core.outputs.handlers import adapted

            yield name, adapted(handler, settings.experiment_name)


def _flush_of(output: Output) -> _Flush | None:
    """Return what a flush calls where that is not ``update``: CodeCarbon's interface has its own."""
    from carbon_core.outputs.handlers import CodeCarbonHandler

    return output.flush if isinstance(output, CodeCarbonHandler) else None
