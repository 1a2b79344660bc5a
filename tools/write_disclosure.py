"""Generates the tables of docs/disclosure.md from the tables of formats and facts.

With ``--check``, changes nothing; exit status 1 means that the page would change.
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated import between, write_or_check

from carbon_core.disclosure.facts import FACTS, Fact
from carbon_core.disclosure.formats import FORMATS, Format

PAGE = Path(__file__).resolve().parent.parent / "docs" / "disclosure.md"
MARKS = ("<!-- tables: begin -->\n", "<!-- tables: end -->")
FORMATS_HEAD = "| `--format` | what | required | valid for |\n|---|---|---|---|\n"
FACTS_HEAD = "| fact | unit | | formats |\n|---|---|---|---|\n"


def tables() -> str:
    """Return both tables, each with its title."""
    formats, facts = "".join(map(_format, FORMATS)), "".join(map(_fact, FACTS))
    return f"\n## Formats\n\n{FORMATS_HEAD}{formats}\n## Facts\n\n{FACTS_HEAD}{facts}\n"


def _format(row: Format) -> str:
    required = ", ".join(f"`{key}`" for key in row.required)
    return f"| `{row.name}` | {row.title} | {required} | {row.judge} |\n"


def _fact(row: Fact) -> str:
    choices = f" One of {', '.join(f'`{one}`' for one in row.choices)}." if row.choices else ""
    formats = ", ".join(one.name for one in FORMATS if one.name in row.formats)
    unit = row.unit or ("number" if row.kind == "number" else "text")
    return f"| `{row.key}` | {unit} | {row.help}{choices} | {formats} |\n"


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: between(MARKS, tables(), PAGE)}))
