"""The table of libraries in which the callbacks work names only what was run, with the same code."""

import ast
import re
from pathlib import Path

import pytest
import write_works_in

TESTS = Path(write_works_in.TESTS)
LIBRARIES = write_works_in.TABLE["LIBRARIES"]
RECORDED = write_works_in.results()


def names_of_tests(library):
    tree = ast.parse((TESTS / f"{library.module}.py").read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {name for name in names if name.startswith("test_")}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda one: one.package)
def test_every_line_has_a_test_and_was_run_as_it_is_written(library):
    assert names_of_tests(library) == {f"test_{name}" for name in library.lines}
    assert all("EmissionsCallback()" in line for line in library.lines.values())
    run = f'nox -s "works_in({library.package})"'
    assert RECORDED.get(library.package, {}).get("lines") == dict(library.lines), f"run {run}"


def test_nothing_is_recorded_without_a_row():
    assert RECORDED.keys() <= {library.package for library in LIBRARIES}


def test_all_were_run_with_the_torch_of_the_other_tests():
    pinned = re.search(r'"torch==([\d.]+)"', (TESTS.parents[1] / "pyproject.toml").read_text())[1]
    assert {one["beside"]["torch"].partition("+")[0] for one in RECORDED.values()} == {pinned}


def test_a_library_that_was_not_run_is_not_in_the_table():
    name = LIBRARIES[0].package
    without = {package: one for package, one in RECORDED.items() if package != name}
    assert f"| {LIBRARIES[0].name} |" in write_works_in.page()
    assert f"| {LIBRARIES[0].name} |" not in write_works_in.page(without)
    assert not RECORDED.keys() & {key.lower() for key in write_works_in.TABLE["LEFT_OUT"]}
