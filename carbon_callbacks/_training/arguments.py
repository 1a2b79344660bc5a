"""The arguments that every callback takes, for type checkers and editors."""

from __future__ import annotations

from carbon_core import SettingArguments


class CallbackArguments(SettingArguments, total=False):
    """The arguments of `carbon_callbacks.training.Training`, and every setting."""

    name: str | None
    forecast: bool
    sync: bool
    improvement_of: str | None
    improvement_mode: str
    min_improvement_per_kwh: float | None
    patience: int
    on_low_improvement: str
