"""Trains on handwritten digits with three frameworks and compares their energy and emissions."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

# Keras selects its backend on import.
os.environ.setdefault("KERAS_BACKEND", "torch")
warnings.filterwarnings("ignore")

import hf_vit_digits
import keras_digits
import lightning_digits
from rich.console import Console
from rich.table import Table

from carbon_callbacks import Report
from carbon_core import duration, emissions_interval, energy

TRAININGS = {
    "Lightning": lightning_digits.train,
    "HF Trainer": hf_vit_digits.train,
    "Keras 3": keras_digits.train,
}


def main(output_dir: str = "demo_output") -> int:
    """Run the trainings and print one table."""
    results = {name: train(output_dir) for name, train in TRAININGS.items()}
    columns = "framework", "accuracy", "duration", "CPU", "GPU", "RAM", "emissions (95 %)"
    table = Table(*columns, "measured by", title="Energy and emissions of each training")
    for name, (accuracy, report) in results.items():
        table.add_row(name, f"{accuracy:.1%}", *cells(report))
    Console(width=140).print(table)
    report = results["Keras 3"][1]
    source = report.intensities[0].intensity.source
    print(f"Intensity: {report.intensity_g_per_kwh:.0f} g CO2e/kWh ({report.place}; {source})")
    print(f"Files: {Path(output_dir, 'emissions.csv').resolve()}")
    print(f"       {Path(output_dir, 'carbon_runs').resolve()}/*.receipt.json")
    return 0


def cells(report: Report) -> list[str]:
    """Return the cells of a table row for one report."""
    energies = [
        energy(report.component_kwh(part)) if part in report.components else "no meter"
        for part in ("cpu", "gpu", "ram")
    ]
    methods = [method for part in report.components for method in report.methods_of(part)]
    emitted = emissions_interval(report.emissions_kg)
    return [duration(report.duration_s), *energies, emitted, ", ".join(methods)]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
