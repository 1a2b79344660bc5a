"""Writes the table of Prometheus metrics into docs/dashboards.md.

With ``--check``, changes nothing; exit status 1 means that the page would change.
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated import between, write_or_check

from carbon_core.outputs.metric_families import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "dashboards.md"
MARKS = ("<!-- metrics: begin -->\n", "<!-- metrics: end -->")


def table() -> str:
    """Return the table of metrics."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for name, family in FAMILIES.items():
        labels = ", ".join(f"`{label}`" for label in family.labels)
        rows.append(f"| `{name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: between(MARKS, table(), PAGE)}))
