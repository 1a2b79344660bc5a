"""The forecast of a training: its interval contains the truth in trainings of every kind."""

from __future__ import annotations

import math
import random

import pytest
from trainings import COUNT, KINDS, forecasts_of, steady

from carbon_callbacks._training.forecast import Laps
from carbon_core.uncertainty import t_975

TRAININGS = 60
PARTS = (0.3, 0.6, 0.9)
# Where 90 % hold in the long run, 99 of 100 samples of this size have at least this.
LEAST = 0.80


def coverage(kind, parts, laps, start=0.0):
    """Return the part of the trainings whose energy is within the interval, for each part done."""
    rng = random.Random(7)
    held = dict.fromkeys(parts, 0)
    for _ in range(TRAININGS):
        truth, found = forecasts_of(KINDS[kind](rng), parts, laps, start)
        for part, forecast in found.items():
            held[part] += forecast.low <= truth <= forecast.high
    return {part: count / TRAININGS for part, count in held.items()}


@pytest.mark.parametrize("laps", [10, 60, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_lies_within_the_interval_nine_times_in_ten(kind, laps):
    assert min(coverage(kind, PARTS, laps).values()) >= LEAST


# An evaluation at the end of the whole training is a larger part of what the last run did.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "final_evaluation"])
def test_it_does_in_a_training_that_was_resumed(kind):
    assert min(coverage(kind, PARTS, 100, start=0.4).values()) >= LEAST


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("slow_start", "compiled")])
def test_it_does_where_only_a_few_long_epochs_are_known(kind):
    assert min(coverage(kind, (0.4, 0.6, 0.8), 5).values()) >= LEAST


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.15])
@pytest.mark.parametrize("count", [3, 10, 30])
@pytest.mark.parametrize("by", [-0.5, 0.0, 0.6])
def test_it_does_where_epochs_differ(by, count, noise):
    rng = random.Random(7)
    held: list[bool] = []
    for _ in range(TRAININGS):
        epochs = [(1 + by * i / count) * math.exp(rng.gauss(0, noise)) for i in range(count)]
        laps, done = Laps(0.0), 0.0
        for i, kwh in enumerate(epochs[:-1]):
            done += kwh
            laps.add((i + 1) / count, done)
            forecast = laps.forecast()
            held.append(forecast.low <= sum(epochs) <= forecast.high)
    assert sum(held) / len(held) >= 0.9


@pytest.mark.parametrize("laps", [60, 300])
def test_a_tenth_of_a_steady_training_foretells_it_within_thirty_percent(laps):
    rng = random.Random(7)
    for _ in range(10):
        truth, found = forecasts_of(steady(rng), (0.1,), laps)
        low, high = found[0.1].low / truth, found[0.1].high / truth
        assert (high - low) / 2 <= 0.30
        assert found[0.1].value == pytest.approx(truth, rel=0.03)


def test_the_level_after_a_jump_wins():
    for factor in (0.6, 1.5, 2.0):
        steps = [1.0] * 510 + [factor] * 90
        truth, found = forecasts_of(steps, (0.9,), 300)
        assert found[0.9].value == pytest.approx(truth, rel=0.02)


def test_a_burst_that_was_seen_before_is_not_taken_for_the_new_level():
    steps = ([1.0] * 45 + [2.0] * 15) * 10
    truth, found = forecasts_of(steps, (0.3, 0.6, 0.9), 100)
    for forecast in found.values():
        assert forecast.value == pytest.approx(truth, rel=0.1)
        assert forecast.low <= truth <= forecast.high


def test_a_first_step_that_compiles_is_not_multiplied():
    steps = [200.0] + [1.0] * (COUNT - 1)
    truth, found = forecasts_of(steps, (0.02, 0.1), 300)
    for forecast in found.values():
        assert forecast.value == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("decay", [12, 24, 48])
def test_a_warm_up_is_told_from_the_level_that_it_falls_to(decay):
    steps = [1.0 + 4.0 * math.exp(-i / decay) for i in range(COUNT)]
    truth, found = forecasts_of(steps, (0.1, 0.3), 300)
    assert found[0.1].value == pytest.approx(truth, rel=0.2)
    assert found[0.1].low <= truth <= found[0.1].high
    assert found[0.3].value == pytest.approx(truth, rel=0.07)


def test_a_rise_is_no_warm_up():
    steps = [2.0 - math.exp(-i / 24) for i in range(COUNT)]
    truth, found = forecasts_of(steps, (0.2,), 300)
    assert found[0.2].value == pytest.approx(truth, rel=0.15)
    assert found[0.2].low <= truth <= found[0.2].high


def test_more_is_likelier_to_come_than_less():
    _, found = forecasts_of([1.0] * COUNT, (0.1, 0.3, 0.6), 300)
    for forecast in found.values():
        assert forecast.high - COUNT > 1.5 * (COUNT - forecast.low) > 0.1 * COUNT


def test_a_first_lap_that_may_be_warm_up_counts_less():
    laps = Laps(0.0)
    laps.add(0.1, 5.0)
    plain, careful = laps.forecast(), laps.forecast(warm_up=0.8)
    assert plain.value == pytest.approx(50.0)
    assert careful.low < 5.0 + 9 < careful.value < plain.value
    laps.add(0.2, 6.0)
    assert laps.forecast(warm_up=0.8) == laps.forecast()
    assert laps.forecast().value < 20.0


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
    assert 32 <= len(fine._laps) <= 64
    assert fine.forecast().value == pytest.approx(coarse.forecast().value)


def test_a_training_that_draws_nothing_is_foretold_to_draw_nothing():
    laps = Laps(0.0)
    laps.add(0.5, 0.0)
    assert laps.forecast() == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("amounts", [[0, 0, 5], [5, 0, 0], [1e-12, 3e-12], [4, 3, 9], [1e9, 1e-9]])
def test_odd_laps_give_finite_figures_in_their_order(amounts):
    laps, done = Laps(0.0), 0.0
    for i, amount in enumerate(amounts):
        done += amount
        laps.add((i + 1) / 10, done)
        forecast = laps.forecast()
        assert math.isfinite(forecast.high)
        assert done <= forecast.low <= forecast.value <= forecast.high


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(3, 3.182), (4, 2.776), (10, 2.228), (100, 1.984)]
)
def test_the_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_975(freedom) == pytest.approx(quantile, rel=0.01)
