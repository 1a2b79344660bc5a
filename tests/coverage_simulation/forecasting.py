"""Families of forecasts, by kind of training (`tests/trainings.py`).

The truth is the true energy of the whole training; the meter's error counts, too. How trainings change
is not published: the kinds are assumptions. The constants of the forecast were chosen with them, so that
these families show what is promised, and not how the forecast does in trainings of other kinds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from trainings import KINDS, Kind

from carbon_callbacks.training import Progress, Training
from carbon_core.assemble import build, trackers
from carbon_core.hardware.base import Detection
from carbon_core.record import replace
from carbon_core.records import Estimate
from carbon_core.testing import FakeClock
from carbon_core.tracker import run
from carbon_core.units import kwh
from coverage_simulation import published
from coverage_simulation.coverage import Limits, family
from coverage_simulation.devices import Power, counter
from coverage_simulation.emitting import OF_COUNTRIES, hourly_g, of_own_country
from coverage_simulation.measuring import Figure
from coverage_simulation.nvml import Card, open_cards

# A training takes ten times as long as a run of another family.
_COST = 0.3
# The interval must contain trainings of all kinds: for one that turns out to be steady it is too wide.
_LIMITS = Limits(coverage=0.90, ratio=math.inf)
_AT = (0.1, 0.3, 0.6, 0.9)
# A waiting thread of the package gives up sooner than a busy test machine may allow.
_PATIENCE_S = 10.0
# A step that needs more energy mostly takes longer; the board's power changes by up to so much.
_POWER_CHANGE = 1.3


@contextmanager
def simulated(clock: FakeClock, meters_of: Callable[[], list[Any]]) -> Iterator[None]:
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


def power_of(level: float) -> float:
    """Return the power of a step relative to a typical one, by its energy."""
    return min(_POWER_CHANGE, max(1 / _POWER_CHANGE, level**0.5))


def spans_of(levels: list[float], step_s: float) -> list[float]:
    """Return the seconds of each step by its energy.

    Args:
        levels: Energy of each step, relative to a typical one.
        step_s: Seconds of a typical step.
    """
    return [step_s * level / power_of(level) for level in levels]


class _Training:
    """A simulated training on one board.

    Args:
        rng: Source of chance.
        kind: Kind of training, which has the energy of each step.
    """

    def __init__(self, rng: Random, kind: Kind) -> None:
        self._rng, self._clock = rng, FakeClock()
        begin_s = self._clock.monotonic_ns() / 1e9
        levels = kind(rng)
        self._per_epoch = len(levels) // rng.choice((4, 10, 20))
        self._per_log = self._per_epoch // rng.choice((1, 2, 5))
        step_s, watts = rng.uniform(0.5, 10.0), rng.uniform(100.0, 500.0)
        powers = [power_of(level) for level in levels]
        self._spans_s = spans_of(levels, step_s)
        ends_s = list(itertools.accumulate(self._spans_s, initial=begin_s))
        self._power = Power(ends_s[:-1], [watts * power for power in powers])
        self.true_kwh = kwh(self._power.between(begin_s, ends_s[-1]))
        self.hours = math.ceil((ends_s[-1] - begin_s) / 3600.0)

    def run(self, **settings: Any) -> dict[float, dict[str, float]]:
        """Train; return all metrics at some parts of the training."""
        name, gain = published.nvml_model(self._rng)
        card = Card(name, energy=counter(self._power, gain, update_s=0.1, first_j=1e6))
        with simulated(self._clock, lambda: open_cards(self._clock, [card], self._rng)):
            training = Training(save_to_file=False, log_level="critical", **settings)
            training.begin()
            found = dict(self._steps(training))
            training.end()
        return found

    def _steps(self, training: Training) -> Iterator[tuple[float, dict[str, float]]]:
        """Train as an adapter does; yield the metrics at each part of the training that is wanted."""
        count, wanted = len(self._spans_s), list(_AT)
        for i, span_s in enumerate(self._spans_s, 1):
            if i % self._per_epoch == 1:
                training.epoch_begin((i - 1) / count)
            self._clock.advance(span_s)
            training.note_step(i, i / count)
            is_last = i % self._per_epoch == 0
            if is_last:
                training.epoch_end()
            is_wanted = bool(wanted) and i >= wanted[0] * count - 1e-9
            if is_last or is_wanted or i % self._per_log == 0:
                figures = training.metrics(Progress(i / count), within_epoch=not is_last)
                if is_wanted:
                    yield wanted.pop(0), figures


def stated(figures: dict[str, float], name: str, unit: str) -> Estimate:
    """Return a metric with its interval."""
    return Estimate(*(figures[f"{name}{end}_{unit}"] for end in ("", "_low", "_high")))


def _forecast(kind: Kind) -> Callable[[Random], list[Figure]]:
    def simulate(rng: Random) -> list[Figure]:
        training = _Training(rng, kind)
        return [
            Figure(
                f"at {100 * at:.0f} %", stated(found, "forecast_energy", "kwh"), training.true_kwh
            )
            for at, found in training.run(country_iso_code="FRA").items()
        ]

    return simulate


for _name, _kind in KINDS.items():
    family(f"forecast, {_name.replace('_', ' ')}", _COST, _LIMITS)(_forecast(_kind))


@family("forecast, emissions of a steady training", _COST, _LIMITS)
def emissions(rng: Random) -> list[Figure]:
    spread = rng.choice(OF_COUNTRIES)
    grid = of_own_country(rng, spread, FakeClock().now().year)
    training = _Training(rng, KINDS["steady"])
    found = training.run(country_iso_code=spread.zone[:2])
    hours_g = hourly_g(rng, grid, training.hours)
    true_kg = training.true_kwh * sum(hours_g) / len(hours_g) / 1000.0
    return [
        Figure(f"emissions at {100 * at:.0f} %", stated(one, "forecast_emissions", "kg"), true_kg)
        for at, one in found.items()
    ]
