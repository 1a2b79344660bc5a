"""Families whose devices have meters: gains, steps and delays of real sensors, without any gap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from carbon_core import methods
from carbon_core.records import Device
from carbon_core.testing import FakeMeter
from coverage_simulation import published
from coverage_simulation.coverage import family
from coverage_simulation.devices import (
    Power,
    Ripple,
    Value,
    amd_board,
    board,
    counter,
    course,
    dram,
    package,
    polled,
)
from coverage_simulation.measuring import (
    Figure,
    Measurement,
    component,
    energy,
)
from coverage_simulation.nvml import GA100, HOPPER, TURING, Card, open_cards

COUNTER_S = 15.0
POLL_S = 0.1


def seconds(rng: Random, low: float, high: float) -> float:
    """Return a duration whose logarithm is uniform."""
    return float(low * (high / low) ** rng.random())


def ripple(rng: Random) -> Ripple:
    """Return the changes of a board's power with the steps of a training."""
    amplitude, period_s, duty = rng.uniform(0.0, 0.3), rng.uniform(0.05, 0.8), rng.uniform(0.4, 0.8)
    # No power is below zero.
    return Ripple(min(amplitude, 1.0 / duty - 1.0), period_s, duty)


def gpu_power(rng: Random, begin_s: float, duration_s: float, load: Power | None = None) -> Power:
    """Return the power of a board in a training."""
    limit_w, idle_w = rng.choice(published.GPU_BOARDS)
    reach = rng.uniform(0.55, 0.95)
    return board(load or course(rng, begin_s, duration_s), idle_w, limit_w, ripple(rng), reach)


def cpu_power(rng: Random, begin_s: float, duration_s: float) -> Power:
    """Return the power of a processor package: 25 to 40 % of the rated power at rest."""
    tdp_w = rng.choice((65.0, 125.0, 205.0, 270.0, 350.0))
    return board(course(rng, begin_s, duration_s), rng.uniform(0.25, 0.4) * tdp_w, tdp_w)


def nvml_counter(rng: Random, power: Power, gain: float) -> Value:
    """Return the energy counter of an NVIDIA board: updated every 100 ms, in mJ."""
    return counter(
        power, gain, update_s=0.1, phase_s=0.1 * rng.random(), first_j=1e6 * rng.random()
    )


def rapl_counter(rng: Random, power: Power, gain: float, device: Device) -> Value:
    """Return a RAPL counter: updated every millisecond, in units of 61 µJ, with its range."""
    first_j = rng.random() * (device.wrap_j or 1.0)
    return counter(power, gain, unit_j=61e-6, first_j=first_j, wrap_j=device.wrap_j)


def one_device(
    run: Measurement, power: Power, meters: Sequence[Any], duration_s: float
) -> list[Figure]:
    """Measure one device over a training; return its energy."""
    run.begin(*meters)
    run.go(duration_s)
    report = run.end()
    return [energy(report, power.between(run.begin_s, run.end_s))]


# --- NVIDIA -----------------------------------------------------------------------------------------


def _nvml(model_of: Callable[[Random], tuple[str, float]]) -> Callable[[Random], list[Figure]]:
    def simulate(rng: Random) -> list[Figure]:
        run, duration_s = Measurement(), seconds(rng, 30.0, 1800.0)
        name, gain = model_of(rng)
        power = gpu_power(rng, run.begin_s, duration_s)
        card = Card(name, energy=nvml_counter(rng, power, gain))
        meters = open_cards(run.clock, [card], rng, latency_s=rng.uniform(0.0, 0.01))
        return one_device(run, power, meters, duration_s)

    return simulate


family("NVML energy, published cards")(_nvml(published.nvml_model))
for _percent in (5, 7, 9):
    # Boards that nobody has compared with a meter may have any error: a test of the limits.
    family(f"NVML energy, other card with a gain error of {_percent} % (sd)")(
        _nvml(lambda rng, sd=_percent / 100.0: (Card().name, published.normal_gain(rng, sd)))
    )


def _nvml_power(
    capability: tuple[int, int], update_s: float, window_s: float, field: str
) -> Callable[[Random], list[Figure]]:
    """Return the simulation of a board without a counter (update and window by Yang et al.)."""

    def simulate(rng: Random) -> list[Figure]:
        run, duration_s = Measurement(), seconds(rng, 10.0, 120.0)
        name, gain = published.nvml_model(rng)
        power = gpu_power(rng, run.begin_s, duration_s)
        phase_s = update_s * rng.random()
        watts = polled(power, gain, window_s=window_s, update_s=update_s, phase_s=phase_s)
        card = Card(name, capability)._replace(**{field: watts})
        return one_device(run, power, open_cards(run.clock, [card], rng), duration_s)

    return simulate


family("NVML power, polled")(_nvml_power(TURING, 0.1, 0.1, "power"))
family("NVML power, mean of a second")(_nvml_power(HOPPER, 0.1, 1.0, "average"))
family("NVML power, a quarter of the time")(_nvml_power(GA100, 0.1, 0.025, "power"))


@family("NVML energy, calibrated by the user")
def calibrated(rng: Random) -> list[Figure]:
    from carbon_core.hardware.calibrated_meter import CalibratedMeter
    from carbon_core.methods import Calibration

    # A wall meter of class 1 (IEC 62053-21) reads within 1 %; the rest is the user's own scatter.
    run, duration_s = Measurement(), seconds(rng, 30.0, 1800.0)
    gain, sigma = published.gain_of_nvml_model(rng), rng.uniform(0.01, 0.03)
    found = Calibration(published.normal_gain(rng, sigma) / gain, sigma, "wall meter")
    power = gpu_power(rng, run.begin_s, duration_s)
    meters = open_cards(run.clock, [Card(energy=nvml_counter(rng, power, gain))], rng)
    calibrations = {"gpu": found}
    return one_device(
        run, power, [CalibratedMeter(one, calibrations) for one in meters], duration_s
    )


