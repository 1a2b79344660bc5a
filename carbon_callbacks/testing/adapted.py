"""The framework under test, and the fixtures of its tests."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from carbon_callbacks.testing import machine as machines
from carbon_callbacks.testing.framework import Framework


class Adapted:
    """Tests of an adapter.

    Attributes:
        framework: The framework and its adapter.
    """

    framework: Framework

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Enter an empty working directory, without settings of the user around it."""
        return machines.empty_place(tmp_path, monkeypatch)

    @pytest.fixture
    def machine(self, monkeypatch: pytest.MonkeyPatch) -> machines.Machine:
        """Have runs measure a machine that draws 100 W, under a clock that the test turns."""
        return machines.fake_machine(monkeypatch)

    @pytest.fixture(autouse=True)
    def nothing_outlives_a_test(self) -> Iterator[None]:
        """Check that no thread is left after a test."""
        yield from machines.check_nothing_outlives_a_test()

    @pytest.fixture
    def epochs(self) -> None:
        """Skip a test of what is logged for each epoch, where a framework logs none."""
        if not self.framework.logs_epochs:
            pytest.skip("the framework reports no epochs")

    @pytest.fixture
    def stops(self) -> None:
        """Skip a test of a training that is stopped, where a framework has no way to do so."""
        if not self.framework.stops:
            pytest.skip("no callback of the framework can stop a training")

    @pytest.fixture
    def hooks(self) -> None:
        """Skip a test of a callback with hooks and a block around them, where there are no hooks."""
        if self.framework.is_block:
            pytest.skip("the framework has no hooks: the callback is a block around a training")

    def in_another_process(self) -> str:
        """Return the begin of a program that has the class of these tests as ``tests``."""
        path = inspect.getfile(type(self))
        return (
            "import importlib.util, sys\n"
            f"spec = importlib.util.spec_from_file_location('adapter_tests', {path!r})\n"
            "module = sys.modules['adapter_tests'] = importlib.util.module_from_spec(spec)\n"
            "spec.loader.exec_module(module)\n"
            f"tests = module.{type(self).__name__}\n"
        )
