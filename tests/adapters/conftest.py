"""Each test has a directory, a home and an environment of its own, and leaves no thread behind."""

import os
import signal
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from carbon_core.assemble import trackers
from carbon_core.hardware.base import Detection
from carbon_core.testing import FakeClock, FakeMeter
from carbon_core.tracker import run, tracker

# Keras picks its backend when it is first imported, by whichever test module that is.
os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.register_assert_rewrite(
    "adapters.contract",
    "adapters.lightning_cli_contract",
    "adapters.lightning_contract",
    "adapters.lightning_ways",
)

WATTS = 100.0


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory, with nobody's settings around it."""
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    for name in list(os.environ):
        if name.upper().startswith("CODECARBON_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    return work


@pytest.fixture(autouse=True)
def nothing_outlives_a_test():
    """No thread of ours is left; what the frameworks do to Ctrl-C is undone."""
    from adapters import contract  # loads torch, which only those who run a test here must have

    on_interrupt = signal.getsignal(signal.SIGINT)
    contract.left_behind.clear()
    contract.left_behind.update(threading.enumerate())
    yield
    signal.signal(signal.SIGINT, on_interrupt)
    contract.collect()
    assert not contract.threads_of_ours()


@pytest.fixture
def machine(monkeypatch):
    """A machine that draws 100 W by a grade-A counter, under a clock that the test turns.

    `value` may be replaced by another function of time; `environ` is added to what runs see.
    """
    made = SimpleNamespace(clock=FakeClock(), value=lambda t_s: WATTS * t_s, environ={}, runs=0)
    real_make_parts = trackers.make_parts

    def make_parts(settings, run_id, environ, **more):
        made.runs += 1
        seen = {**environ, **made.environ}
        parts = real_make_parts(settings, run_id, seen, clock=made.clock, **more)
        meter = FakeMeter(made.clock, made.value)
        return parts if made.environ else replace(parts, detect=lambda: Detection((meter,)))

    monkeypatch.setattr(trackers, "make_parts", make_parts)
    # A busy test machine must not turn an exact figure into the last known one.
    monkeypatch.setattr(run, "PATIENCE_S", 10.0)
    monkeypatch.setattr(tracker, "PATIENCE_S", 10.0)
    return made
