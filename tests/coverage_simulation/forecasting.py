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
from coverage_simulation import published
from coverage_simulation.coverage import family
from coverage_simulation.devices import Power, counter
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


def forecasts(rng: Random, course: Course) -> list[Figure]:
    """Train with a course of power, and return the forecasts at some points of the training."""
    clock = FakeClock()
    begin_s = clock.monotonic_ns() / 1e9
    epochs, per_epoch = rng.choice((4, 10, 20)), rng.choice((5, 10))
    logs = epochs * per_epoch
    step_s, watts = rng.uniform(5.0, 60.0), rng.uniform(100.0, 700.0)
    noise = rng.choice((0.005, 0.02, 0.08))
    levels = [course((i + 0.5) / logs) * math.exp(rng.gauss(0.0, noise)) for i in range(logs)]
    # Half of a change is of power, half of time: fewer steps a second.
    spans_s = [step_s * math.sqrt(level) for level in levels]
    ends_s = list(itertools.accumulate(spans_s, initial=begin_s))
    power = Power(ends_s[:-1], [watts * math.sqrt(level) for level in levels])
    gain = published.normal_gain(rng, 0.05)
    card = Card(energy=counter(power, gain, update_s=0.1, first_j=1e6))
    with _simulated(clock, lambda: open_cards(clock, [card], rng)):
        training = Training(save_to_file=False, log_level="critical", country_iso_code="FRA")
        training.begin()
        found = dict(_steps(training, clock, spans_s, per_epoch))
        training.end()
    true_kwh = power.between(begin_s, ends_s[-1]) / 3.6e6
    return [
        Figure(f"forecast at {100 * at:.0f} %", stated, true_kwh) for at, stated in found.items()
    ]


def _steps(
    training: Training, clock: FakeClock, spans_s: list[float], per_epoch: int
) -> Iterator[tuple[float, Estimate]]:
    """Train; yield each forecast that is wanted, with the part of the training that is done."""
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
            names = ("", "_low", "_high")
            yield (
                wanted.pop(0),
                Estimate(*(figures[f"forecast_energy{name}_kwh"] for name in names)),
            )


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
