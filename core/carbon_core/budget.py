"""What a run may use: energy or emissions, and what is told on the way there."""

from __future__ import annotations

from collections.abc import Callable

from carbon_core.report import Report

# At these shares people want to hear of it.
_TOLD_AT = (0.5, 0.8, 1.0)


class Budget:
    """A limit for a run.

    Attributes:
        is_spent: Whether a limit is reached. May be read from any thread, at every step.

    Args:
        kwh: Energy in kWh, or None for no limit.
        kg_co2e: Emissions in kg CO2e, or None for no limit.
        tell: Told in words when half, four fifths and all of a limit are used up.
    """

    def __init__(
        self, kwh: float | None, kg_co2e: float | None, tell: Callable[[str], None]
    ) -> None:
        self.is_spent = False
        self._limits = {"budget_kwh": kwh, "budget_kg_co2e": kg_co2e}
        self._tell = tell
        self._told: dict[str, float] = {}

    def check(self, report: Report) -> None:
        """Compare a run's totals, with those of the training's other parts, with its limits."""
        used = {
            "budget_kwh": report.training_kwh,
            "budget_kg_co2e": report.training_kg,
        }
        for name, limit in self._limits.items():
            if limit is None:
                continue
            share = max((mark for mark in _TOLD_AT if used[name] >= mark * limit), default=0.0)
            if share > self._told.get(name, 0.0):
                self._told[name] = share
                self._tell(f"{share:.0%} of {name}={limit:g} is used up ({used[name]:.3g})")
            self.is_spent |= used[name] >= limit
