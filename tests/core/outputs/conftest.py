"""A run to write down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from carbon_core import methods, units
from carbon_core.records import (
    Device,
    Energy,
    HostFacts,
    Intensity,
    IntensityShare,
    Refusal,
    Snapshot,
    Utilization,
)
from carbon_core.report import Phase, Report, RunFacts

KWH = units.JOULES_PER_KWH


def report_of(
    run_id: str = "run-1", status: str = "completed", kwh: float = 4.0, **facts: Any
) -> Report:
    """Return a run of two hours: CPU a quarter, GPU 70 %, RAM 5 %; 350 g at 4 kWh."""
    known: dict[str, Any] = {
        "project_name": "digits",
        "started_at": "2026-01-01T10:00:00.000+00:00",
        "package_version": "1.2.3",
        "python_version": "3.11.7",
        "os": "Linux 6.1",
        "country_name": "France",
        "country_iso_code": "FRA",
        "experiment_id": "235b1da5-aaaa-aaaa-aaaa-893681599d2c",
        "pue": 1.5,
        "wue": 2.0,
        "settings": {"pue": "1.5", "api_key": "(hidden)"},
        "origins": {"pue": "argument"},
        "settings_not_used": ("save_to_api", "api_key"),
        **facts,
    }
    devices = (
        Device("cpu:package-0", "cpu", "package-0", methods.RAPL_INTEL_SERVER, wrap_j=262_143.3),
        Device("gpu:GPU-1", "gpu", "A100", methods.NVML_POWER, kind="power"),
        Device("ram:all", "ram", "64 GiB", methods.RAM_MODEL),
    )
    energies = (
        Energy(0.25 * kwh * KWH),
        Energy(0.6 * kwh * KWH, 0.1 * kwh * KWH, 12.5),
        Energy(0.05 * kwh * KWH),
    )
    france = Intensity(50.0, "France", "Ember", "annual", "lifecycle", 0.2, year=2025)
    live = Intensity(100.0, "FR", "EM", "live", "direct", 0.05, time="2026-01-01T11:00:00Z")
    pue = known["pue"]
    return Report(
        run=RunFacts(run_id, **known),
        status=status,
        ended_at="2026-01-01T12:00:00.000+00:00",
        window=Snapshot(units.nanoseconds(7_200), devices, energies) - Snapshot(0),
        intensities=(
            IntensityShare(france, 0.25 * kwh * KWH, 12.5 * kwh * pue),
            IntensityShare(live, 0.75 * kwh * KWH, 75.0 * kwh * pue),
        ),
        phases=(Phase("train", 7_000.0, 0.9 * kwh * KWH, 3), Phase("fit", 200.0, 0.1 * KWH, 1)),
        host=HostFacts("A CPU", 40, 62.5, ("A100", "A100", "T4"), {"cpu_tdp_w": "150"}),
        refusals=(Refusal("rapl", "cpu", "no zone", "none"),),
        utilization=Utilization(51.5, None, 20.25, 12.0),
    )


@pytest.fixture
def make_report() -> Callable[..., Report]:
    return report_of