# --- processors and memory --------------------------------------------------------------------------


def with_sensor(
    rng: Random,
    device: Device,
    power_of: Callable[[Random, float, float], Power],
    value_of: Callable[[Power], Value],
) -> list[Figure]:
    """Measure a device with a sensor of its own; where it is polled, over a shorter time."""
    is_polled = device.kind == "power"
    run, duration_s = Measurement(), seconds(rng, 30.0, 120.0 if is_polled else 1800.0)
    power = power_of(rng, run.begin_s, duration_s)
    period_s = POLL_S if is_polled else COUNTER_S
    meter = FakeMeter(run.clock, value_of(power), device, period_s)
    return one_device(run, power, [meter], duration_s)


def _rapl(
    method: methods.Method, gain_of: Callable[[Random], float]
) -> Callable[..., list[Figure]]:
    def simulate(rng: Random) -> list[Figure]:
        device, gain = package(method), gain_of(rng)
        return with_sensor(
            rng, device, cpu_power, lambda power: rapl_counter(rng, power, gain, device)
        )

    return simulate


family("RAPL, Xeon")(
    _rapl(methods.RAPL_INTEL_SERVER, lambda rng: published.normal_gain(rng, published.RAPL_XEON_SD))
)
# Modelled domains (Desrochers et al. 2016) without a published figure. Assumption: any error up to 15 %.
family("RAPL, client part")(
    _rapl(methods.RAPL_INTEL_CLIENT, lambda rng: published.uniform_gain(rng, 0.15))
)


@family("RAPL, AMD")
def rapl_amd(rng: Random) -> list[Figure]:
    # An event model that depends on the workload (Schöne et al. 2021). Assumption, for no figure is
    # published: 7 % for the machine and 7 % for each kind of work.
    device = package(methods.RAPL_AMD)
    machine = published.normal_gain(rng, 0.07)

    def value_of(power: Power) -> Value:
        of_work = {level: published.normal_gain(rng, 0.07) for level in set(_rounded(power))}
        seen = power.mapped(lambda watts: watts * of_work[_rounded_w(watts)])
        return rapl_counter(rng, seen, machine, device)

    return with_sensor(rng, device, cpu_power, value_of)


def _rounded(power: Power) -> list[float]:
    return [_rounded_w(watts) for watts in power.levels_w]


def _rounded_w(watts: float) -> float:
    return round(watts / 40.0)


@family("RAPL with DRAM")
def rapl_with_dram(rng: Random) -> list[Figure]:
    run, duration_s = Measurement(), seconds(rng, 30.0, 1800.0)
    cpu, memory = cpu_power(rng, run.begin_s, duration_s), None
    scale = rng.uniform(0.05, 0.3)
    memory = cpu.mapped(lambda watts: scale * watts)
    of_cpu, of_memory = package(), dram()
    gains = (
        published.normal_gain(rng, published.RAPL_XEON_SD),
        published.normal_gain(rng, published.RAPL_DRAM_SD),
    )
    run.begin(
        FakeMeter(run.clock, rapl_counter(rng, cpu, gains[0], of_cpu), of_cpu, COUNTER_S),
        FakeMeter(run.clock, rapl_counter(rng, memory, gains[1], of_memory), of_memory, COUNTER_S),
    )
    run.go(duration_s)
    report = run.end()
    cpu_j, ram_j = (one.between(run.begin_s, run.end_s) for one in (cpu, memory))
    return [
        energy(report, cpu_j + ram_j),
        component(report, "cpu", cpu_j),
        component(report, "ram", ram_j),
    ]


# --- other sensors ----------------------------------------------------------------------------------


@family("Grace, socket power (hwmon)")
def grace(rng: Random) -> list[Figure]:
    # A shunt sensor; its tolerance is not published. Assumption: up to 10 %.
    gain = published.uniform_gain(rng, 0.10)
    device = Device(
        "cpu:socket-0",
        "cpu",
        "simulated Grace",
        methods.HWMON_SOCKET,
        kind="power",
        max_power_w=2000.0,
    )
    return with_sensor(
        rng, device, cpu_power,
        lambda power: polled(power, gain, window_s=0.05, update_s=0.05, unit_w=0.1),
    )  # fmt: skip


@family("hwmon, energy counter")
def hwmon_energy(rng: Random) -> list[Figure]:
    gain = published.uniform_gain(rng, 0.10)  # as above
    device = package(methods.HWMON_ENERGY, wrap_j=None)
    return with_sensor(rng, device, cpu_power, lambda power: counter(power, gain, update_s=0.01))


@family("AMD SMI, energy counter")
def amd_energy(rng: Random) -> list[Figure]:
    # No comparison is published. Assumption: errors as those of NVML's boards, with either sign.
    gain = published.gain_of_nvml_model(rng) ** rng.choice((-1, 1))
    return with_sensor(
        rng, amd_board(methods.AMDSMI_ENERGY, still_s=2.0), gpu_power,
        lambda power: counter(power, gain, update_s=0.001, unit_j=15.3e-6),
    )  # fmt: skip


@family("AMD SMI, power polled")
def amd_power(rng: Random) -> list[Figure]:
    gain = published.gain_of_nvml_model(rng) ** rng.choice((-1, 1))  # as above
    return with_sensor(
        rng, amd_board(methods.AMDSMI_POWER, kind="power"), gpu_power,
        lambda power: polled(power, gain, window_s=0.1, update_s=0.1, unit_w=1.0),
    )  # fmt: skip
