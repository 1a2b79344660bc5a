"""A project with everything that a disclosure must count once."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from core.outputs.conftest import report_of
from core.outputs.test_within import saved, without

from carbon_core.outputs.emissions_data import COLUMNS
from carbon_core.outputs.journal import Journal, journal_path
from carbon_core.records import Intensity, IntensityShare
from carbon_core.report import Phase, Report
from carbon_core.run_facts import Work

NAME = 'a|b "c" d\\e_f & <g>\nh'
WORLD = Intensity(480.0, "world", "Ember", "world", "lifecycle", 0.5, year=2025)


def killed(directory: Path, report: Report) -> None:
    """Leave the journal of a run that was killed."""
    journal = Journal(journal_path(directory, report.run.run_id), report)
    journal.append(report)
    journal.close(saved=False)


def row_of(run_id: str, **cells: str) -> dict[str, str]:
    """Return a row of CodeCarbon's CSV file: two hours on two GPUs in France, 2 kWh and 100 g."""
    known = dict.fromkeys(COLUMNS, "")
    return known | {
        "timestamp": "2026-01-02T10:00:00", "run_id": run_id, "project_name": "digits",
        "duration": "7200.0", "emissions": "0.1", "energy_consumed": "2.0", "country_name": "France",
        "country_iso_code": "FRA", "region": "nouvelle-aquitaine", "codecarbon_version": "3.3.2",
        "cpu_count": "32", "cpu_model": "A CPU", "gpu_count": "2.0",
        "gpu_model": "1 x NVIDIA A100, 1 x NVIDIA T4", "ram_total_size": "62.5",
        "tracking_mode": "machine", "on_cloud": "N", "pue": "1.0", "wue": "0.0",
        **cells,
    }  # fmt: skip


def write_rows(path: Path, *rows: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a directory with ten runs of the project ``digits``, and one of another project."""
    earlier = report_of("earlier", kwh=1.0)  # its file is missing
    rank_1 = report_of("rank-1", kwh=2.0, rank=1)
    rank_0 = replace(report_of("rank-0", kwh=4.0), earlier=(earlier.segment,))
    work = Work(steps=100.0, samples=3200.0, tokens=1e6, flops=6e15)
    saved(tmp_path, replace(rank_0, others=(rank_1.segment,), work=work))
    saved(tmp_path, replace(rank_1, others=(rank_0.segment,), work=work))
    saved(tmp_path, report_of("outer", kwh=3.0))
    saved(tmp_path, report_of("inner", kwh=2.0, within=("outer",)))
    saved(tmp_path, report_of("failed", "failed", kwh=0.5))
    saved(tmp_path, without(report_of("unknown"), "cpu", "gpu", "ram"))
    placeless = report_of("placeless", country_name="", country_iso_code="")
    of_world = IntensityShare(WORLD, placeless.window.joules, 1000.0)
    saved(tmp_path, replace(placeless, intensities=(of_world,)))
    evaluation = Phase("test", 7_200.0, placeless.window.joules, 1)
    saved(tmp_path, replace(report_of("evaluation"), phases=(evaluation,)))
    killed(tmp_path, report_of("killed", "running", kwh=0.25))
    saved(tmp_path / "below", report_of("other", kwh=8.0, project_name=NAME))
    write_rows(tmp_path / "emissions.csv", row_of("row"), row_of("rank-0"))
    return tmp_path
