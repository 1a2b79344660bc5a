"""Families without a meter: processors by load, memory by size, boards by utilisation, shares of a job.

The truth is that of measured machines. The load model was fitted to the same machines, so that its error
on one of them is enlarged to what it would be without that machine in the fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from carbon_core.hardware.cpu_identity import CpuIdentity, identify
from carbon_core.hardware.cpu_load import CpuLoadMeter
from carbon_core.hardware.dimms import Dimms
from carbon_core.hardware.host import CpuTimes, Host
from carbon_core.hardware.load_model import cpu_power_w
from carbon_core.hardware.process_share import SharedMeter, Use
from carbon_core.hardware.ram import RamMeter
from carbon_core.testing import FakeMeter
from coverage_simulation import published
from coverage_simulation.coverage import family
from coverage_simulation.devices import Power, board, course, package
from coverage_simulation.measuring import Figure, Measurement, component, energy
from coverage_simulation.metered import COUNTER_S, cpu_power, rapl_counter, seconds
from coverage_simulation.nvml import Card, open_cards
from coverage_simulation.published import Curve, interpolated

_MEASURED = published.measured_processors()
_CLOUD = published.cloud_machines()
# System files of a machine with a power-saving governor.
_SAVING = Path(__file__).parent / "data" / "saving"
# Idle share, level and curvature are fitted.
_PARAMETERS = 3


class SimulatedHost(Host):
    """A machine with a load.

    Args:
        clock: Source of time.
        load: Its load (0 to 1) over time.
        threads: Logical processors.
        ram_gb: Size of the memory.
    """

    def __init__(self, clock: Any, load: Power, threads: int, ram_gb: float = 64.0) -> None:
        super().__init__(Path("/does/not/exist"))
        self._clock, self._load, self._threads, self._ram_gb = clock, load, threads, ram_gb

    def cpu_times(self) -> CpuTimes | None:
        now_s = self._clock.monotonic_ns() / 1e9
        # Counted in hundredths of a second, as Linux does.
        busy_s = round(self._threads * (1_000.0 + self._load.joules(now_s)), 2)
        return CpuTimes(busy_s, round(self._threads * (2_000.0 + now_s), 2))

    def logical_cpus(self) -> int:
        return self._threads

    def ram_total_gb(self) -> float | None:
        return self._ram_gb


def cpu_load(rng: Random, begin_s: float, duration_s: float) -> Power:
    """Return the load of a training on processors: data loaders only, or all cores."""
    level = rng.uniform(0.1, 1.05)
    return course(rng, begin_s, duration_s).mapped(lambda load: min(1.0, level * load / 0.75))


def held_out(curve: Curve) -> float:
    """Return a factor for the power of a machine, for the model was fitted to it, too.

    In a least-squares fit of p parameters to n machines, the error on one that was not used is larger by
    n / (n - p) on average. Machines that save power are not used in the fit.
    """
    if curve.saves_power:
        return 1.0
    errors = [
        math.log(cpu_power_w(curve.tdp_w, load) / watts)
        for load, watts in curve.points
        if load > 0.05
    ]
    count = len({one.name for one in _MEASURED})
    return math.exp(-sum(errors) / len(errors) * _PARAMETERS / (count - _PARAMETERS))


def named(curve: Curve, threads: int) -> CpuIdentity:
    """Return the identity that the package finds by the processor's name."""
    is_part = threads < curve.threads
    sockets = 1 if is_part or curve.threads <= 32 else 2
    text = "".join(f"model name : {curve.name}\nphysical id : {i}\n" for i in range(sockets))
    if is_part:
        text += "flags : hypervisor\n"
    return identify(text, logical_cpus=threads)


def unnamed(curve: Curve, threads: int) -> CpuIdentity:
    """Return the identity of a processor whose name the hypervisor hides."""
    return identify("model name : Virtual CPU\nflags : hypervisor\n", logical_cpus=threads)


