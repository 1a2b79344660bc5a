"""Market-based emissions: of the electricity that was bought, by figures that the user gives.

They are an addition to the location-based emissions, never a replacement: the GHG Protocol's guidance
on scope 2 requires both. An offset is subtracted from neither.
"""

from __future__ import annotations

from typing import NamedTuple

from carbon_core.disclosure.facts import Facts
from carbon_core.records import Estimate
from carbon_core.units import GRAMS_PER_KG


class MarketBased(NamedTuple):
    """Market-based emissions of an energy.

    Attributes:
        emissions_kg: Emissions in kg CO2e; their interval is that of the energy.
        covered_kwh: Energy that certificates cover.
        g_per_kwh: Factor of the rest.
        source: Sources of certificates and factor, as one line.
        by_location: Whether the factor is that of the location, because no other was given.
    """

    emissions_kg: Estimate
    covered_kwh: float
    g_per_kwh: float
    source: str
    by_location: bool


def market_based(
    energy_kwh: Estimate | None, emissions_kg: Estimate | None, facts: Facts
) -> MarketBased | None:
    """Return the market-based emissions of an energy; None if the user gave no figure for them.

    What certificates do not cover has the factor that was given, or else that of the location.

    Args:
        energy_kwh: The energy in kWh.
        emissions_kg: Its location-based emissions in kg CO2e.
        facts: What the user has given.
    """
    certificates_kwh, factor = facts.number("certificates_kwh"), facts.number("market_g_per_kwh")
    if energy_kwh is None or (certificates_kwh is None and factor is None):
        return None
    by_location = factor is None
    if factor is None:
        if emissions_kg is None:
            return None
        factor = emissions_kg.value * GRAMS_PER_KG / energy_kwh.value if energy_kwh.value else 0.0
    covered_kwh = min(certificates_kwh or 0.0, energy_kwh.value)
    rest = [max(0.0, one - (certificates_kwh or 0.0)) for one in energy_kwh]
    sources = facts.text("market_source"), facts.text("certificates_source")
    return MarketBased(
        Estimate(*rest).scaled(factor / GRAMS_PER_KG),
        covered_kwh,
        factor,
        "; ".join(filter(None, sources)),
        by_location,
    )
