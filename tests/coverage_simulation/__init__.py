"""A simulator that checks the stated intervals: do they contain the truth in 95 of 100 runs?

Devices, meters, gaps and grids are random; their truth is known. The package measures them through its
public interfaces (meters, sampler, report, `Training`) on a simulated clock. `nox -s coverage` writes
the table of docs/uncertainty.md, and `test_coverage.py` is a short form.
"""

# Each adds its families to the table, in this order.
from coverage_simulation import (  # isort: skip
    metered, trainings, gapped, mixed, modelled, emitting, forecasting,
)  # fmt: skip
from coverage_simulation.coverage import FAMILIES

__all__ = [
    "FAMILIES", "emitting", "forecasting", "gapped", "metered", "mixed", "modelled", "trainings",
]  # fmt: skip