class _Machine:
    """A machine without counters in a training on its processors.

    Args:
        rng: Source of chance.
        curves: Measured machines, of which it is one, or a part of it.
        identity: Returns what the package knows of its processor.
        part: Part of the machine (0 to 1); drawn when None.
    """

    def __init__(
        self,
        rng: Random,
        curves: list[Curve],
        identity: Callable[[Curve, int], CpuIdentity],
        part: float | None = None,
    ) -> None:
        self.run, self._rng = Measurement(), rng
        self._duration_s = seconds(rng, 60.0, 1200.0)
        self.curve = rng.choice(curves)
        drawn = rng.choice((1.0, 0.5, 0.25)) if self.curve.ram else 1.0
        self.part = drawn if part is None else part
        threads = int(self.part * self.curve.threads)
        load = cpu_load(rng, self.run.begin_s, self._duration_s)
        self.host = SimulatedHost(self.run.clock, load, threads, self.part * self.curve.ram_gb)
        if self.curve.saves_power:
            self.host.root = _SAVING
        scale = self.part * held_out(self.curve)
        self.cpu = load.mapped(lambda level: scale * interpolated(self.curve.points, level))
        ram = self.curve.ram or ((0.0, 0.0), (1.0, 0.0))
        self.ram = load.mapped(lambda level: self.part * interpolated(ram, level))
        self.meters: list[Any] = [
            CpuLoadMeter(self.host, self.run.clock, identity(self.curve, threads))
        ]

    def add_memory(self, dimms: Dimms | None = None) -> None:
        """Have the memory model count the memory, by its size or its modules."""
        size_gb = self.host.ram_total_gb()
        self.meters.append(
            RamMeter(self.run.clock, size_gb, COUNTER_S, dimms=dimms, host=self.host)
        )

    def figures(self, names: tuple[str, ...]) -> list[Figure]:
        """Measure; return the energy, or that of some components."""
        self.run.begin(*self.meters)
        self.run.go(self._duration_s, 1.0 if self._duration_s < 300 else 3.0)
        report = self.run.end()
        cpu_j, ram_j = (
            one.between(self.run.begin_s, self.run.end_s) for one in (self.cpu, self.ram)
        )
        found = {
            "energy": lambda: energy(report, cpu_j + ram_j),
            "cpu": lambda: component(report, "cpu", cpu_j),
            "ram": lambda: component(report, "ram", ram_j),
        }
        return [found[name]() for name in names]


@family("virtual machine, load model")
def virtual_machine(rng: Random) -> list[Figure]:
    machine = _Machine(rng, _CLOUD, named)
    machine.add_memory()
    return machine.figures(("energy", "cpu", "ram"))


@family("processor without a counter, load model")
def other_processor(rng: Random) -> list[Figure]:
    return _Machine(rng, _MEASURED, named).figures(("cpu",))


@family("unknown processor")
def unknown_processor(rng: Random) -> list[Figure]:
    return _Machine(rng, _MEASURED, unnamed).figures(("cpu",))


@family("GPU, limit x utilisation")
def limit_utilization(rng: Random) -> list[Figure]:
    # Trainings reach 50 to 95 % of the limit: nodes with 8 H100 76 % (Latif et al., 2025), estimates
    # by rated power are 27 to 37 % too high, V100 and A40 never reach it (ML.ENERGY). The utilisation
    # counts the time in which any kernel runs, which exceeds the part of the board at work.
    run, duration_s = Measurement(), seconds(rng, 20.0, 120.0)
    limit_w, idle_w = rng.choice(published.GPU_BOARDS)
    scale = rng.choice((1.0, 1.0, rng.uniform(0.1, 1.0)))
    load = course(rng, run.begin_s, duration_s).mapped(lambda level: scale * level)
    excess = rng.uniform(1.0, 1.4)
    power = board(load, idle_w, limit_w, None, rng.uniform(0.55, 1.0))
    busy = load.mapped(lambda level: min(1.0, excess * level))
    card = Card(limit_w=limit_w, utilization=busy.watts)
    run.begin(*open_cards(run.clock, [card], rng))
    run.go(duration_s)
    report = run.end()
    return [energy(report, power.between(run.begin_s, run.end_s))]


class _JobUse:
    """Processor time of a job and of its neighbours, with a constant share."""

    def __init__(self, host: SimulatedHost, share: float, memory: float) -> None:
        self._host, self._share, self._memory = host, share, memory
        self.first = self.now()

    def now(self) -> Use:
        times = self._host.cpu_times()
        busy_s = times.busy_s if times else 0.0
        return Use(self._share * busy_s, busy_s, self._memory)


@family("memory model, modules known")
def memory_with_modules(rng: Random) -> list[Figure]:
    machine = _Machine(rng, _CLOUD, named, part=1.0)
    # The number of modules was not published. Assumption: of 32 GB, and of 16 GB up to 256 GB.
    size_gb = machine.curve.ram_gb
    modules = round(size_gb / (16.0 if size_gb <= 256.0 else 32.0))
    machine.add_memory(Dimms(modules, size_gb, "SMBIOS"))
    return machine.figures(("ram",))


@family("process share")
def process_share(rng: Random) -> list[Figure]:
    # Energy for each second of processor time differs with the work. Assumption: 30 % (sd) between two
    # jobs; scalar and wide vector code differ by half as much again.
    run, duration_s = Measurement(), seconds(rng, 60.0, 900.0)
    power = cpu_power(rng, run.begin_s, duration_s)
    share = rng.uniform(0.05, 0.95)
    relative = published.normal_gain(rng, 0.3)
    true_share = share * relative / (share * relative + 1.0 - share)
    host = SimulatedHost(run.clock, course(rng, run.begin_s, duration_s), 64)
    device = package()
    value = rapl_counter(rng, power, published.normal_gain(rng, published.RAPL_XEON_SD), device)
    meter = FakeMeter(run.clock, value, device, COUNTER_S)
    use: Any = _JobUse(host, share, share)
    run.begin(SharedMeter(meter, use, run.clock))
    run.go(duration_s)
    report = run.end()
    return [energy(report, true_share * power.between(run.begin_s, run.end_s))]
