"""The forecast of a training: its interval holds in trainings that drift, jump, slow down and wander."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from carbon_callbacks._training.forecast import Laps
from carbon_core.uncertainty import t_975

TRAININGS = 40
Epochs = Callable[[random.Random, int], list[float]]


def drifting(by: float) -> Epochs:
    return lambda _, count: [1 + by * i / count for i in range(count)]


def jumping(_: random.Random, count: int) -> list[float]:
    return [1.0 if i < count // 2 else 1.3 for i in range(count)]


def settling(_: random.Random, count: int) -> list[float]:
    return [1 + math.exp(-i) for i in range(count)]


def wandering(rng: random.Random, count: int) -> list[float]:
    level, epochs = 1.0, []
    for _ in range(count):
        epochs.append(level)
        level *= math.exp(rng.gauss(0, 0.2 / math.sqrt(count)))
    return epochs


KINDS = {
    "steady": drifting(0.0),
    "rising": drifting(0.6),
    "falling": drifting(-0.5),
    "jumping": jumping,
    "settling": settling,
    "wandering": wandering,
}


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.15])
@pytest.mark.parametrize("count", [3, 10, 50])
@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_lies_within_the_interval_nine_times_in_ten(kind, count, noise):
    rng = random.Random(7)
    held: list[bool] = []
    for _ in range(TRAININGS):
        epochs = [kwh * math.exp(rng.gauss(0, noise)) for kwh in KINDS[kind](rng, count)]
        truth = sum(epochs)
        held += [forecast.low <= truth <= forecast.high for forecast in forecasts(epochs)]
    assert sum(held) / len(held) >= 0.9


def forecasts(epochs: list[float]) -> list:
    """Return the forecast after each epoch but the last."""
    laps, done, found = Laps(0.0), 0.0, []
    for i, kwh in enumerate(epochs[:-1]):
        done += kwh
        laps.add((i + 1) / len(epochs), done)
        found.append(laps.forecast())
    return found


def test_the_interval_narrows_and_ends_at_the_truth():
    laps = Laps(0.0)
    widths = []
    for epoch in range(1, 11):
        laps.add(epoch / 10, 2.0 * epoch)
        forecast = laps.forecast()
        widths.append(forecast.high - forecast.low)
        assert forecast.value == pytest.approx(20.0)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0.0


def test_a_training_that_was_resumed_forecasts_what_is_left():
    laps = Laps(0.5)
    laps.add(0.6, 3.0)
    assert laps.forecast().value == pytest.approx(15.0)


def test_nothing_is_foretold_before_the_first_lap():
    laps = Laps(0.0)
    laps.add(0.0, 1.0)
    assert laps.forecast() is None


def test_many_laps_are_as_good_as_few_and_take_no_more_room():
    fine, coarse = Laps(0.0), Laps(0.0)
    for i in range(1, 9001):
        fine.add(i / 10_000, i * 1.5)
    for i in range(1, 10):
        coarse.add(i / 10, i * 1500.0)
    assert len(fine._laps) <= 256
    assert fine.forecast().value == pytest.approx(coarse.forecast().value)


def test_a_training_that_draws_nothing_is_foretold_to_draw_nothing():
    laps = Laps(0.0)
    laps.add(0.5, 0.0)
    assert laps.forecast() == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(3, 3.182), (4, 2.776), (10, 2.228), (100, 1.984)]
)
def test_the_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_975(freedom) == pytest.approx(quantile, rel=0.01)
