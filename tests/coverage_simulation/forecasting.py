"""Families of forecasts: trainings that are steady, drift, start slowly, jump or have noisy neighbours.

The truth is the true energy of the whole training; the meter's error counts, too. How trainings change
is not published: the courses are assumptions, with ranges that include compiled first steps, a node
whose other jobs come and go, a schedule with larger batches, and early phases of another kind.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from carbon_callbacks.training import Progress, Training
from carbon_core.assemble import build, trackers
from carbon_core.hardware.base import Detection
from carbon_core.record import replace
from carbon_core.records import Estimate
from carbon_core.testing import FakeClock
from carbon_core.tracker import run
from carbon_core.units import kwh
from coverage_simulation import published
from coverage_simulation.coverage import family
from coverage_simulation.devices import Power, counter
from coverage_simulation.emitting import OF_COUNTRIES, hourly_g, of_own_country
from coverage_simulation.measuring import Figure
from coverage_simulation.nvml import Card, open_cards

# A training takes ten times as long as a run of another family.
_COST = 0.4
_AT = (0.1, 0.3, 0.6, 0.9)
# A waiting thread of the package gives up sooner than a busy test machine may allow.
_PATIENCE_S = 10.0
# Energy of a step relative to the first ones, by the part of the training that is done.
Course = Callable[[float], float]


@contextmanager
def _simulated(clock: FakeClock, meters_of: Callable[[], list[Any]]) -> Iterator[None]:
    """Let trackers measure simulated boards on a simulated clock."""
    real, patience_s = trackers.make_parts, run.PATIENCE_S

    def make_parts(*arguments: Any, **more: Any) -> Any:
        parts = build.make_parts(*arguments, clock=clock, **more)
        return replace(parts, detect=lambda: Detection(tuple(meters_of())))

    trackers.make_parts, run.PATIENCE_S = make_parts, _PATIENCE_S
    try:
        yield
    finally:
        trackers.make_parts, run.PATIENCE_S = real, patience_s


class _Training:
    """A simulated training on one board.

    Args:
        rng: Source of chance.
        course: Course of its power and of the length of its steps.
    """

    def __init__(self, rng: Random, course: Course) -> None:
        self._rng, self._clock = rng, FakeClock()
        begin_s = self._clock.monotonic_ns() / 1e9
        epochs, self._per_epoch = rng.choice((4, 10, 20)), rng.choice((5, 10))
        logs = epochs * self._per_epoch
        step_s, watts = rng.uniform(5.0, 60.0), rng.uniform(100.0, 700.0)
        noise = rng.choice((0.005, 0.02, 0.08))
        levels = [course((i + 0.5) / logs) * math.exp(rng.gauss(0.0, noise)) for i in range(logs)]
        # Half of a change is of power, half of time: fewer steps a second.
        self._spans_s = [step_s * math.sqrt(level) for level in levels]
        ends_s = list(itertools.accumulate(self._spans_s, initial=begin_s))
        self._power = Power(ends_s[:-1], [watts * math.sqrt(level) for level in levels])
        self.true_kwh = kwh(self._power.between(begin_s, ends_s[-1]))
        self.hours = math.ceil((ends_s[-1] - begin_s) / 3600.0)

    def run(self, **settings: Any) -> dict[float, dict[str, float]]:
        """Train; return all metrics at some parts of the training."""
        gain = published.normal_gain(self._rng, 0.05)
        card = Card(energy=counter(self._power, gain, update_s=0.1, first_j=1e6))
        with _simulated(self._clock, lambda: open_cards(self._clock, [card], self._rng)):
            training = Training(save_to_file=False, log_level="critical", **settings)
            training.begin()
            found = dict(_steps(training, self._clock, self._spans_s, self._per_epoch))
            training.end()
        return found


def stated(figures: dict[str, float], name: str, unit: str) -> Estimate:
    """Return a metric with its interval."""
    return Estimate(*(figures[f"{name}{end}_{unit}"] for end in ("", "_low", "_high")))


def forecasts(rng: Random, course: Course) -> list[Figure]:
    """Train with a course, and return the forecasts of the energy."""
    training = _Training(rng, course)
    return [
        Figure(f"at {100 * at:.0f} %", stated(found, "forecast_energy", "kwh"), training.true_kwh)
        for at, found in training.run(country_iso_code="FRA").items()
    ]


def _steps(
    training: Training, clock: FakeClock, spans_s: list[float], per_epoch: int
) -> Iterator[tuple[float, dict[str, float]]]:
    """Train; yield the metrics at each part of the training that is wanted."""
    wanted = [*_AT, 2.0]
    for i, span_s in enumerate(spans_s):
        if i % per_epoch == 0:
            training.epoch_begin(i / len(spans_s))
        clock.advance(span_s)
        done = (i + 1) / len(spans_s)
        is_last = (i + 1) % per_epoch == 0
        if is_last:
            training.epoch_end()
        figures = training.metrics(Progress(done), within_epoch=not is_last)
        if done >= wanted[0] - 1e-9:
            yield wanted.pop(0), figures


def _forecast(course_of: Callable[[Random], Course]) -> Callable[[Random], list[Figure]]:
    return lambda rng: forecasts(rng, course_of(rng))


def drift(rng: Random) -> Course:
    """A rate that rises or falls over the whole training."""
    by = rng.uniform(-0.4, 0.6)
    return lambda done: 1.0 + by * done


def slow_start(rng: Random) -> Course:
    """First steps that are compiled, or whose data are not cached yet."""
    by, until = rng.uniform(0.2, 2.0), rng.uniform(0.02, 0.15)
    return lambda done: 1.0 + by * math.exp(-done / until)


def late_jump(rng: Random) -> Course:
    """A change at one point: larger batches, a lower power limit, another data set."""
    at, level = rng.uniform(0.4, 0.95), rng.choice((rng.uniform(0.6, 0.85), rng.uniform(1.15, 1.6)))
    return lambda done: 1.0 if done < at else level


def noisy_neighbour(rng: Random) -> Course:
    """Jobs of others on the node come and go, and slow this one down."""
    edges = sorted(rng.random() for _ in range(rng.randint(2, 8)))
    slower = rng.uniform(1.15, 1.5)
    return lambda done: slower if sum(edge < done for edge in edges) % 2 else 1.0


def early_phases(rng: Random) -> Course:
    """A first part of another kind, such as shorter sequences or frozen layers."""
    until, level = rng.uniform(0.05, 0.35), rng.uniform(0.5, 1.5)
    return lambda done: level if done < until else 1.0


family("forecast, steady training", _COST)(_forecast(lambda rng: lambda done: 1.0))
family("forecast, drift", _COST)(_forecast(drift))
family("forecast, slow start", _COST)(_forecast(slow_start))
family("forecast, late jump", _COST)(_forecast(late_jump))
family("forecast, noisy neighbour", _COST)(_forecast(noisy_neighbour))
family("forecast, early phases", _COST)(_forecast(early_phases))


@family("forecast, emissions of a steady training", _COST)
def emissions(rng: Random) -> list[Figure]:
    spread = rng.choice(OF_COUNTRIES)
    grid = of_own_country(rng, spread, FakeClock().now().year)
    training = _Training(rng, lambda done: 1.0)
    found = training.run(country_iso_code=spread.zone[:2])
    hours_g = hourly_g(rng, grid, training.hours)
    true_kg = training.true_kwh * sum(hours_g) / len(hours_g) / 1000.0
    return [
        Figure(f"emissions at {100 * at:.0f} %", stated(one, "forecast_emissions", "kg"), true_kg)
        for at, one in found.items()
    ]
