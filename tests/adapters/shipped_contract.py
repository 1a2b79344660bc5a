"""The contract of the adapters that this package ships: the test kit, and what to install."""

import sys
from collections.abc import Mapping
from typing import Any

import torch

from carbon_callbacks.testing import AdapterContract, Framework, run_python

torch.set_num_threads(1)


class ShippedFramework(Framework):
    """A framework whose adapter is a module of this package.

    Attributes:
        module: The adapter's module.
        package: The name that is imported.
        extra: What pip installs with it.
    """

    module: str
    package: str
    extra: str
    work = frozenset({"samples_per_kwh", "j_per_sample"})

    def callback(self, **settings: Any) -> Any:
        return sys.modules[self.module].EmissionsCallback(**settings)

    def out_of_memory(self) -> BaseException:
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


def bytes_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
    """Return the bytes of some tensors on the CPU."""
    return {name: bytes(tensor.detach().numpy()) for name, tensor in tensors.items()}
