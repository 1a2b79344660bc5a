"""A toy meter and a toy GPU backend, added as CONTRIBUTING.md ("Recipes") describes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from carbon_core.errors import MeterError
from carbon_core.hardware.meter_spec import GpuBackend, MeterSpec, OpenContext, Opened
from carbon_core.methods import Method
from carbon_core.records import Refusal
from carbon_core.testing import FakeMeter, fake_device

TOY_ENERGY = Method("toy.energy", "B", 0.1, "toy energy counter")
TOY_GPU_ENERGY = Method("toygpu.energy", "B", 0.1, "toy GPU energy counter")


def open_toy(context: OpenContext) -> Opened:
    """Return a 100 W counter; refused where the machine has no file named ``toy``."""
    if not context.host.text("toy"):
        raise MeterError("there is no file named toy", remedy="create it")
    device = fake_device("cpu", "toy", method=TOY_ENERGY)
    return Opened([FakeMeter(context.clock, lambda t_s: 100.0 * t_s, device, period_s=0.05)])


TOY = MeterSpec(
    name="toy", module=__name__, components=("cpu",), methods=(TOY_ENERGY,), open=open_toy
)


class ToyGpuMeter(FakeMeter):
    """A 300 W counter of one board that is half used."""

    dropped: Sequence[Refusal] = ()

    load_percent = 50.0

    def utilization_percent(self) -> dict[str, float]:
        return {device.id: self.load_percent for device in self.devices}

    def sharing(self, is_own: Callable[[int], bool]) -> None:
        """Return None: a toy has one user."""


def open_toy_gpu(context: OpenContext) -> list[ToyGpuMeter]:
    """Return one board; hidden by ``TOY_VISIBLE_DEVICES=none``."""
    if context.options.gpu_environ.get("TOY_VISIBLE_DEVICES") == "none":
        raise MeterError("no toy GPU is visible")
    device = fake_device("gpu", "toy", method=TOY_GPU_ENERGY)
    return [ToyGpuMeter(context.clock, lambda t_s: 300.0 * t_s, device, period_s=0.05)]


TOY_GPU = GpuBackend(
    name="toygpu",
    label="Toy GPU library",
    module=__name__,
    methods=(TOY_GPU_ENERGY,),
    variables=("TOY_VISIBLE_DEVICES",),
    open=open_toy_gpu,
)


def hanging_gpu(released: threading.Event) -> GpuBackend:
    """Return a backend whose driver answers once `released` is set."""

    def open_late(context: OpenContext) -> list[ToyGpuMeter]:
        released.wait(20)
        return open_toy_gpu(context)

    return GpuBackend(
        name="hanging",
        label="Hanging library",
        module=__name__,
        methods=(TOY_GPU_ENERGY,),
        open=open_late,
    )
