"""Generates the tables of docs/works-in.md: libraries in which a line of code was run with the callback.

A row is in the table only if its tests passed: `nox -s works_in` writes tests/works_in/results.json.
With ``--check``, changes nothing; exit status 1 means that the page would change.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from generated import between, write_or_check

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "works-in.md"
TESTS = ROOT / "tests" / "works_in"
RUN = ("<!-- works in: begin -->\n", "<!-- works in: end -->")
NOT_RUN = ("<!-- left out: begin -->\n", "<!-- left out: end -->")
TABLE = runpy.run_path(str(TESTS / "libraries.py"))
HEAD = "| library | tested | line of code | limits |\n|---|---|---|---|\n"


def results() -> dict[str, Any]:
    """Return what the tests have recorded, by package."""
    text = (TESTS / "results.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def tables(recorded: Mapping[str, Any]) -> str:
    """Return a table for each framework, with the libraries that were run."""
    pieces = []
    for framework, package in TABLE["PACKAGES_OF"].items():
        rows = "".join(_rows(framework, recorded))
        if rows:
            pieces.append(f"\n## On {TABLE['TITLES'][package]}\n\n")
            pieces.append(f"`from carbon_callbacks.{framework} import EmissionsCallback`\n\n")
            pieces.append(HEAD + rows)
    return "".join(pieces) + "\n"


def _rows(framework: str, recorded: Mapping[str, Any]) -> Iterator[str]:
    for library in TABLE["LIBRARIES"]:
        result = recorded.get(library.package)
        if library.framework != framework or result is None:
            continue
        version, limits = f"{result['version']} with {_beside(result)}", library.limits
        name = library.name
        for line in result["lines"].values():
            code = line.replace("|", "\\|")
            yield f"| {name} | {version} | `{code}` | {limits} |\n"
            name = version = limits = ""


def _beside(result: Mapping[str, Any]) -> str:
    # Without the local part of a version, such as +cpu.
    return ", ".join(f"{one} {text.partition('+')[0]}" for one, text in result["beside"].items())


def left_out() -> str:
    """Return the table of the libraries that were not run."""
    rows = [f"| {name} | {reason} |\n" for name, reason in TABLE["LEFT_OUT"].items()]
    return "\n| library | why not |\n|---|---|\n" + "".join(rows) + "\n"


def page(recorded: Mapping[str, Any] | None = None) -> str:
    """Return the page, with the tables of what was recorded."""
    recorded = results() if recorded is None else recorded
    text = between(RUN, tables(recorded), PAGE)
    before, _, rest = text.partition(NOT_RUN[0])
    _, _, after = rest.partition(NOT_RUN[1])
    return f"{before}{NOT_RUN[0]}{left_out()}{NOT_RUN[1]}{after}"


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}))
