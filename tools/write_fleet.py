"""Generates the tables of docs/fleet.md, and their schema, from the columns and questions of an export.

With ``--check``, changes nothing; exit status 1 means that a file would change.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from generated import between, write_or_check

from carbon_core.fleet.columns import ALL_TABLES, SCHEMA_VERSION, TIME, Column, Table
from carbon_core.fleet.queries import QUESTIONS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "fleet.md"
SCHEMA = ROOT / "core" / "carbon_core" / "data" / "fleet.schema.json"
COLUMN_MARKS = ("<!-- columns: begin -->\n", "<!-- columns: end -->")
QUESTION_MARKS = ("<!-- questions: begin -->\n", "<!-- questions: end -->")
_JSON_TYPES = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}


def columns() -> str:
    """Return a section for each table."""
    return "\n" + "\n".join(map(_section, ALL_TABLES)) + "\n"


def _section(table: Table) -> str:
    rows = [
        f"| `{one.name}` | {one.type} | {one.unit} | {one.description} |" for one in table.columns
    ]
    head = ["| column | type | unit | |", "|---|---|---|---|"]
    return "\n".join([f"### `{table.name}`", "", f"A row is {table.row}.", "", *head, *rows, ""])


def questions() -> str:
    """Return the table of questions."""
    rows = [f"| `{name}` | {question} |\n" for name, question in QUESTIONS.items()]
    return "\n| view | question |\n|---|---|\n" + "".join(rows) + "\n"


def schema() -> dict[str, Any]:
    """Return the JSON schema of the rows of each table, as JSON Lines have them."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rows of the tables of an export",
        "description": f"Version {SCHEMA_VERSION}. Null means not available, and never 0.",
        "$defs": {table.name: _rows(table) for table in ALL_TABLES},
    }


def _rows(table: Table) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"A row is {table.row}.",
        "additionalProperties": False,
        "required": list(table.names),
        "properties": {one.name: _property(one) for one in table.columns},
    }


def _property(column: Column) -> dict[str, Any]:
    if column.name == "schema_version":
        return {"const": SCHEMA_VERSION, "description": column.description}
    kind = "string" if column.type == TIME else _JSON_TYPES[column.type]
    described = f"{column.description} Unit: {column.unit}." if column.unit else column.description
    time = {"format": "date-time"} if column.type == TIME else {}
    return {"type": [kind, "null"], **time, "description": described}


def pages() -> dict[Path, str]:
    """Return the text of each file."""
    with_columns = between(COLUMN_MARKS, columns(), PAGE)
    before, _, rest = with_columns.partition(QUESTION_MARKS[0])
    after = rest.partition(QUESTION_MARKS[1])[2]
    page = f"{before}{QUESTION_MARKS[0]}{questions()}{QUESTION_MARKS[1]}{after}"
    return {PAGE: page, SCHEMA: json.dumps(schema(), indent=1) + "\n"}


if __name__ == "__main__":
    sys.exit(write_or_check(pages()))
