"""The contract of the adapters that this package ships: the test kit, and what to install."""

import importlib
from collections.abc import Mapping
from typing import Any

import pytest

from carbon_callbacks.testing import AdapterContract, Framework, run_python

try:
    import torch
except ImportError:  # several frameworks need none
    torch = None
else:
    torch.set_num_threads(1)


class ShippedFramework(Framework):
    """A framework whose adapter is a module of this package.

    Attributes:
        module: The adapter's module.
        package: The name that is imported.
        extra: What pip installs with it.
        compiles: Whether a first batch may take much longer than all others.
    """

    module: str
    package: str
    extra: str
    compiles = True
    work = frozenset({"samples_per_kwh", "j_per_sample"})

    def callback(self, **settings: Any) -> Any:
        return importlib.import_module(self.module).EmissionsCallback(**settings)

    def out_of_memory(self) -> BaseException:
        if torch is None:
            return super().out_of_memory()
        return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")


class ShippedContract(AdapterContract):
    """The tests; `framework` is the framework."""

    framework: ShippedFramework

    def test_adapter_without_its_framework_says_what_to_install(self):
        program = (
            f"import sys; sys.modules[{self.framework.package!r}] = None\n"
            f"try:\n    import {self.framework.module}\n"
            "except ImportError as error:\n    print(error)\n"
        )
        lines = run_python(program).stdout
        assert f"pip install 'carbon-callbacks[{self.framework.extra}]'" in lines
        assert f"{self.framework.module} needs the package" in lines

    def test_a_notebook_shows_the_callback(self, machine):
        callback = self.framework.callback(project_name="<b>mine")
        name = type(callback).__name__
        assert repr(callback) == f"{name}(not started)"
        assert "not started" in callback._repr_html_()
        seen: list[tuple[str, str]] = []
        self.framework.train(
            callback, on_batch=lambda what: seen.append((repr(callback), callback._repr_html_()))
        )
        line, table = seen[-1]
        assert line.startswith(f"{name}(<b>mine, running for ")
        assert "&lt;b&gt;mine, running for " in table
        assert repr(callback).startswith(f"{name}(<b>mine, completed after ")
        assert "&lt;b&gt;mine, completed after " in callback._repr_html_()

    def test_a_first_batch_that_compiles_the_model_is_not_multiplied(self, machine):
        if not self.framework.compiles or not self.framework.logs_epochs:
            pytest.skip("the framework compiles nothing, or has no forecast")
        seconds, batches = {"train": 5.0, "validate": 1.0}, iter([100.0])

        def on_batch(what: str) -> None:
            is_first = what == "train" and machine.runs > 0
            machine.clock.advance(next(batches, 0.0) if is_first else 0.0)
            machine.clock.advance(seconds.get(what, 0.0))

        callback = self.framework.callback(log_metrics="all")
        outcome = self.framework.train(callback, on_batch=on_batch, epochs=5)
        total_kwh = callback.report.energy_kwh.value
        first, second, *_, last = outcome.epochs
        assert first["forecast_energy_kwh"] < 1.2 * total_kwh
        for epoch in (first, second):
            assert epoch["forecast_energy_low_kwh"] < total_kwh < epoch["forecast_energy_high_kwh"]
        assert second["forecast_energy_kwh"] == pytest.approx(total_kwh, rel=0.15)
        assert last["forecast_energy_low_kwh"] < last["forecast_energy_high_kwh"]


def bytes_of(tensors: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the bytes of some tensors on the CPU."""
    return {name: bytes(tensor.detach().numpy()) for name, tensor in tensors.items()}
