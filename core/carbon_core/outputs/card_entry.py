"""The entry ``co2_eq_emissions`` of a Hugging Face model card, in grams.

The keys are those of https://huggingface.co/docs/hub/model-cards-co2. The Hub reads the first number of
``emissions``, so it is a plain float without an exponent. A value in kilograms is a common mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from carbon_core.outputs.receipt import receipt
from carbon_core.report import Report
from carbon_core.units import GRAMS_PER_KG

# Python and YAML write smaller numbers with an exponent.
_DECIMALS = 4


def card_entry(report: Report, training_type: str = "") -> dict[str, Any]:
    """Return the entry for a run and the runs that it continues; empty where its energy is unknown.

    Args:
        report: The run.
        training_type: ``pre-training`` or ``fine-tuning``, or an empty string if unknown.
    """
    return entry_of_receipt(receipt(report), training_type)


def entry_of_receipt(data: Mapping[str, Any], training_type: str = "") -> dict[str, Any]:
    """Return the entry for the run of a receipt; empty where its energy is unknown.

    Args:
        data: The receipt.
        training_type: As for `card_entry`.

    Raises:
        KeyError: The data are not a receipt.
    """
    emissions_kg = data["training"]["emissions_kg"]
    if emissions_kg is None:
        return {}
    sources = dict.fromkeys(one["source"] for one in data["intensities"])
    version = data["run"]["package_version"]
    entry = {
        "emissions": round(emissions_kg * GRAMS_PER_KG, _DECIMALS),
        "source": "; ".join([f"carbon-callbacks {version}", *sources]),
        "training_type": training_type,
        "geographical_location": _location(data),
        "hardware_used": _hardware(data["host"]),
    }
    return {key: value for key, value in entry.items() if value != ""}


def _location(data: Mapping[str, Any]) -> str:
    """Return the location whose intensity applies to most of the energy; empty for the world."""
    known = [one for one in data["intensities"] if one["kind"] != "world"]
    if not known:
        return ""
    most = max(known, key=lambda one: one["energy_kwh"])
    place = data["run"]["country_name"] if most["kind"] == "user" else most["place"]
    return str(place)


def _hardware(host: Mapping[str, Any]) -> str:
    counted = [f"{count} x {name}" for name, count in Counter(host["gpu_models"]).items()]
    return ", ".join(counted or [host["cpu_model"] or ""])
