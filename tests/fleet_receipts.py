"""Writes receipts of a fleet: runs of several projects, users, clusters, hardware and countries.

A run is a receipt of `carbon_core.outputs.receipt`, of one of a few reports, whose amounts are scaled.

    PYTHONPATH=core:.:tests python tests/fleet_receipts.py DIRECTORY 100000
"""

from __future__ import annotations

import json
import random
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from core.outputs.conftest import report_of

from carbon_core import methods
from carbon_core.job_environment import JobFacts
from carbon_core.outputs import receipt
from carbon_core.record import asdict
from carbon_core.records import Device, HostFacts, Intensity, IntensityShare, Snapshot
from carbon_core.report import Phase, Report

PROJECTS = ("digits", "speech", "protein | folding", 'the "large" one', "a_b & c\\d", "nom\u00e9")
PLACES = (("France", "FRA", 41.4), ("Poland", "POL", 615.0), ("Sweden", "SWE", 40.7))
STATUSES = ("completed",) * 7 + ("failed", "interrupted", "pruned")
GPUS = (
    ("NVIDIA A100-SXM4-80GB", methods.NVML_POWER),
    ("NVIDIA H100 80GB HBM3", methods.NVML_ENERGY),
    ("", None),
)
USERS, CLUSTERS = ("ada", "grace", "", "alan"), ("north", "south", "")
MONTHS = 12
_BEGIN = datetime(2025, 1, 1, tzinfo=timezone.utc)
# What is in kWh, kg, J or l, and so in proportion to the energy.
_UNITS = ("_kwh", "_kg", "_j", "_l", "joules")


def reports() -> list[Report]:
    """Return a report for each hardware and place."""
    found = []
    for model, method in GPUS:
        for country, code, grams in PLACES:
            base = report_of(country_name=country, country_iso_code=code, pue=1.2)
            energies = base.window.end.energies
            devices = list(base.window.end.devices)
            if method is None:
                del devices[1]
                energies = (energies[0], energies[2])
            else:
                devices[1] = Device("gpu:GPU-1", "gpu", model, method, kind=method_kind(method))
            end = replace(base.window.end, devices=tuple(devices), energies=energies)
            window = end - Snapshot(0)
            intensity = Intensity(grams, country, "Ember", "annual", "lifecycle", 0.2, year=2025)
            share = IntensityShare(intensity, window.joules, window.joules / 3.6e6 * 1.2 * grams)
            phases = tuple(
                Phase(name, 7200 * part, window.joules * part, 3, 0.1)
                for name, part in (("setup", 0.05), ("train", 0.75), ("validate", 0.2))
            )
            host = HostFacts("A CPU", 40, 62.5, (model,) * 4 if model else (), {"cpu_tdp_w": "150"})
            found.append(
                replace(base, window=window, intensities=(share,), phases=phases, host=host)
            )
    return found


def method_kind(method: Any) -> Any:
    """Return what the readings of a method are."""
    return "power" if method is methods.NVML_POWER else "counter"


def receipts(count: int, seed: int = 23) -> Iterator[dict[str, Any]]:
    """Yield receipts; every eleventh is a run within the one before it, which measures all of it."""
    chance = random.Random(seed)
    texts = [json.dumps(receipt.receipt(one), default=str) for one in reports()]
    before: dict[str, Any] = {}
    for i in range(count):
        data = json.loads(texts[chance.randrange(len(texts))])
        factor = chance.lognormvariate(0.0, 1.5)
        _scale(data, factor)
        is_inner = i % 11 == 10 and before["is_known"]
        begin = _BEGIN + timedelta(days=30 * MONTHS * chance.random())
        if is_inner:
            data = json.loads(json.dumps(before))
            _scale(data, 0.5)
            begin = datetime.fromisoformat(before["run"]["started_at"])
        run = data["run"]
        run["run_id"] = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        run["started_at"] = begin.isoformat(timespec="milliseconds")
        run["project_name"] = chance.choice(PROJECTS)
        run["origins"] = {"project_name": "argument"}
        run["directory"] = "work"
        run["within"] = [before["run"]["run_id"]] if is_inner else []
        data["ended_at"] = (begin + timedelta(hours=2)).isoformat(timespec="milliseconds")
        data["status"] = chance.choice(STATUSES)
        cluster = chance.choice(CLUSTERS)
        in_array = i % 7 > 1
        job = JobFacts(
            "slurm",
            job_id=str(1000 + i),
            array_id=str(1000 + i - i % 7 + 2) if in_array else "",
            array_index=str(i % 7) if in_array else "",
            node=f"node{i % 50}",
            cluster=cluster,
            user=chance.choice(USERS),
        )
        run["job"] = asdict(job) if cluster else None
        data["logged_metrics"] = (
            {"loss": chance.random(), "val_accuracy": round(chance.uniform(0.5, 0.99), 4)}
            if chance.random() < 0.6
            else {"loss": chance.random()}
        )
        data["work"] = {"steps": 1000.0 * factor, "samples": 64_000.0 * factor, "tokens": None}
        if chance.random() < 0.02 and not is_inner:
            data = _unknown(data)
        yield data
        before = data


def _scale(data: Any, factor: float) -> None:
    """Multiply all amounts by a factor."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(items):
        if isinstance(value, float) and str(key).endswith(_UNITS):
            data[key] = value * factor
        elif key in ("energy_kwh", "emissions_kg", "energy_sd_kwh", "intensity_sd_kg"):
            if isinstance(value, dict):
                data[key] = {
                    one: amount if amount is None else amount * factor
                    for one, amount in value.items()
                }
        elif isinstance(value, (dict, list)):
            _scale(value, factor)


def _unknown(data: dict[str, Any]) -> dict[str, Any]:
    """Return the receipt of a run in which no device was read."""
    found = receipt._without_figures({**data, "is_known": False})
    found["node_energy_kwh"] = found["node_energy_low_kwh"] = found["node_energy_high_kwh"] = None
    found["components"] = {}
    found["share_by_grade"] = {}
    found["devices"] = [
        {
            **one,
            "measured_j": 0.0,
            "extrapolated_j": 0.0,
            "missing_s": data["duration_s"],
            "energy_kwh": None,
            "energy_low_kwh": None,
            "energy_high_kwh": None,
        }
        for one in data["devices"]
    ]
    found["energy_sd_kwh"] = found["intensity_sd_kg"] = {}
    return found


def write(directory: Path, count: int, seed: int = 23) -> None:
    """Write receipts into the ``carbon_runs`` of a directory."""
    runs = directory / "carbon_runs"
    runs.mkdir(parents=True, exist_ok=True)
    for data in receipts(count, seed):
        path = runs / f"{data['run']['run_id']}{receipt.SUFFIX}"
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
