"""Each test trains in an empty place; with ``--record``, what passed is written to results.json."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import pytest
from works_in.libraries import LIBRARIES, PACKAGES_OF

from carbon_callbacks.testing import check_nothing_outlives_a_test, empty_place, fake_machine

# Keras picks its backend when it is first imported.
os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.register_assert_rewrite("works_in.works")

RESULTS = Path(__file__).parent / "results.json"
PASSED = pytest.StashKey[dict[str, dict[str, str]]]()
FAILED = pytest.StashKey[set[str]]()
BY_MODULE = {library.module: library for library in LIBRARIES}


def pytest_addoption(parser):
    """Add the option of the nox session."""
    parser.addoption("--record", action="store_true", help="write what passed to results.json")


def pytest_configure(config):
    """Make room for what passed and failed."""
    config.stash[PASSED], config.stash[FAILED] = {}, set()


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory, with nobody's settings around it."""
    return empty_place(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def nothing_outlives_a_test():
    """No thread of ours is left; what the frameworks do to Ctrl-C is undone."""
    yield from check_nothing_outlives_a_test()


@pytest.fixture
def works(request, monkeypatch):
    """The check of the line that has the name of the test."""
    from works_in.works import Works

    library = BY_MODULE[request.path.stem]
    line = library.lines[request.node.name.removeprefix("test_")]
    return Works(line, library.framework, fake_machine(monkeypatch))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Note which lines of a library passed."""
    report = yield
    library = BY_MODULE.get(item.path.stem)
    name = item.name.removeprefix("test_")
    if library is not None and name in library.lines:
        if report.failed:
            item.config.stash[FAILED].add(library.package)
        elif report.when == "call" and report.passed:
            passed = item.config.stash[PASSED].setdefault(library.package, {})
            passed[name] = library.lines[name]
    return report


def pytest_sessionfinish(session):
    """Write the libraries of which every line passed; remove those of which one failed."""
    if not session.config.getoption("--record"):
        return
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for library in LIBRARIES:
        passed = session.config.stash[PASSED].get(library.package, {})
        if library.package in session.config.stash[FAILED]:
            results.pop(library.package, None)
        elif passed == dict(library.lines):
            beside = ["torch", PACKAGES_OF[library.framework]]
            results[library.package] = {
                "version": version(library.package),
                "beside": {name: version(name) for name in beside},
                "python": platform.python_version(),
                "lines": passed,
            }
    text = json.dumps(results, indent=2, sort_keys=True) + "\n"
    RESULTS.write_text(text, encoding="utf-8")
