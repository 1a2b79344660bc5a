"""Energy and emissions limits of a training, with warnings when parts of them are used."""

from __future__ import annotations

from collections.abc import Callable

from carbon_core.formatting import emissions, energy
from carbon_core.report import Report

_WARNING_LEVELS = (0.5, 0.8, 1.0)


class Budget:
    """Limits for a run.

    Attributes:
        is_spent: Whether a limit is reached. May be read on any thread, at every step.

    Args:
        kwh: Energy in kWh; None for no limit.
        kg_co2e: Emissions in kg CO2e; None for no limit.
        warn: Called with a message when 50 %, 80 % and 100 % of a limit are used.
    """

    def __init__(
        self, kwh: float | None, kg_co2e: float | None, warn: Callable[[str], None]
    ) -> None:
        self.is_spent = False
        self._limits = {"budget_kwh": kwh, "budget_kg_co2e": kg_co2e}
        self._warn = warn
        self._warned: dict[str, float] = {}

    def check(self, report: Report) -> None:
        """Compare the totals of a run, and of the other parts of its training, with the limits."""
        totals = {
            "budget_kwh": ("energy", report.training_kwh, energy),
            "budget_kg_co2e": ("emissions", report.training_kg, emissions),
        }
        for name, limit in self._limits.items():
            if limit is None:
                continue
            quantity, used, as_text = totals[name]
            level = max((one for one in _WARNING_LEVELS if used >= one * limit), default=0.0)
            if level > self._warned.get(name, 0.0):
                self._warned[name] = level
                amounts = f"{as_text(used)} of {as_text(limit)} ({name})"
                self._warn(f"{quantity} budget {level:.0%} used: {amounts}")
            self.is_spent |= used >= limit
