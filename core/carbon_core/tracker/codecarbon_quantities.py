"""Energy, power and water as CodeCarbon's trackers give them."""

from __future__ import annotations

from dataclasses import dataclass

from carbon_core import units


@dataclass(frozen=True, order=True)
class Energy:
    """Energy in kWh, with CodeCarbon's name and arithmetic."""

    kWh: float  # noqa: N815 - CodeCarbon's name for it

    def __add__(self, other: Energy) -> Energy:
        return Energy(self.kWh + other.kWh)

    def __sub__(self, other: Energy) -> Energy:
        return Energy(self.kWh - other.kWh)

    def __mul__(self, factor: float) -> Energy:
        return Energy(self.kWh * factor)

    def __truediv__(self, divisor: float) -> Energy:
        return Energy(self.kWh / divisor)

    def __float__(self) -> float:
        return self.kWh


@dataclass(frozen=True, order=True)
class Power:
    """Power in kW, with CodeCarbon's names."""

    kW: float  # noqa: N815 - CodeCarbon's name for it

    @property
    def W(self) -> float:  # noqa: N802 - CodeCarbon's name for it
        """Power in watts."""
        return self.kW * units.WATTS_PER_KILOWATT


@dataclass(frozen=True, order=True)
class Water:
    """Water in litres, with CodeCarbon's name."""

    litres: float
