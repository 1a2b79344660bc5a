"""Structure: no class of the package is too long to read."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_CLASS_LINES = 250
# A table has one field for each row.
TABLES = {"core/carbon_core/config/schema.py:Settings"}


def classes(text: str) -> list[tuple[str, int]]:
    """Return the name and the number of lines of each class in a module."""
    return [
        (node.name, (node.end_lineno or 0) - node.lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    ]


def test_the_lines_of_a_class_are_counted() -> None:
    assert classes("class A:\n    x = 1\n\n    class B:\n        y = 2\n") == [("A", 5), ("B", 2)]


def test_no_class_is_longer_than_a_reader_can_follow() -> None:
    paths = [path for top in ("core", "carbon_callbacks") for path in (ROOT / top).rglob("*.py")]
    found = {
        f"{path.relative_to(ROOT).as_posix()}:{name}": lines
        for path in paths
        for name, lines in classes(path.read_text("utf-8"))
        if lines > MAX_CLASS_LINES
    }
    assert set(found) <= TABLES, f"split these classes (lines): {found}"
    assert set(found) >= TABLES, "a table named here is no longer above the limit"
