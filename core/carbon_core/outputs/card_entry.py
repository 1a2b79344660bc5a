"""The entry ``co2_eq_emissions`` of a Hugging Face model card, in grams.

The keys are those of https://huggingface.co/docs/hub/model-cards-co2. The Hub reads the first number of
``emissions``, so it is a plain float without an exponent. A value in kilograms is a common mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from carbon_core.escaping import one_line
from carbon_core.outputs.receipt_reading import Receipt, of_report
from carbon_core.records import HostFacts
from carbon_core.report import Report
from carbon_core.units import GRAMS_PER_KG

# Python and YAML write smaller numbers with an exponent.
_DECIMALS = 4


def card_entry(report: Report, training_type: str = "") -> dict[str, Any]:
    """Return the entry for a run and the runs that it continues; empty where its energy is unknown.

    Args:
        report: The run.
        training_type: ``pre-training`` or ``fine-tuning``, or an empty string if unknown.

    Raises:
        DecodingError: A total of the run is out of range.
    """
    return entry_of_receipt(of_report(report), training_type)


def entry_of_receipt(found: Receipt, training_type: str = "") -> dict[str, Any]:
    """Return the entry for the run of a receipt; empty where its energy is unknown.

    Args:
        found: The receipt.
        training_type: As for `card_entry`.
    """
    emissions_kg = (found.training or found.segment).emissions_kg
    if emissions_kg is None or not found.is_known:
        return {}
    sources = [f"carbon-callbacks {found.run.package_version}"]
    sources += dict.fromkeys(one.source for one in found.intensities)
    location = _location(found)
    return entry_of(emissions_kg, sources, training_type, location, _hardware(found.host))


def entry_of(
    emissions_kg: float, sources: Iterable[str], training_type: str, location: str, hardware: str
) -> dict[str, Any]:
    """Return the entry for some emissions.

    Args:
        emissions_kg: Emissions in kg CO2e.
        sources: What they were measured with, and the sources of the grid intensity.
        training_type: As for `card_entry`.
        location: Location of the hardware; an empty string if unknown, as for the next one.
        hardware: The hardware.
    """
    entry = {
        "emissions": round(max(0.0, emissions_kg) * GRAMS_PER_KG, _DECIMALS),
        "source": "; ".join(sources),
        "training_type": training_type,
        "geographical_location": location,
        "hardware_used": hardware,
    }
    return {
        key: one_line(value) if isinstance(value, str) else value
        for key, value in entry.items()
        if value != ""
    }


def _location(found: Receipt) -> str:
    """Return the location whose intensity applies to most of the energy; empty for the world."""
    known = [one for one in found.intensities if one.kind != "world"]
    if not known:
        return ""
    most = max(known, key=lambda one: one.energy_kwh or 0.0)
    return found.run.country_name if most.kind == "user" else most.place


def _hardware(host: HostFacts) -> str:
    counted = [f"{count} x {name}" for name, count in Counter(host.gpu_models).items()]
    return ", ".join(counted or [host.cpu_model or ""])
