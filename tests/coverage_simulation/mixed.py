"""Families of several meters at once, some of which fail, restart or change from one run to the next."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from carbon_core import methods
from carbon_core.report import Report
from carbon_core.testing import FakeMeter
from coverage_simulation import published
from coverage_simulation.coverage import family
from coverage_simulation.devices import (
    Power,
    amd_board,
    board,
    counter,
    course,
    failing,
    package,
    polled,
    restarted,
)
from coverage_simulation.measuring import Figure, Measurement, component, energy, training
from coverage_simulation.metered import (
    COUNTER_S,
    cpu_power,
    gpu_power,
    nvml_counter,
    rapl_counter,
    ripple,
    seconds,
)
from coverage_simulation.nvml import TURING, Card, open_cards
from coverage_simulation.trainings import Node


def _gap(rng: Random, run: Measurement, duration_s: float) -> tuple[float, float]:
    """Return when a device cannot be read."""
    begin_s = run.begin_s + rng.uniform(0.1, 0.6) * duration_s
    return begin_s, begin_s + rng.uniform(0.05, 0.35) * duration_s


def _xeon(rng: Random, run: Measurement, power: Power) -> FakeMeter:
    device, gain = package(), published.normal_gain(rng, published.RAPL_XEON_SD)
    return FakeMeter(run.clock, rapl_counter(rng, power, gain, device), device, COUNTER_S)


def _node(rng: Random, lost: int, *, restarts: bool = False) -> list[Figure]:
    """Measure a node, some of whose boards are lost and come back.

    Args:
        rng: Source of chance.
        lost: Number of these boards, if there are so many.
        restarts: Whether their counters begin at 0 meanwhile.
    """
    run, duration_s = Measurement(), seconds(rng, 60.0, 900.0)
    load, waves = course(rng, run.begin_s, duration_s), ripple(rng)
    limit_w, idle_w = rng.choice(published.GPU_BOARDS[:3])
    boards, cards = [], []
    begin_s, end_s = _gap(rng, run, duration_s)
    at_s = rng.uniform(begin_s, end_s)
    for i, gain in enumerate(published.gains_of_boards(rng, rng.randint(2, 4))):
        boards.append(board(load, idle_w, limit_w, waves, rng.uniform(0.68, 0.72)))
        value = nvml_counter(rng, boards[-1], gain)
        if i < lost:
            value = restarted(value, at_s) if restarts else value
            value = failing(value, [(begin_s, end_s)])
        cards.append(Card(energy=value))
    cpu = cpu_power(rng, run.begin_s, duration_s)
    run.begin(*open_cards(run.clock, cards, rng), _xeon(rng, run, cpu))
    run.go(duration_s)
    report = run.end()
    gpu_j = sum(one.between(run.begin_s, run.end_s) for one in boards)
    return [
        energy(report, gpu_j + cpu.between(run.begin_s, run.end_s)),
        component(report, "gpu", gpu_j),
    ]


@family("several meters, one board lost and returned")
def one_lost(rng: Random) -> list[Figure]:
    return _node(rng, 1)


@family("several meters, one board resets while lost")
def one_reset(rng: Random) -> list[Figure]:
    return _node(rng, 1, restarts=True)


@family("several meters, all boards reset while lost")
def all_reset(rng: Random) -> list[Figure]:
    return _node(rng, 4, restarts=True)


@family("RAPL, resets while it cannot be read")
def rapl_reset(rng: Random) -> list[Figure]:
    run, duration_s = Measurement(), seconds(rng, 60.0, 900.0)
    power, device = cpu_power(rng, run.begin_s, duration_s), package()
    range_j = device.wrap_j or 1.0
    gain = published.normal_gain(rng, published.RAPL_XEON_SD)
    begin_s, end_s = _gap(rng, run, duration_s)
    whole = counter(power, gain, unit_j=61e-6, first_j=range_j * rng.random())
    anew = restarted(whole, rng.uniform(begin_s, end_s))
    value = failing(lambda t_s: (anew(t_s) or 0.0) % range_j, [(begin_s, end_s)])
    run.begin(FakeMeter(run.clock, value, device, COUNTER_S))
    run.go(duration_s)
    report = run.end()
    return [energy(report, power.between(run.begin_s, run.end_s))]


@family("board that is first polled, then counted")
def promoted(rng: Random) -> list[Figure]:
    run, duration_s = Measurement(), seconds(rng, 20.0, 120.0)
    power, gain = gpu_power(rng, run.begin_s, duration_s), published.gain_of_nvml_model(rng)
    from_s = run.begin_s + rng.uniform(0.02, 0.8) * duration_s
    watts = polled(power, gain, window_s=1.0, update_s=0.1)
    joules = failing(nvml_counter(rng, power, gain), [(run.begin_s, from_s)])
    run.begin(*open_cards(run.clock, [Card(energy=joules, average=watts)], rng))
    run.go(duration_s)
    report = run.end()
    return [energy(report, power.between(run.begin_s, run.end_s))]


@family("gain that falls by up to 8 % during the run")
def drifting_gain(rng: Random) -> list[Figure]:
    run, duration_s = Measurement(), seconds(rng, 60.0, 1800.0)
    power, gain = gpu_power(rng, run.begin_s, duration_s), published.gain_of_nvml_model(rng)
    by = rng.uniform(0.0, 0.08) * gain
    # A sensor that warms up: what it reads is a step lower in each of 50 parts of the run.
    starts_s = [run.begin_s + duration_s * i / 50 for i in range(50)]

    whole = nvml_counter(rng, power, gain)

    def value(t_s: float) -> float:
        at_s = t_s - t_s % 0.1
        lost_j = sum(power.between(start_s, at_s) for start_s in starts_s if start_s < at_s)
        return (whole(t_s) or 0.0) - by / 50 * lost_j

    run.begin(*open_cards(run.clock, [Card(energy=value)], rng))
    run.go(duration_s)
    report = run.end()
    return [energy(report, power.between(run.begin_s, run.end_s))]


@family("run of a few samples, 0.2 to 3 s")
def few_samples(rng: Random) -> list[Figure]:
    run, duration_s = Measurement(), seconds(rng, 0.2, 3.0)
    node = Node(rng, run, rng.randint(1, 4), 60.0)
    run.begin(*node.meters)
    run.go(duration_s)
    report = run.end()
    span_s = run.begin_s, run.end_s
    return [
        energy(report, node.true_j(*span_s)),
        component(report, "gpu", node.true_j(*span_s, "gpu")),
    ]


@family("resumed training, other hardware each time")
def other_hardware(rng: Random) -> list[Figure]:
    reports, true_j = list[Report](), 0.0
    for _ in range(rng.randint(2, 4)):
        run, duration_s = Measurement(), seconds(rng, 30.0, 120.0)
        power = gpu_power(rng, run.begin_s, duration_s)
        cpu = cpu_power(rng, run.begin_s, duration_s)
        run.begin(*_some_board(rng, run, power), _xeon(rng, run, cpu))
        run.go(duration_s)
        reports.append(run.end())
        true_j += power.between(run.begin_s, run.end_s) + cpu.between(run.begin_s, run.end_s)
    return training(reports, true_j)


def _some_board(rng: Random, run: Measurement, power: Power) -> Sequence[Any]:
    name, gain = published.nvml_model(rng)
    kind = rng.choice(("published", "other", "polled", "amd"))
    if kind == "amd":
        device = amd_board(methods.AMDSMI_ENERGY, still_s=2.0)
        value = counter(power, gain ** rng.choice((-1, 1)), unit_j=15.3e-6)
        return [FakeMeter(run.clock, value, device, COUNTER_S)]
    if kind == "polled":
        watts = polled(power, gain, window_s=0.1, update_s=0.1)
        return open_cards(run.clock, [Card(name, TURING, power=watts)], rng)
    joules = nvml_counter(rng, power, gain)
    named = Card(name) if kind == "published" else Card()
    return open_cards(run.clock, [named._replace(energy=joules)], rng)


@family("ranks of different length", cost=0.5)
def unequal_ranks(rng: Random) -> list[Figure]:
    model, reports, true_j = published.gain_of_nvml_model(rng), list[Report](), 0.0
    for _ in range(rng.randint(2, 4)):
        run, duration_s = Measurement(), seconds(rng, 5.0, 600.0)
        gains = [model * published.normal_gain(rng, published.NVML_UNIT_SD) for _ in range(2)]
        node = Node(rng, run, 2, duration_s, gains)
        run.begin(*node.meters)
        run.go(duration_s)
        reports.append(run.end())
        true_j += node.true_j(run.begin_s, run.end_s)
    return training(reports, true_j)
