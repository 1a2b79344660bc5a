"""Families with gaps: lost reads, late starts, lost devices, suspension, resets and wraps.

How often meters fail is not published; the gaps here are drawn over wide ranges, so that a family holds
for short and for long ones. Gains are those of `published`.
"""

from __future__ import annotations

from random import Random
from typing import Any

from carbon_core.testing import FakeMeter
from coverage_simulation import published
from coverage_simulation.coverage import family
from coverage_simulation.devices import Power, Value, failing, package, polled, restarted, standing
from coverage_simulation.measuring import Figure, Measurement, energy, span
from coverage_simulation.metered import (
    COUNTER_S,
    cpu_power,
    gpu_power,
    nvml_counter,
    rapl_counter,
    seconds,
)
from coverage_simulation.nvml import TURING, Card, open_cards


class _Gpu:
    """One board with an energy counter, measured over a training.

    Args:
        rng: Source of chance.
        low_s: Shortest duration in seconds.
        high_s: Longest duration in seconds.
    """

    def __init__(self, rng: Random, low_s: float = 60.0, high_s: float = 900.0) -> None:
        self.run = Measurement()
        self.duration_s = seconds(rng, low_s, high_s)
        self.power = gpu_power(rng, self.run.begin_s, self.duration_s)
        gain = published.gain_of_nvml_model(rng)
        self.value: Value = nvml_counter(rng, self.power, gain)
        # The driver's other call, with the same sensor.
        self.more: dict[str, Any] = {
            "average": polled(self.power, gain, window_s=1.0, update_s=0.1)
        }

    def instant_s(self, rng: Random, low: float = 0.05, high: float = 0.9) -> float:
        """Return a random instant of the run, as a monotonic time."""
        return self.run.begin_s + rng.uniform(low, high) * self.duration_s

    def begin(self, rng: Random, period_s: float = COUNTER_S, late_s: float = 0.0) -> None:
        """Start the run, and have the package find the board."""
        card = Card(energy=self.value, **self.more)
        self.run.begin_late(lambda: open_cards(self.run.clock, [card], rng, period_s), late_s)

    def figures(self, power: Power | None = None) -> list[Figure]:
        """End the run; return its energy."""
        report = self.run.end()
        return [energy(report, (power or self.power).between(self.run.begin_s, self.run.end_s))]


def _spans(rng: Random, one: _Gpu, most: float) -> list[tuple[float, float]]:
    """Return one to three spans of a run, each up to a share of it."""
    begins = [one.instant_s(rng) for _ in range(rng.randint(1, 3))]
    return [(begin, begin + rng.uniform(0.02, most) * one.duration_s) for begin in begins]


@family("reads dropped, counter survives")
def reads_dropped(rng: Random) -> list[Figure]:
    one = _Gpu(rng)
    # The last read succeeds: the counter delivers what was missed.
    last_s = one.run.begin_s + 0.97 * one.duration_s
    spans = [(begin, min(end, last_s)) for begin, end in _spans(rng, one, 0.3)]
    one.value = failing(one.value, spans)
    one.begin(rng)
    one.run.go(one.duration_s)
    return one.figures()


# A few windows need much more than the others, so that the 95 % quantile varies in fewer runs.
@family("windows around dropped reads", cost=4.0)
def windows_around_a_gap(rng: Random) -> list[Figure]:
    one = _Gpu(rng)
    begin_s, gap_s = one.instant_s(rng, 0.2, 0.5), rng.uniform(0.05, 0.3) * one.duration_s
    one.value = failing(one.value, [(begin_s, begin_s + gap_s)])
    one.begin(rng)
    # One window ends within the gap, and the next begins there.
    run = one.run
    run.go(begin_s - run.begin_s - rng.uniform(0.1, 0.9) * (begin_s - run.begin_s))
    first, first_s = run.mark(), run.now_s
    run.go(begin_s + rng.uniform(0.2, 0.8) * gap_s - first_s)
    middle, middle_s = run.mark(), run.now_s
    run.go(begin_s + gap_s + rng.uniform(0.1, 0.9) * 0.2 * one.duration_s - middle_s)
    last, last_s = run.mark(), run.now_s
    run.go(COUNTER_S)
    report = run.end()
    return [
        span(report, first, middle, one.power.between(first_s, middle_s), "window into the gap"),
        span(report, middle, last, one.power.between(middle_s, last_s), "window out of the gap"),
    ]


@family("reads of power dropped")
def power_reads_dropped(rng: Random) -> list[Figure]:
    run, duration_s = Measurement(), seconds(rng, 30.0, 120.0)
    power = gpu_power(rng, run.begin_s, duration_s)
    gain = published.gain_of_nvml_model(rng)
    begin_s = run.begin_s + rng.uniform(0.05, 0.6) * duration_s
    lost = [(begin_s, begin_s + rng.uniform(0.02, 0.3) * duration_s)]
    value = failing(polled(power, gain, window_s=0.1, update_s=0.1), lost)
    run.begin(*_polled_board(run, value, rng))
    run.go(duration_s)
    report = run.end()
    return [energy(report, power.between(run.begin_s, run.end_s))]


