"""An SPDX 3.0.1 document of a model with the energy of its training, fine-tuning and inference.

It conforms to the AI profile, whose classes have no field for emissions, intervals and evaluations:
these are in an annotation, as JSON.
"""

from __future__ import annotations

import re
import uuid
from datetime import timezone
from typing import Any

from carbon_core.clock import SystemClock
from carbon_core.disclosure.activities import INFERENCE, Disclosed
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.market import market_based
from carbon_core.disclosure.stages import FINE_TUNING, Stage, stages_of
from carbon_core.disclosure.text import as_json, group_data, notes
from carbon_core.errors import ConfigError
from carbon_core.escaping import one_line
from carbon_core.limits import time_of
from carbon_core.outputs.receipt import with_ends
from carbon_core.outputs.receipt_reading import TRAINING
from carbon_core.run_facts import NOT_METERED
from carbon_core.version import VERSION

_CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_FIELDS = {
    TRAINING: "ai_trainingEnergyConsumption",
    FINE_TUNING: "ai_finetuningEnergyConsumption",
    INFERENCE: "ai_inferenceEnergyConsumption",
}
_CREATION = "_:creation"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!#-;=?-Z\[\]_a-z~%]+")


def required(disclosed: Disclosed, facts: Facts) -> tuple[str, ...]:
    """Return what is missing because an energy is that of no stage that the format has."""
    unknown = disclosed.by_kind.get("")
    has_stage = bool(_consumption(stages_of(disclosed, facts)))
    if unknown is not None and "run_kind" not in facts:
        # Such as that of `carbon-callbacks run`, which includes that of the training within it.
        has_energy = unknown.energy_kwh is not None and unknown.energy_kwh.value > 0.0
        if has_energy or not has_stage:
            return ("run_kind",)
    return () if has_stage else ("stage",)


def documents(disclosed: Disclosed, facts: Facts) -> dict[str, str]:
    """Return the document as JSON-LD.

    Raises:
        ConfigError: The fact ``release_time`` is no time, or ``download_location`` no address.
    """
    stages = stages_of(disclosed, facts)
    ids = {name: uuid.uuid4().urn for name in ("document", "model", "agent", "tool", "annotation")}
    model = {
        **_element("ai_AIPackage", ids["model"]),
        "name": one_line(facts.text("model_name")),
        "suppliedBy": ids["agent"],
        "releaseTime": _release_time(facts),
        "software_primaryPurpose": "model",
        "software_packageVersion": one_line(facts.text("model_version")),
        "software_downloadLocation": _download_location(facts),
        "ai_energyConsumption": {"type": "ai_EnergyConsumption", **_consumption(stages)},
    }
    annotation = {
        **_element("Annotation", ids["annotation"]),
        "annotationType": "other",
        "subject": ids["model"],
        "contentType": "application/json",
        "statement": _statement(disclosed, stages, facts),
    }
    document = {
        **_element("SpdxDocument", ids["document"]),
        "name": one_line(f"Energy consumption of {facts.text('model_name')}"),
        "profileConformance": ["core", "software", "ai"],
        "rootElement": [ids["model"]],
        "element": [ids[name] for name in ("model", "agent", "tool", "annotation")],
    }
    agent = {**_element("Organization", ids["agent"]), "name": one_line(facts.text("provider"))}
    tool = {**_element("Tool", ids["tool"]), "name": f"carbon-callbacks {VERSION}"}
    creation = {
        "type": "CreationInfo",
        "@id": _CREATION,
        "specVersion": "3.0.1",
        "created": f"{SystemClock().now():%Y-%m-%dT%H:%M:%SZ}",
        "createdBy": [ids["agent"]],
        "createdUsing": [ids["tool"]],
    }
    graph = [creation, agent, tool, document, model, annotation]
    return {"spdx3.json": as_json({"@context": _CONTEXT, "@graph": graph})}


def _element(kind: str, spdx_id: str) -> dict[str, Any]:
    return {"type": kind, "spdxId": spdx_id, "creationInfo": _CREATION}


def _consumption(stages: list[Stage]) -> dict[str, list[dict[str, Any]]]:
    """Return the energies by field of the format."""
    found: dict[str, list[dict[str, Any]]] = {}
    for stage in stages:
        field, energy = _FIELDS.get(stage.name), stage.group.energy_kwh
        if field is not None and energy is not None:
            quantity = {
                "type": "ai_EnergyConsumptionDescription",
                "ai_energyQuantity": energy.value,
                "ai_energyUnit": "kilowattHour",
            }
            found.setdefault(field, []).append(quantity)
    return found


def _statement(disclosed: Disclosed, stages: list[Stage], facts: Facts) -> str:
    """Return what the profile has no field for, as JSON."""
    market = market_based(disclosed.energy_kwh, disclosed.emissions_kg, facts)
    return as_json(
        {
            "total": group_data(disclosed.total),
            "stages": [one.data for one in stages],
            "emissions_scope": "location-based",
            **with_ends("market_based_emissions", "kg", market.emissions_kg if market else None),
            "market_based_source": market.source if market else None,
            "not_metered": NOT_METERED,
            "notes": notes(disclosed),
        }
    )


def _release_time(facts: Facts) -> str:
    """Return the time of the release; one without a time zone is in UTC."""
    text = facts.text("release_time")
    try:
        time = time_of(text)
    except ValueError as error:
        allowed = "a date or time such as 2026-01-31 or 2026-01-31T12:00:00Z"
        raise _wrong(facts, "release_time", allowed) from error
    in_zone = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    return f"{in_zone.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def _download_location(facts: Facts) -> str:
    text = facts.text("download_location")
    if not _ADDRESS.fullmatch(text):
        allowed = "an address such as https://example.org/model"
        raise _wrong(facts, "download_location", allowed)
    return text


def _wrong(facts: Facts, key: str, allowed: str) -> ConfigError:
    origin = facts.origin(key)
    shown = one_line(facts.text(key), 40)
    return ConfigError(f"{origin}: {key} must be {allowed}, not {shown!r}", key=key, origin=origin)
