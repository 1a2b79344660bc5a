"""What making a tracker needs beside its settings: checks of its arguments, and its log messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carbon_core.config.output_table import OUTPUTS
from carbon_core.errors import ConfigError
from carbon_core.messages import Messages

if TYPE_CHECKING:
    from carbon_core.config.schema import Settings

_LEVELS = {
    "NOTSET": 0, "DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "FATAL": 50,
    "CRITICAL": 50,
}  # fmt: skip


def check_arguments(settings: Settings) -> None:
    """Raise for outputs that an argument selects and that lack what they need.

    Raises:
        ConfigError: The CodeCarbon API is selected and ``experiment_id`` is missing or no UUID; or the
            file in ``metadata`` is unusable.
    """
    for spec in OUTPUTS.values():
        check = spec.check
        if check is None or not (check.always or spec.selected(settings)):
            continue
        by_argument = any(settings.origin(key).source == "argument" for key in check.raises_for)
        if (by_argument or settings.strict_config) and (problem := check.problem(settings)):
            raise ConfigError(problem, key=check.key)


def messages_for(settings: Settings) -> Messages:
    """Return the logger for messages, at the level of the settings."""
    level = settings.log_level
    number = level if isinstance(level, int) else _LEVELS[level]
    return Messages(number, settings.logger_preamble)
