"""The entry ``co2_eq_emissions`` of a Hugging Face model card, for all runs of a project."""

from __future__ import annotations

from typing import Any

from carbon_core.disclosure.activities import INFERENCE, Disclosed
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.text import distinct, hardware_text
from carbon_core.outputs.card_entry import entry_of
from carbon_core.outputs.card_text import with_entry


def documents(disclosed: Disclosed, facts: Facts) -> dict[str, str]:
    """Return a model card that has nothing but the entry."""
    return {"md": edited(b"", disclosed, facts).decode()}


def edited(card: bytes, disclosed: Disclosed, facts: Facts) -> bytes:
    """Return the bytes of a card with the entry in its metadata; all else is as before.

    Raises:
        OutputError: Its metadata cannot be edited.
    """
    return with_entry(card, entry(disclosed, facts))


def entry(disclosed: Disclosed, facts: Facts) -> dict[str, Any]:
    """Return the entry; inference is no part of it."""
    kg = disclosed.development.emissions_kg
    developed = [one for one in disclosed.activities if one.kind != INFERENCE]
    measured = [one for one in developed if one.energy_kwh is not None]
    kwh_by_place: dict[str, float] = {}
    for place in (place for one in measured for place in one.places if place.kind != "world"):
        kwh_by_place[place.place] = kwh_by_place.get(place.place, 0.0) + place.energy_kwh
    most = max(kwh_by_place, key=lambda name: kwh_by_place[name], default="")
    return entry_of(
        kg.value if kg else 0.0,
        distinct(
            [
                *(one.package_version for one in measured),
                *(place.source for one in measured for place in one.places),
            ]
        ),
        facts.text("training_type"),
        facts.text("location") or most,
        facts.text("hardware") or hardware_text(measured),
    )