@family("late start")
def late_start(rng: Random) -> list[Figure]:
    one = _Gpu(rng, 20.0, 600.0)
    # A driver that initialises eight boards takes seconds; a cold one up to half a minute.
    late_s = seconds(rng, 0.2, 0.5 * min(30.0, one.duration_s))
    one.begin(rng, late_s=late_s)
    one.run.go(one.duration_s - late_s)
    return one.figures()


@family("late start, power polled")
def late_start_polled(rng: Random) -> list[Figure]:
    run, duration_s = Measurement(), seconds(rng, 20.0, 120.0)
    power = gpu_power(rng, run.begin_s, duration_s)
    value = polled(power, published.gain_of_nvml_model(rng), window_s=0.1, update_s=0.1)
    late_s = seconds(rng, 0.2, 10.0)
    run.begin_late(lambda: _polled_board(run, value, rng), late_s)
    run.go(duration_s - late_s)
    report = run.end()
    return [energy(report, power.between(run.begin_s, run.end_s))]


@family("GPU lost during the run")
def lost_gpu(rng: Random) -> list[Figure]:
    one = _Gpu(rng)
    # The driver does not see it any more, and it works on: that is what the interval is about.
    at_s = one.instant_s(rng, 0.3, 0.95)
    one.value = failing(one.value, [(at_s, float("inf"))])
    one.begin(rng)
    one.run.go(one.duration_s)
    return one.figures()


@family("suspended machine, counter restarts")
def suspended(rng: Random) -> list[Figure]:
    one = _Gpu(rng)
    # A virtual machine is paused, or the machine sleeps under a clock that continues: a board in
    # standby draws a few watts, and its driver is loaded anew.
    begin_s, slept_s = one.instant_s(rng), seconds(rng, 5.0, 0.5 * one.duration_s)
    end_s = begin_s + slept_s
    power = _interrupted(one.power, begin_s, end_s, rng.uniform(2.0, 10.0))
    gain = published.gain_of_nvml_model(rng)
    one.value = restarted(nvml_counter(rng, power, gain), end_s)
    one.begin(rng)
    one.run.go(begin_s - one.run.begin_s)
    one.run.pause(slept_s)
    one.run.go(max(1.0, one.run.begin_s + one.duration_s - end_s))
    return one.figures(power)


@family("process stopped, power polled")
def stopped(rng: Random) -> list[Figure]:
    # SIGSTOP: nothing is read for a while; the board rests.
    run, duration_s = Measurement(), seconds(rng, 30.0, 120.0)
    begin_s = run.begin_s + rng.uniform(0.2, 0.8) * duration_s
    paused_s = seconds(rng, 2.0, 0.5 * duration_s)
    power = gpu_power(rng, run.begin_s, duration_s)
    power = _interrupted(power, begin_s, begin_s + paused_s, power.levels_w[0])
    value = polled(power, published.gain_of_nvml_model(rng), window_s=0.1, update_s=0.1)
    run.begin(*_polled_board(run, value, rng))
    run.go(begin_s - run.begin_s)
    run.pause(paused_s)
    run.go(duration_s)
    report = run.end()
    return [energy(report, power.between(run.begin_s, run.end_s))]


@family("counter reset")
def counter_reset(rng: Random) -> list[Figure]:
    one = _Gpu(rng)
    one.value = restarted(one.value, one.instant_s(rng))
    one.begin(rng)
    one.run.go(one.duration_s)
    return one.figures()


@family("counter wraps")
def counter_wraps(rng: Random) -> list[Figure]:
    run, duration_s = Measurement(), seconds(rng, 300.0, 1800.0)
    power = cpu_power(rng, run.begin_s, duration_s)
    device = package(wrap_j=65_532.610987)
    gain = published.normal_gain(rng, published.RAPL_XEON_SD)
    run.begin(FakeMeter(run.clock, rapl_counter(rng, power, gain, device), device, COUNTER_S))
    run.go(duration_s)
    report = run.end()
    return [energy(report, power.between(run.begin_s, run.end_s))]


@family("counter stands still, then jumps")
def counter_stands(rng: Random) -> list[Figure]:
    one = _Gpu(rng)
    one.value = standing(one.value, _spans(rng, one, 0.2)[:1])
    one.begin(rng)
    one.run.go(one.duration_s)
    return one.figures()


@family("driver with delays and lost reads")
def slow_driver(rng: Random) -> list[Figure]:
    one = _Gpu(rng)
    lost_share = rng.uniform(0.05, 0.4)
    value = one.value
    one.value = lambda t_s: None if rng.random() < lost_share else value(t_s - rng.random() * 0.05)
    one.begin(rng, rng.choice((1.0, 5.0, COUNTER_S)))
    one.run.go(one.duration_s)
    return one.figures()


def _polled_board(run: Measurement, value: Value, rng: Random) -> list[Any]:
    """Return the meter of a board without a counter."""
    card = Card("NVIDIA GeForce RTX 2080 Ti", TURING, power=value)
    return open_cards(run.clock, [card], rng)


def _interrupted(power: Power, begin_s: float, end_s: float, watts: float) -> Power:
    """Return the power with a span at another one; what follows is not moved."""
    steps = power.steps
    before = [one for one in steps if one[0] < begin_s]
    after = [one for one in steps if one[0] > end_s]
    at_end_w = [level for start_s, level in steps if start_s <= end_s][-1]
    new = [*before, (begin_s, watts), (end_s, at_end_w), *after]
    return Power([start_s for start_s, _ in new], [level for _, level in new])
