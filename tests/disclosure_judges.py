"""The official judges of disclosures: each returns what it refuses in a document, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import boamps_schemas
import pytest


def of_cyclonedx(text: str) -> list[str]:
    """Return what the schema refuses that belongs to the document's version."""
    pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed")
    validator = _cyclonedx_validator(json.loads(text)["specVersion"])
    return [str(error) for error in validator.validate_str(text, all_errors=True) or ()]


@lru_cache
def _cyclonedx_validator(version: str) -> Any:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.from_version(version))


def of_spdx(text: str) -> list[str]:
    """Return what the model's classes refuse, reading and writing, and ids without an element."""
    pytest.importorskip("spdx_python_model", reason="spdx-python-model is not installed")
    from spdx_python_model.bindings import v3_0_1 as model

    found = model.SHACLObjectSet()
    try:
        model.JSONLDDeserializer().deserialize_data(json.loads(text), found)
        model.JSONLDSerializer().serialize_data(found)
    except (KeyError, TypeError, ValueError) as error:
        return [str(error)]
    return sorted(found.missing_ids)


def of_boamps(text: str) -> list[str]:
    """Return what the JSON schemas of BoAmps refuse."""
    return boamps_schemas.complaints(json.loads(text))


def spdx_element(text: str, kind: str) -> dict[str, Any]:
    """Return the one element of a type."""
    (found,) = (one for one in json.loads(text)["@graph"] if one["type"] == kind)
    element: dict[str, Any] = found
    return element


JUDGES: Mapping[str, Callable[[str], list[str]]] = {
    "cyclonedx": of_cyclonedx,
    "spdx": of_spdx,
    "boamps": of_boamps,
}
# Facts of these formats that are not any text.
FACTS_IN_A_FORM = {
    "release_time": "2026-02-03",
    "download_location": "https://example.org/model",
    "energy_mix": "nuclear=65,wind=10",
}
