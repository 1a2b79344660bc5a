"""Create a tracker from ``--set`` options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from carbon_callbacks.cli.terminal import warn
from carbon_core import ConfigError, EmissionsTracker
from carbon_core.config.resolve import resolve
from carbon_core.config.schema import Settings

WRONG_USE = 2


def tracker_of(settings: Sequence[str], **defaults: Any) -> EmissionsTracker:
    """Return a tracker; exit with 2 if a setting is invalid.

    Args:
        settings: Settings as ``key=value``.
        **defaults: Values of settings that are set neither here nor in files or variables.
    """
    overrides: dict[str, Any] = overrides_of(settings)
    try:
        settings_in_effect = resolve(overrides).settings
        unset = {
            key: v
            for key, v in defaults.items()
            if settings_in_effect.origin(key).source == "default"
        }
        return EmissionsTracker(**overrides, **unset)
    except ConfigError as error:
        warn(error)
        raise typer.Exit(WRONG_USE) from error


def overrides_of(settings: Sequence[str]) -> dict[str, str]:
    """Return settings that were given as ``key=value``; exit with 2 if one is not of this form."""
    pairs = [text.partition("=") for text in settings]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        warn(f"--set needs key=value, got {wrong[0]!r}")
        raise typer.Exit(WRONG_USE)
    return {key: value for key, _, value in pairs}


def settings_of(overrides: Mapping[str, str]) -> Settings:
    """Return the effective settings; exit with 2 if one of these is invalid."""
    try:
        return resolve(overrides).settings
    except ConfigError as error:
        warn(error)
        raise typer.Exit(WRONG_USE) from error
