"""What users import: sorted, complete, loaded on first use and not before."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import carbon_callbacks
import carbon_core

MODULES = [carbon_callbacks, carbon_core]
PROJECT = Path(__file__).resolve().parents[2]


def in_a_new_interpreter(code: str) -> str:
    paths = [str(PROJECT), str(PROJECT / "core")]
    ended = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys\nsys.path[:0] = {paths!r}\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout.strip()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_is_sorted_and_every_name_in_it_is_there(module) -> None:
    assert list(module.__all__) == sorted(set(module.__all__))
    assert dir(module) == module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert getattr(module, name) is getattr(module, name)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_an_unknown_name_is_an_attribute_error_that_names_it(module) -> None:
    with pytest.raises(AttributeError, match=rf"'{module.__name__}' has no attribute 'Nonsense'"):
        module.Nonsense  # noqa: B018
    with pytest.raises(ImportError, match="Nonsense"):
        exec(f"from {module.__name__} import Nonsense")


def test_the_version_is_that_of_the_results() -> None:
    from carbon_core.version import VERSION

    assert carbon_callbacks.__version__ == VERSION


def test_both_packages_hand_out_the_same_objects() -> None:
    for name in carbon_callbacks.__all__:
        assert getattr(carbon_callbacks, name) is getattr(carbon_core, name)


@pytest.mark.parametrize("name", ["carbon_callbacks", "carbon_core"])
def test_a_star_import_gives_exactly_all(name: str) -> None:
    names: dict[str, object] = {}
    exec(f"from {name} import *", names)
    assert set(names) - {"__builtins__"} == set(importlib.import_module(name).__all__)


def test_importing_loads_no_module_of_the_package_but_itself() -> None:
    loaded = in_a_new_interpreter(
        "import carbon_callbacks\nprint(sorted(m for m in sys.modules if 'carbon' in m))"
    )
    assert loaded == "['carbon_callbacks']"


def test_an_error_class_costs_one_small_module() -> None:
    loaded = in_a_new_interpreter(
        "from carbon_callbacks import ConfigError\n"
        "print(sorted(m for m in sys.modules if 'carbon' in m))"
    )
    assert loaded == "['carbon_callbacks', 'carbon_core', 'carbon_core.errors']"


def test_a_tracker_is_made_without_meters_network_or_frameworks() -> None:
    loaded = in_a_new_interpreter(
        "import carbon_callbacks\n"
        "carbon_callbacks.EmissionsTracker()\n"
        "heavy = {'psutil', 'pynvml', 'requests', 'torch', 'numpy', 'keras', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert loaded == "[]"


def test_the_tree_of_errors_is_as_it_is_drawn() -> None:
    from carbon_core import errors

    assert issubclass(errors.ConfigError, ValueError)
    for name in ("ConfigError", "MeterError", "IntensityError", "OutputError"):
        assert getattr(errors, name).__bases__[0] is errors.CarbonError
        assert f"── {name}" in str(errors.__doc__)
