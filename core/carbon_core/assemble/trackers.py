"""`EmissionsTracker` and its offline variant: trackers made from settings."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from typing import TYPE_CHECKING

from carbon_core.config.lazy_signature import with_settings_in_order
from carbon_core.errors import ConfigError
from carbon_core.interruptions import suppressed
from carbon_core.tracker.tracker import Tracker, harmless

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from typing_extensions import Unpack

    from carbon_core.config.arguments import SettingArguments
    from carbon_core.config.resolve import Resolution
    from carbon_core.config.schema import Settings
    from carbon_core.messages import Messages
    from carbon_core.tracker.parts import Parts

# CodeCarbon's order of its arguments, for those who pass them without names.
_POSITIONAL = (
    "project_name", "measure_power_secs", "api_call_interval", "api_endpoint", "api_key", "output_dir",
    "output_file", "output_methods", "save_to_file", "save_to_api", "save_to_logger",
    "logging_logger", "save_to_prometheus", "save_to_logfire", "prometheus_url", "output_handlers",
    "gpu_ids", "emissions_endpoint", "experiment_id", "experiment_name",
    "electricitymaps_api_token", "co2_signal_api_token", "tracking_mode", "log_level",
    "on_csv_write", "logger_preamble", "force_cpu_power", "force_ram_power", "pue", "wue",
    "force_carbon_intensity_g_co2e_kwh", "force_mode_cpu_load", "allow_multiple_runs",
    "rapl_include_dram", "rapl_prefer_psys", "metadata",
)  # fmt: skip
_OWN_PACKAGES = ("carbon_core", "carbon_callbacks")


@with_settings_in_order(_POSITIONAL)
class EmissionsTracker(Tracker):
    """Measures energy and emissions from `start()` to `stop()`.

    Every setting is a keyword argument; those that are not given come from ``CODECARBON_*`` variables,
    ``./.codecarbon.config``, ``~/.codecarbon.config`` and the defaults, in this order. The settings
    are listed in docs/settings.md and by ``carbon-callbacks config show``.

    Examples:
        >>> with EmissionsTracker(country_iso_code="FRA", save_to_file=False) as tracker:
        ...     total = sum(range(1000))
        >>> tracker.final_emissions >= 0
        True

    Args:
        *positional: Settings in CodeCarbon's order, which begins with ``project_name`` and
            ``measure_power_secs``.
        **overrides: Settings by name.

    Raises:
        ConfigError: An argument is wrong; or a file or variable is, and ``strict_config`` is on.
        TypeError: An argument is given twice, or there are too many without a name.
    """

    _first_phase = "run"
    _offline = False
    # The process that made this copy, and the variable with the run that measures its children.
    _maker: tuple[int, Mapping[str, str]] = (0, {})

    def __init__(self, *positional: Any, **overrides: Unpack[SettingArguments]) -> None:
        # The table of settings is loaded when a tracker is made, not when the class is imported.
        from carbon_core.assemble.making import check_arguments, messages_for
        from carbon_core.config.resolve import resolve

        super().__init__()
        resolution = resolve(_named(positional, overrides))
        self.settings: Settings = resolution.settings
        check_arguments(self.settings)
        self.messages = messages_for(self.settings)
        _tell(resolution, self.messages)

    def make_parts(self, run_id: str) -> Parts:
        """Return what the next run is made of."""
        from carbon_core.config.sources import process_environment

        maker, around = self._maker
        # A copy that stays in its process is within the runs that are active when it begins.
        environ = {**process_environment(), **(around if maker != os.getpid() else {})}
        return make_parts(
            self.settings,
            run_id,
            environ,
            first_phase=self._first_phase,
            offline=self._offline,
        )

    def __getstate__(self) -> dict[str, Any]:
        # A process that gets the copy from one that is measuring, as from a search, is measured by it.
        return {**super().__getstate__(), "_maker": (os.getpid(), _around_copies())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from carbon_core.config.resolve import with_secrets

        self.__dict__.update(state)
        with contextlib.suppress(ConfigError):
            self.settings = with_secrets(self.settings)

    def preload(self) -> None:
        """Load the modules of a run on a thread that ends with it; see `prepare` for the meters."""
        from carbon_core.assemble.preloading import preload

        preload()

    @harmless
    def get_detected_hardware(self) -> dict[str, Any]:
        """Return the hardware that a run would measure, whether or not one is running.

        Returns:
            CodeCarbon's keys: ``ram_total_size`` (GB), ``cpu_count``, ``cpu_physical_count``,
            ``cpu_model``, ``gpu_count``, ``gpu_model`` and ``gpu_ids`` (the setting).
        """
        from carbon_core.assemble.build import detected_hardware
        from carbon_core.config.sources import process_environment

        return detected_hardware(self.settings, process_environment())


class OfflineEmissionsTracker(EmissionsTracker):
    """A tracker that uses the network for nothing, whatever the settings are."""

    _offline = True


def make_parts(*args: Any, **options: Any) -> Parts:
    """Return the parts of a run, as `build.make_parts`, whose modules the first call loads."""
    from carbon_core.assemble import build

    return build.make_parts(*args, **options)


def _around_copies() -> Mapping[str, str]:
    """Return the variable of the innermost run that is active in this process; {} without one."""
    from carbon_core.tracker.active_runs import active

    with suppressed(Exception):  # copies are made with or without it
        for run_id in active()[:1]:
            from carbon_core.config.sources import process_environment
            from carbon_core.outputs.enclosing import variable_for

            return variable_for(run_id, process_environment(), whole_machine=False)
    return {}


def _named(positional: Sequence[Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    if len(positional) > len(_POSITIONAL):
        raise TypeError(f"at most {len(_POSITIONAL)} arguments may be given without a name")
    named = dict(zip(_POSITIONAL, positional))
    if twice := named.keys() & overrides:
        raise TypeError(f"given twice: {', '.join(sorted(twice))}")
    return {**named, **overrides}


def _tell(resolution: Resolution, messages: Messages) -> None:
    """Pass on what was found wrong in files and variables, and which names are deprecated."""
    for text in resolution.warnings:
        messages.warn(text)
    messages.deliver()
    for text, origin in resolution.deprecations:
        if origin.source == "argument":
            warnings.warn(text, DeprecationWarning, stacklevel=_users_level())
        else:
            # Under `-W error` this would raise into the program for a line in a file.
            with contextlib.suppress(DeprecationWarning):
                warnings.warn(text, DeprecationWarning, stacklevel=_users_level())


def _users_level() -> int:
    """Return the stack level of the nearest caller outside this package, seen from the caller."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_OWN_PACKAGES):
        level, frame = level + 1, frame.f_back
    return level
