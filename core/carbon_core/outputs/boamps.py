"""A BoAmps report (https://github.com/Boavizta/BoAmps): the energy use of an AI task, as JSON.

What the task was is given in the setting ``metadata``, which overrides what is filled in here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carbon_core.addresses import masked_value
from carbon_core.errors import ConfigError, OutputError
from carbon_core.input_files import text_of
from carbon_core.outputs.base import make_directory, replace
from carbon_core.report import Report

_FORMAT_VERSION = "0.1"
_FORMAT_URI = "https://github.com/Boavizta/BoAmps/tree/main/model"
_PERCENT = 100.0
_MOST_LEVELS = 50


class BoampsFile:
    """An output (see `carbon_core.outputs.base.FileOutput`): ``boamps_report_<run id>.json``.

    Args:
        directory: The output directory.
        metadata: What the user states about the task.
    """

    def __init__(self, directory: Path, metadata: Mapping[str, Any]) -> None:
        self._directory = directory
        self._metadata = metadata

    def open(self, report: Report) -> None:
        """Nothing is written at the beginning."""

    def update(self, report: Report) -> None:
        """No-op: the report is written once."""

    def flush(self, report: Report) -> None:
        """No-op: the report is written once."""

    def close(self, report: Report) -> None:
        """Write the report of the run."""
        data = boamps_report(report, self._metadata)
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        path = self._directory / f"boamps_report_{report.run.run_id}.json"
        try:
            make_directory(self._directory)
            replace(path, text.encode("utf-8", "replace"))
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def read_metadata(given: Any) -> Mapping[str, Any]:
    """Return what the user states about the task.

    Args:
        given: The setting ``metadata``: a mapping, the path of a JSON file, or None.

    Raises:
        ConfigError: The file cannot be read, or is no JSON.

    Secrets are masked: the report is meant for others.
    """
    if isinstance(given, str):
        try:
            given = json.loads(text_of(Path(given)))
        except (OSError, ValueError, RecursionError) as error:
            message = f"metadata: {given} is no JSON file: {error}"
            raise ConfigError(message, key="metadata") from error
    if not isinstance(given, Mapping):
        return {}
    if _is_deep(given, _MOST_LEVELS):
        message = f"metadata: more than {_MOST_LEVELS} levels of blocks within blocks"
        raise ConfigError(message, key="metadata")
    inner = given.get("boamps", given)
    shown: Mapping[str, Any] = masked_value(inner) if isinstance(inner, Mapping) else {}
    return shown


def _is_deep(data: Any, levels: int) -> bool:
    """Return whether data have more levels: writing them would exceed Python's stack."""
    inner = data.values() if isinstance(data, Mapping) else data if isinstance(data, list) else ()
    return levels < 0 or any(_is_deep(one, levels - 1) for one in inner)


def boamps_report(report: Report, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run as a BoAmps report.

    Args:
        report: The run.
        metadata: Blocks, and values within them, that count before those that are filled in.
    """
    run, load = report.run, report.utilization
    ended = report.ended_at[:19].replace("T", " ")
    on_cloud = bool(run.cloud_provider or run.cloud_region)
    measure = {
        "measurementMethod": "carbon-callbacks",
        "version": run.package_version,
        "powerConsumption": report.energy_kwh.value if report.is_known else None,
        "measurementDuration": report.duration_s,
        "measurementDateTime": ended,
        "averageUtilizationCpu": _fraction(load.cpu_percent),
        "averageUtilizationGpu": _fraction(load.gpu_percent),
    }
    filled = {
        "header": {
            "formatVersion": _FORMAT_VERSION,
            "formatVersionSpecificationUri": _FORMAT_URI,
            "reportId": run.run_id,
            "reportDatetime": ended,
        },
        "measures": [measure],
        "system": {"os": run.os},
        "software": {"language": "python", "version": run.python_version},
        "infrastructure": {
            "infraType": "publicCloud" if on_cloud else "onPremise",
            "cloudProvider": run.cloud_provider or None,
            "components": _components(report),
        },
        "environment": {"country": run.country_name or None},
    }
    merged: dict[str, Any] = _known(_merged(filled, metadata))
    return merged


def _components(report: Report) -> list[dict[str, Any]]:
    host = report.host
    gpus = [
        {"componentType": "gpu", "componentName": name, "nbComponent": host.gpu_models.count(name)}
        for name in dict.fromkeys(host.gpu_models)
    ]
    cpu = {"componentType": "cpu", "componentName": host.cpu_model, "nbComponent": 1}
    ram = {"componentType": "ram", "memorySize": host.ram_total_gb, "nbComponent": 1}
    return [cpu, *gpus, ram]


def _fraction(percent: float | None) -> float | None:
    return None if percent is None else percent / _PERCENT


def _merged(filled: Any, given: Any) -> Any:
    """Return what is filled in, with what was given in its place, block by block."""
    if isinstance(filled, Mapping) and isinstance(given, Mapping):
        both = {
            key: _merged(value, given[key]) if key in given else value
            for key, value in filled.items()
        }
        return {**given, **both}
    if isinstance(filled, list) and isinstance(given, list) and len(filled) == len(given):
        return [_merged(*pair) for pair in zip(filled, given)]
    return given


def _known(data: Any) -> Any:
    """Return data without what is not known."""
    if isinstance(data, Mapping):
        return {key: _known(value) for key, value in data.items() if value is not None}
    return [_known(one) for one in data] if isinstance(data, list) else data
