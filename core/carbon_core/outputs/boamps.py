"""A BoAmps report (https://github.com/Boavizta/BoAmps): the energy use of an AI task, as JSON.

What the task was is given in the setting ``metadata``, which overrides what is filled in here. A
report that lacks a required field is a draft: it names no version of the format, and a warning lists
what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from carbon_core.addresses import masked_value
from carbon_core.errors import ConfigError, OutputError
from carbon_core.escaping import one_line
from carbon_core.input_files import text_of
from carbon_core.outputs.base import make_directory, replace
from carbon_core.outputs.boamps_fields import FORMAT_URI, FORMAT_VERSION, problems
from carbon_core.records import GUESSED, Estimate, HostFacts
from carbon_core.report import Report
from carbon_core.run_facts import RunFacts

_PERCENT = 100.0
_MOST_LEVELS = 50
_TIME = len("2026-01-31T12:00:00")
# The highest relative error of each quality of the format.
_QUALITIES = ((0.10, "high"), (0.25, "medium"), (0.50, "low"))
# Kinds of data of which a sample has several.
PARTS_OF_SAMPLES = ("token", "word")
# What implements a model, by the fact that has its version: Keras before its backends.
_FRAMEWORKS = {"keras": "keras", "torch": "pytorch", "jax": "jax", "tensorflow": "tensorflow"}


class BoampsFile:
    """An output (see `carbon_core.outputs.base.FileOutput`): ``boamps_report_<run id>.json``.

    Args:
        directory: The output directory.
        metadata: What the user states about the task.
        warn: Receives the list of what a report lacks.
    """

    def __init__(
        self,
        directory: Path,
        metadata: Mapping[str, Any],
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._directory = directory
        self._metadata = metadata
        self._warn = warn

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
        lacking = problems(data)
        if lacking:
            self._warn(
                f"{path.name} is a draft, no valid BoAmps report; supply in the setting metadata: "
                f"{'; '.join(lacking)}"
            )


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
    """Return a run as a BoAmps report, or as a draft of one where a required field is unknown.

    Args:
        report: The run.
        metadata: Blocks, and values within them, that count before those that are filled in.
    """
    run = report.run
    on_cloud = bool(run.cloud_provider or run.cloud_region)
    filled = {
        "header": {"reportId": run.run_id, "reportDatetime": boamps_time(report.ended_at)},
        "task": _task(report),
        "measures": [_measure(report)],
        "system": {"os": run.os},
        "software": {"language": "python", "version": run.python_version},
        "infrastructure": {
            "infraType": "publicCloud" if on_cloud else "onPremise",
            "cloudProvider": run.cloud_provider or None,
            "components": components(
                [report.host.cpu_model], report.host.gpu_models, report.host.ram_total_gb
            ),
        },
        "environment": _environment(report),
        "quality": quality(report.energy_kwh) if report.is_known else None,
    }
    merged = _merged({key: _known(value) for key, value in filled.items()}, metadata)
    if report.dataset_samples is not None:
        _add_quantity(merged, report.dataset_samples)
    return finished(merged)


def finished(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report without what is unknown, with the format's version if it is complete.

    Args:
        data: The report; an empty block is one of which nothing is known.
    """
    report = {key: value for key, value in _known(data).items() if value not in (None, {}, [])}
    header = report.get("header")
    if not isinstance(header, Mapping):
        return report
    if problems(report):
        return {**report, "header": {"reportStatus": "draft", **header}}
    version = {"formatVersion": FORMAT_VERSION, "formatVersionSpecificationUri": FORMAT_URI}
    return {**report, "header": {**version, **header}}


def boamps_time(time: str) -> str:
    """Return an ISO time in UTC as the format writes it."""
    return time[:_TIME].replace("T", " ")


def quality(energy: Estimate) -> str | None:
    """Return the format's name of a 95 % interval's width; None for wider ones."""
    if energy.value <= 0:
        return None
    error = max(energy.high - energy.value, energy.value - energy.low) / energy.value
    return next((name for most, name in _QUALITIES if error <= most), None)


def components(
    cpu_models: Iterable[str | None], gpu_models: Sequence[str], memory_gb: float | None
) -> list[dict[str, Any]]:
    """Return the components of a machine.

    Args:
        cpu_models: Names of its processors; None for an unknown one.
        gpu_models: Names of its GPUs, one for each.
        memory_gb: Its memory in GiB; None if unknown.
    """
    cpus = [
        {"componentType": "cpu", "componentName": name, "nbComponent": 1} for name in cpu_models
    ]
    gpus = [
        {"componentType": "gpu", "componentName": name, "nbComponent": gpu_models.count(name)}
        for name in dict.fromkeys(gpu_models)
    ]
    # A whole number in this format.
    size = None if memory_gb is None else max(1, round(memory_gb))
    return [*cpus, *gpus, {"componentType": "ram", "memorySize": size, "nbComponent": 1}]


def algorithm_of(run: RunFacts, host: HostFacts) -> dict[str, str]:
    """Return the framework, its version and the model's class by the names of the format, if known."""
    framework = next((name for name in _FRAMEWORKS if f"{name}_version" in host.facts), None)
    fields = {
        "framework": _FRAMEWORKS[framework] if framework else "",
        "frameworkVersion": one_line(host.facts[f"{framework}_version"]) if framework else "",
        "classPath": one_line(run.model_class),
    }
    return {name: text for name, text in fields.items() if text}


def _task(report: Report) -> dict[str, Any]:
    """Return the fields of the task that a run has."""
    is_training = any(amount is not None for amount in report.work)
    served = report.requests
    algorithm = algorithm_of(report.run, report.host)
    return {
        "taskStage": "training" if is_training else "inference" if served else None,
        "nbRequest": sum(one.completed for one in served.counters) if served else None,
        "algorithms": [algorithm] if algorithm else None,
        "dataset": _dataset(report),
    }


def _dataset(report: Report) -> list[dict[str, str]] | None:
    """Return the data of a run, whose type is known where tokens are counted; None if unknown."""
    if report.work.tokens is not None:
        return [{"dataUsage": "input", "dataType": "token"}]
    return [{"dataUsage": "input"}] if report.dataset_samples is not None else None


def _add_quantity(merged: Mapping[str, Any], samples: float) -> None:
    """Add the samples of a training's only data set, unless the user states a number.

    Not where its type is one of which a sample has several.
    """
    match merged.get("task"):
        case {"dataset": [{"dataUsage": "input"} as data]}:
            if data.get("dataType") not in PARTS_OF_SAMPLES:
                data.setdefault("dataQuantity", samples)


def _measure(report: Report) -> dict[str, Any]:
    run, load = report.run, report.utilization
    return {
        "measurementMethod": "carbon-callbacks",
        "version": run.package_version,
        "powerConsumption": report.energy_kwh.value if report.is_known else None,
        "measurementDuration": report.duration_s,
        "measurementDateTime": boamps_time(run.started_at),
        "averageUtilizationCpu": _fraction(load.cpu_percent),
        "averageUtilizationGpu": _fraction(load.gpu_percent),
    }


def _environment(report: Report) -> dict[str, Any]:
    """Return the place of a run and its grid intensity; nothing where the place is only guessed."""
    name = report.run.country_name
    if not name or any(share.intensity.place.endswith(GUESSED) for share in report.intensities):
        return {}
    g_per_kwh = report.intensity_g_per_kwh if report.intensities else None
    return {"country": name, "powerSourceCarbonIntensity": g_per_kwh}


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
