"""Processors without a readable counter: load x thermal design power, integrated over time.

A model: compared with RAPL on other machines it was wrong by 26 % (docs/uncertainty.md). The load is
the busy share of processor time, so it covers all of the time between two readings.
"""

from __future__ import annotations

from collections.abc import Callable

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.cpu_identity import CpuIdentity
from carbon_core.hardware.host import CpuTimes, Host
from carbon_core.hardware.load_model import cpu_power_w, saves_power
from carbon_core.methods import CPU_LOAD_DEFAULT, CPU_LOAD_SAVING, CPU_LOAD_TDP
from carbon_core.record import replace
from carbon_core.records import Device, Reading

# The model is concave, and was fitted to means over seconds. Over a longer period, the power at the mean
# load is above the mean power where the load changes within it; over a shorter one, it is below, because
# processor time advances in steps.
_PERIOD_S = 1.0
_MAX_CPU_W = 20_000.0


class CpuLoadMeter:
    """Integrates the modelled power into an energy counter.

    Args:
        host: Source of processor times.
        clock: Source of the readings' times.
        identity: The processor and its thermal design power.
        forced_tdp_w: Rated power from the settings, used instead of the identity's, in watts; as in
            CodeCarbon, it is multiplied by the load.

    Raises:
        MeterError: The system does not report the load.
    """

    def __init__(
        self, host: Host, clock: Clock, identity: CpuIdentity, forced_tdp_w: float | None = None
    ) -> None:
        is_rated = forced_tdp_w is not None or identity.match != "per thread"
        self._saves_power = saves_power(host.root)
        of_rated = CPU_LOAD_SAVING if self._saves_power else CPU_LOAD_TDP
        method = of_rated if is_rated else CPU_LOAD_DEFAULT
        name = identity.model_name or "processor"
        self.devices = (Device("cpu:all", "cpu", name, method, max_power_w=_MAX_CPU_W),)
        self.period_s = _PERIOD_S
        self._host = host
        self._clock = clock
        self._tdp_w = identity.tdp_w if forced_tdp_w is None else forced_tdp_w
        self._joules = self._latest_j = 0.0
        self._t_ns = clock.monotonic_ns()
        times = host.cpu_times()
        if times is None:
            raise MeterError("the system does not report the processor load")
        self._times = times
        if not times.are_shown:
            note = "the system does not report the processor load, a typical one is assumed"
            (device,) = self.devices
            self.devices = (replace(device, method=CPU_LOAD_DEFAULT, note=note),)

    def read(self) -> list[Reading]:
        """Advance the counter to now."""
        times, t_ns = self._host.cpu_times(), self._clock.monotonic_ns()
        if times is None:
            return [Reading("cpu:all", t_ns, None)]
        load, span_s = times.load_since(self._times), units.seconds(t_ns - self._t_ns)
        power_w = cpu_power_w(self._tdp_w, load, saves_power=self._saves_power)
        # Readings within a second begin at the same time. Processor time advances in steps: the load
        # of a short span may be too high.
        self._latest_j = max(self._latest_j, self._joules + power_w * span_s)
        if span_s >= _PERIOD_S:
            self._joules, self._times, self._t_ns = self._latest_j, times, t_ns
        return [Reading("cpu:all", t_ns, self._latest_j)]

    def close(self) -> None:
        """Do nothing: no file is open."""


def modelled_power(host: Host, identity: Callable[[], CpuIdentity]) -> Callable[[], float | None]:
    """Return a function that gives the modelled mean power since its last call, in watts.

    Args:
        host: Source of processor times.
        identity: Returns the processor and its thermal design power.
    """
    last: list[CpuTimes] = []

    def power_w() -> float | None:
        times = host.cpu_times()
        before = last[-1] if last else None
        if times is None or times == before:
            return None
        last[:] = [times]
        if before is None:
            return None
        load = times.load_since(before)
        return cpu_power_w(identity().tdp_w, load, saves_power=saves_power(host.root))

    return power_w
