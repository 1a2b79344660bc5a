"""Counts how often estimates before a training contain the truth; ``--write`` writes docs/estimate.md.

    PYTHONPATH=core:.:tests:tools python tools/write_estimates.py --runs 200 --real 10 --write

The real trainings need Lightning, transformers, Keras and scikit-learn, and some minutes each way.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coverage_simulation import coverage
from coverage_simulation.coverage import Family, Row, simulate
from coverage_simulation.estimating import ESTIMATES
from coverage_simulation.real_trainings import REAL
from generated import between

PAGE = Path(__file__).resolve().parent.parent / "docs" / "estimate.md"
MARKS = (f"{coverage.BEGIN}\n", f"{coverage.END}\n")
SEED = 1


def table(rows: list[Row]) -> str:
    """Return the table of some rows."""
    return "\n".join(["", *coverage.lines_of(rows), "", ""])


def main() -> int:
    """Simulate and train; return 1 where a figure misses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="simulated runs of each family")
    parser.add_argument("--real", type=int, default=10, help="real trainings of each kind")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("families", nargs="*", help="beginnings of the names; default: all")
    given = parser.parse_args()
    chosen: list[tuple[Family, int]] = [(one, given.runs) for one in ESTIMATES.values()]
    chosen += [(one, given.real) for one in REAL.values()]
    rows: list[Row] = []
    for family, runs in chosen:
        if runs and (not given.families or family.name.startswith(tuple(given.families))):
            found = simulate(family, runs, SEED)
            print(*coverage.lines_of(found)[2:], sep="\n", flush=True)
            rows += found
    if given.write:
        PAGE.write_text(between(MARKS, table(rows), PAGE), encoding="utf-8")
    return int(any(row.misses for row in rows))


if __name__ == "__main__":
    sys.exit(main())
