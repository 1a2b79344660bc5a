"""Simulates all families and prints the table; `--write` also puts it into docs/uncertainty.md."""

from __future__ import annotations

import argparse
import sys
import time

from coverage_simulation import FAMILIES, coverage, expected
from coverage_simulation.coverage import Row, simulate


def main() -> int:
    """Simulate; return 1 where a figure misses that is not expected to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=250, help="runs of each family")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write docs/uncertainty.md")
    parser.add_argument(
        "families", nargs="*", help="beginnings of the names of families; default: all"
    )
    given = parser.parse_args()
    began_s, rows = time.monotonic(), list[Row]()
    print(*coverage.HEADER, sep="\n")
    for name, family in FAMILIES.items():
        if not given.families or name.startswith(tuple(given.families)):
            found = simulate(family, max(1, round(given.runs * family.cost)), given.seed)
            print(*coverage.lines_of(found)[2:], sep="\n", flush=True)
            rows += found
    print(f"\n{time.monotonic() - began_s:.0f} s")
    if given.write and not given.families:
        coverage.write(rows, given.seed)
    problems = expected.problems_of(rows)
    print(*problems, sep="\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
