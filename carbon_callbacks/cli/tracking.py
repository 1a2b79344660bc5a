"""A tracker for a command, from settings on its line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from carbon_core import ConfigError, EmissionsTracker
from carbon_core.config.resolve import resolve

WRONG_USE = 2


def tracker_of(settings: Sequence[str], **defaults: Any) -> EmissionsTracker:
    """Return a tracker; exit with 2 where a setting is wrong.

    Args:
        settings: Settings as ``key=value``.
        **defaults: What holds where neither these nor files and variables say anything.
    """
    pairs = [text.partition("=") for text in settings]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        print(f"--set wants key=value, not {wrong[0]!r}", file=sys.stderr)
        raise typer.Exit(WRONG_USE)
    overrides: dict[str, Any] = {key: value for key, _, value in pairs}
    try:
        known = resolve(overrides).settings
        unsaid = {key: v for key, v in defaults.items() if known.origin(key).source == "default"}
        return EmissionsTracker(**overrides, **unsaid)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(WRONG_USE) from error
