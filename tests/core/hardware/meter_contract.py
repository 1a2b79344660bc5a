"""The contract that every row of the table of meters meets on a machine where it works."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from carbon_core.clock import SystemClock
from carbon_core.hardware import meters
from carbon_core.hardware.base import DetectionOptions, Meter
from carbon_core.hardware.cpu_identity import CpuIdentity, identify
from carbon_core.hardware.host import Host
from carbon_core.hardware.meter_spec import GpuBackend, MeterSpec, OpenContext
from carbon_core.records import COMPONENTS, Refusal

Spec = MeterSpec | GpuBackend


def context_of(root: Path, clock, **options) -> OpenContext:
    """Return what rows are opened with on a machine that is a directory; all is missing."""

    def cpu() -> CpuIdentity:
        return identify("", sys_vendor="", logical_cpus=2)

    opened = OpenContext(Host(root), clock, DetectionOptions(**options), cpu, lambda line: None)
    return replace(opened, missing=frozenset(COMPONENTS))


def open_row(spec: Spec, context: OpenContext) -> tuple[Sequence[Meter], Sequence[Refusal]]:
    """Open a row, whichever of the two kinds it is."""
    if isinstance(spec, MeterSpec):
        return spec.open(context)
    gpus = spec.open(context)
    return gpus, [refusal for meter in gpus for refusal in meter.dropped]


def check(spec: Spec, context: OpenContext, advance: Callable[[], object]) -> None:
    """Check a row on a machine where it works.

    Args:
        spec: The row.
        context: What it is opened with.
        advance: Lets time pass and energy be used.
    """
    opened, refusals = open_row(spec, context)
    assert opened, refusals
    devices = [device for meter in opened for device in meter.devices]
    ids = [device.id for device in devices]
    assert len(ids) == len(set(ids)) > 0
    assert {device.method for device in devices} <= set(spec.methods), "a method not in the row"
    assert {device.component for device in devices} <= {*spec.components, *spec.also}
    for refusal in refusals:
        assert (refusal.meter, bool(refusal.reason)) == (spec.name, True)
    for meter in opened:
        check_readings(meter, advance)
        if isinstance(spec, GpuBackend):
            loads = meter.utilization_percent()
            assert set(loads) <= {device.id for device in meter.devices}
            assert all(0 <= load <= 100 for load in loads.values())
            sharing = meter.sharing(lambda pid: True)
            if sharing is not None:
                sharing.sample()
                assert sharing.least_shares() == {}
    for meter in opened:
        meter.close()
        meter.close()


def check_readings(meter: Meter, advance: Callable[[], object]) -> None:
    """Check that readings ascend in time, cover each device once and are joules or watts."""
    assert meter.period_s > 0
    devices = {device.id: device for device in meter.devices}
    earlier = {reading.device_id: reading for reading in meter.read()}
    advance()
    later = {reading.device_id: reading for reading in meter.read()}
    assert set(earlier) == set(later) == set(devices)
    for name, device in devices.items():
        before, after = earlier[name], later[name]
        assert after.t_ns > before.t_ns
        assert isinstance(before.value, float)
        assert isinstance(after.value, float)
        if device.kind == "counter":
            power_w = (after.value - before.value) / ((after.t_ns - before.t_ns) / 1e9)
        else:
            power_w = after.value
        assert 0 < power_w <= device.max_power_w, "neither joules nor watts"


def main() -> None:
    """Check one row in a process of its own, on the real clock: ``meter_contract.py NAME ROOT``."""
    clock = SystemClock()
    (spec,) = [row for row in meters.METERS if row.name == sys.argv[1]]
    check(spec, context_of(Path(sys.argv[2]), clock), lambda: threading.Event().wait(0.02))


if __name__ == "__main__":
    main()
