"""The official JSON schemas of BoAmps as a judge of reports."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

_DIRECTORY = Path(__file__).parent


def schema(name: str) -> dict[str, Any]:
    """Return a schema, such as ``report``."""
    data: dict[str, Any] = json.loads((_DIRECTORY / f"{name}_schema.json").read_text())
    return data


def complaints(report: Any) -> list[str]:
    """Return what the schemas refuse in a report: the path and the reason of each."""
    return sorted(f"{error.json_path}: {error.message}" for error in _judge().iter_errors(report))


@lru_cache(maxsize=1)
def _judge() -> Draft4Validator:
    names = [path.stem.removesuffix("_schema") for path in _DIRECTORY.glob("*_schema.json")]
    parts = [schema(name) for name in names]
    resources = [(one["id"], Resource(contents=one, specification=DRAFT4)) for one in parts]
    report = schema("report")
    Draft4Validator.check_schema({**report, "properties": {}})
    return Draft4Validator(report, registry=Registry().with_resources(resources))
