"""Families of whole trainings: nodes with several meters, windows, phases, segments and ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from carbon_core.record import replace
from carbon_core.testing import FakeMeter
from carbon_core.units import kwh
from coverage_simulation import published
from coverage_simulation.coverage import family
from coverage_simulation.devices import Power, board, course, dram, package
from coverage_simulation.measuring import (
    Figure,
    Measurement,
    component,
    energy,
    phase,
    span,
    training,
)
from coverage_simulation.metered import (
    COUNTER_S,
    cpu_power,
    nvml_counter,
    rapl_counter,
    ripple,
    seconds,
)
from coverage_simulation.nvml import Card, open_cards


class Node:
    """A node with boards of one model, a Xeon and its memory, all metered.

    Args:
        rng: Source of chance.
        run: The measurement.
        count: Number of boards.
        duration_s: Length of the run.
        gains: Gains of the boards; drawn when None.
    """

    def __init__(
        self,
        rng: Random,
        run: Measurement,
        count: int,
        duration_s: float,
        gains: Sequence[float] | None = None,
    ) -> None:
        self.run = run
        load = course(rng, run.begin_s, duration_s)
        limit_w, idle_w = rng.choice(published.GPU_BOARDS[:3])
        reach, waves = rng.uniform(0.55, 0.95), ripple(rng)
        self._boards: list[Power] = []
        cards = []
        for gain in gains or published.gains_of_boards(rng, count):
            power = board(load, idle_w, limit_w, waves, reach * rng.uniform(0.97, 1.03))
            self._boards.append(power)
            cards.append(Card(energy=nvml_counter(rng, power, gain)))
        self.meters: list[Any] = open_cards(run.clock, cards, rng)
        self._cpu = cpu_power(rng, run.begin_s, duration_s)
        self._memory = self._cpu.mapped(lambda watts: 0.15 * watts)
        for power, device, sd in (
            (self._cpu, package(), published.RAPL_XEON_SD),
            (self._memory, dram(), published.RAPL_DRAM_SD),
        ):
            value = rapl_counter(rng, power, published.normal_gain(rng, sd), device)
            self.meters.append(FakeMeter(run.clock, value, device, COUNTER_S))

    def true_j(self, begin_s: float, end_s: float, component: str = "") -> float:
        """Return the true energy of a span of all devices, or of those of a component."""
        of = {"gpu": self._boards, "cpu": [self._cpu], "ram": [self._memory]}
        powers = of[component] if component else [one for some in of.values() for one in some]
        return sum(power.between(begin_s, end_s) for power in powers)


def _training(low: int, high: int) -> Callable[[Random], list[Figure]]:
    def simulate(rng: Random) -> list[Figure]:
        run, duration_s = Measurement(), seconds(rng, 60.0, 1200.0)
        node = Node(rng, run, rng.randint(low, high), duration_s)
        run.begin(*node.meters)
        run.go(duration_s)
        report = run.end()
        span_s = run.begin_s, run.end_s
        return [
            energy(report, node.true_j(*span_s)),
            component(report, "gpu", node.true_j(*span_s, "gpu")),
            component(report, "cpu", node.true_j(*span_s, "cpu")),
            component(report, "ram", node.true_j(*span_s, "ram")),
        ]

    return simulate


family("training, 1 GPU")(_training(1, 1))
family("training, 2 to 8 GPUs")(_training(2, 8))


@family("short windows, 0.1 to 1 s")
def short_windows(rng: Random) -> list[Figure]:
    run = Measurement()
    node = Node(rng, run, 1, 60.0)
    run.begin(*node.meters)
    run.go(rng.uniform(5.0, 30.0))
    begin, begin_s = run.mark(), run.now_s
    run.go(rng.uniform(0.1, 1.0))
    end, end_s = run.mark(), run.now_s
    run.go(5.0)
    report = run.end()
    return [span(report, begin, end, node.true_j(begin_s, end_s), "window")]


@family("energy above idle")
def above_idle(rng: Random) -> list[Figure]:
    # The baseline was measured once, with the same meters and a power at rest that has changed a little.
    run, duration_s = Measurement(), seconds(rng, 60.0, 1200.0)
    limit_w, idle_w = rng.choice(published.GPU_BOARDS)
    load = course(rng, run.begin_s, duration_s)
    power = board(load, idle_w, limit_w, ripple(rng), rng.uniform(0.55, 0.95))
    gain = published.gain_of_nvml_model(rng)
    meters = open_cards(run.clock, [Card(energy=nvml_counter(rng, power, gain))], rng)
    run.begin(*meters)
    run.go(duration_s)
    report = run.end()
    baseline_w = {meters[0].devices[0].id: idle_w * gain * published.normal_gain(rng, 0.03)}
    report = replace(report, host=replace(report.host, idle_w=baseline_w))
    net = report.intervals.net_kwh
    true_j = power.between(run.begin_s, run.end_s) - idle_w * duration_s
    return [Figure("net energy", net, kwh(true_j))]


@family("phases and epochs")
def phases_and_epochs(rng: Random) -> list[Figure]:
    run = Measurement("setup")
    epochs, train_s, validate_s = rng.randint(2, 8), seconds(rng, 4, 120), seconds(rng, 1, 30)
    node = Node(rng, run, rng.randint(1, 4), epochs * (train_s + validate_s))
    run.begin(*node.meters)
    run.go(rng.uniform(1.0, 5.0))
    for _ in range(epochs):
        begin, begin_s = run.mark("train"), run.now_s
        run.go(train_s)
        run.mark("validate")
        run.go(validate_s)
        end, end_s = run.mark(), run.now_s
    report = run.end()
    figures = [energy(report, node.true_j(run.begin_s, run.end_s))]
    figures.append(span(report, begin, end, node.true_j(begin_s, end_s), "epoch"))
    for name in ("train", "validate"):
        total = run.sampler.phases[name]
        true_j = sum(node.true_j(*one) for one in run.spans_of(name))
        figures.append(phase(report, total, true_j))
    return figures


@family("resumed training, two segments")
def resumed(rng: Random) -> list[Figure]:
    # On the same node, the gains are the same; after a requeue the node is another one.
    is_same = rng.random() < 0.5
    gains = published.gains_of_boards(rng, 2)
    reports, true_j = [], 0.0
    for segment in range(2):
        run, duration_s = Measurement(), seconds(rng, 60.0, 900.0)
        chosen = gains if is_same or not segment else published.gains_of_boards(rng, 2)
        node = Node(rng, run, 2, duration_s, chosen)
        run.begin(*node.meters)
        run.go(duration_s)
        reports.append(run.end())
        true_j += node.true_j(run.begin_s, run.end_s)
    return training(reports, true_j)


@family("several ranks, 2 to 4 nodes", cost=0.5)
def ranks(rng: Random) -> list[Figure]:
    duration_s = seconds(rng, 60.0, 900.0)
    model = published.gain_of_nvml_model(rng)
    reports, true_j = [], 0.0
    for _ in range(rng.randint(2, 4)):
        run = Measurement()
        gains = [model * published.normal_gain(rng, published.NVML_UNIT_SD) for _ in range(4)]
        node = Node(rng, run, 4, duration_s, gains)
        run.begin(*node.meters)
        run.go(duration_s)
        reports.append(run.end())
        true_j += node.true_j(run.begin_s, run.end_s)
    return training(reports, true_j)
