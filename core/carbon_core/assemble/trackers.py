"""`EmissionsTracker` and its offline sister: a tracker made from settings."""

from __future__ import annotations

import contextlib
import sys
import warnings
from dataclasses import replace
from typing import Any

from carbon_core.assemble.parts import make_parts, notices_for
from carbon_core.config import sources
from carbon_core.config.resolve import Resolution, resolve
from carbon_core.config.schema import Settings
from carbon_core.notices import Notices
from carbon_core.tracker.run import Parts
from carbon_core.tracker.tracker import Tracker

_OWN_PACKAGES = ("carbon_core", "carbon_callbacks")


class EmissionsTracker(Tracker):
    """Measures energy and emissions from `start()` to `stop()`.

    Every setting is a keyword argument; those that are not given come from ``CODECARBON_*`` variables,
    ``./.codecarbon.config``, ``~/.codecarbon.config`` and the defaults, in this order. The settings
    are listed in docs/settings.md and by ``carbon-callbacks config show``.

    Example:
        >>> with EmissionsTracker(country_iso_code="FRA", save_to_file=False) as tracker:
        ...     total = sum(range(1000))
        >>> tracker.final_emissions >= 0
        True

    Args:
        project_name: Name of the project in the results.
        measure_power_secs: Seconds between two readings of a counter.
        **overrides: Any other setting.

    Raises:
        ConfigError: An argument is wrong; or a file or variable is, and ``strict_config`` is on.
    """

    _first_phase = "run"

    def __init__(self, *positional: Any, **overrides: Any) -> None:
        super().__init__()
        names = ("project_name", "measure_power_secs")
        if len(positional) > len(names):
            raise TypeError("only project_name and measure_power_secs may be given without names")
        resolution = resolve({**dict(zip(names, positional)), **overrides})
        self.settings: Settings = resolution.settings
        self.notices = notices_for(self.settings)
        _tell(resolution, self.notices)

    def make_parts(self, run_id: str) -> Parts:
        """Return what the next run is made of."""
        environ = sources.process_environment()
        return make_parts(self.settings, run_id, environ, first_phase=self._first_phase)


class OfflineEmissionsTracker(EmissionsTracker):
    """The tracker that never asks a live source, whatever the settings say."""

    def make_parts(self, run_id: str) -> Parts:
        """Return what the next run is made of, without anything that uses the network."""
        return replace(super().make_parts(run_id), live=None)


def _tell(resolution: Resolution, notices: Notices) -> None:
    """Pass on what was found wrong in files and variables, and which names are deprecated."""
    for text in resolution.warnings:
        notices.warn(text)
    notices.deliver()
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
