"""Each test has a directory, a home and an environment of its own, and leaves no thread behind."""

import os
import sys

import pytest

from carbon_callbacks.testing import check_nothing_outlives_a_test, empty_place, fake_machine

# Keras picks its backend when it is first imported, by whichever test module that is.
os.environ.setdefault("KERAS_BACKEND", "torch")
# The processes of a rank run this checkout, too, and not one that is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
pytest.register_assert_rewrite(
    "adapters.lightning_cli_contract",
    "adapters.lightning_contract",
    "adapters.lightning_ways",
    "adapters.rounds_contract",
    "adapters.shipped_contract",
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory, with nobody's settings around it."""
    return empty_place(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def nothing_outlives_a_test():
    """No thread of ours is left; what the frameworks do to Ctrl-C is undone."""
    yield from check_nothing_outlives_a_test()


@pytest.fixture
def machine(monkeypatch):
    """A machine that draws 100 W by a grade-A counter, under a clock that the test turns."""
    return fake_machine(monkeypatch)
