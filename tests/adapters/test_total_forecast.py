"""The forecast of totals: its interval has the uncertainty of meters and grid, and laps between logs."""

import math
import random
from types import SimpleNamespace

import pytest
from trainings import KINDS, forecasts_of

from carbon_callbacks._training.early_stopping import patience_used
from carbon_callbacks._training.forecast import Forecast
from carbon_callbacks._training.step_laps import StepLaps
from carbon_callbacks._training.total_forecast import Factors, with_error
from carbon_callbacks.testing import WATTS
from carbon_callbacks.training import Progress, Training
from carbon_core import Segment

STEPS = 200


def logged_at(machine, steps, *, first_s=1.0, used=None, training=None, start=0):
    """Train for one long epoch; return the metrics at some steps, and the training."""
    training = training or Training(log_metrics="all", country_iso_code="FRA")
    found = []
    with training.measure():
        training.epoch_begin(start / STEPS)
        for step in range(start + 1, STEPS + 1):
            machine.clock.advance(first_s if step == start + 1 else 1.0)
            training.note_step(step - start, step / STEPS)
            if step in steps:
                progress = Progress(step / STEPS, patience_used=used)
                found.append(training.metrics(progress, f"step {step}"))
        training.epoch_end()
    return training, found


def ends(figures, name, unit):
    """Return the ends of a forecast's interval, divided by its value."""
    value = figures[f"{name}_{unit}"]
    return figures[f"{name}_low_{unit}"] / value, figures[f"{name}_high_{unit}"] / value


def test_at_the_end_the_interval_is_that_of_the_report(machine):
    training, (*_, last) = logged_at(machine, (20, 100, STEPS))
    energy, emissions = training.report.energy_kwh, training.report.emissions_kg
    assert last["forecast_energy_kwh"] == pytest.approx(energy.value)
    assert last["forecast_energy_low_kwh"] == pytest.approx(energy.low)
    assert last["forecast_energy_high_kwh"] == pytest.approx(energy.high)
    assert last["forecast_emissions_low_kg"] == pytest.approx(emissions.low)
    assert last["forecast_emissions_high_kg"] == pytest.approx(emissions.high)


def test_no_interval_is_narrower_than_that_of_the_report(machine):
    training, found = logged_at(machine, (20, 60, 120, 180, 199, STEPS))
    energy, emissions = training.report.energy_kwh, training.report.emissions_kg
    for figures in found:
        low, high = ends(figures, "forecast_energy", "kwh")
        assert low <= energy.low / energy.value * (1 + 1e-9)
        assert high >= energy.high / energy.value * (1 - 1e-9)
        low_kg, high_kg = ends(figures, "forecast_emissions", "kg")
        assert low_kg < low
        assert high_kg > high
        assert figures["forecast_emissions_low_kg"] <= emissions.value
    widths = [ends(figures, "forecast_energy", "kwh") for figures in found]
    assert sorted(widths, key=lambda pair: pair[0] / pair[1]) == widths


def test_a_tenth_of_a_steady_training_foretells_it_within_thirty_percent(machine):
    training, (figures,) = logged_at(machine, (20,))
    low, high = ends(figures, "forecast_energy", "kwh")
    assert (high - low) / 2 <= 0.30
    assert figures["forecast_energy_kwh"] == pytest.approx(training.report.energy_kwh.value)
    assert figures["forecast_left_s"] == pytest.approx(180, rel=0.01)


def test_steps_show_in_the_first_log_that_only_the_first_one_is_slow(machine):
    training, (figures,) = logged_at(machine, (40,), first_s=100.0)
    assert figures["forecast_energy_kwh"] == pytest.approx(
        training.report.energy_kwh.value, rel=0.05
    )


def test_laps_are_bounded_in_number_and_in_time(machine):
    training = Training()
    marks = []
    with training.measure():
        training.epoch_begin(0.0)
        window = training.tracker.window
        training.tracker.window = lambda name="": marks.append(name) or window(name)
        for step in range(1, 20_001):
            machine.clock.advance(0.002)
            training.note_step(step, step / 20_000)
    assert 40 / 0.25 * 0.5 < len(marks) <= 40 / 0.25


def test_outside_of_a_training_no_step_is_due():
    training = Training()
    assert training.steps.due == math.inf
    with training.measure():
        training.epoch_begin(0.0)
        assert training.steps.due == 1
    assert training.steps.due == math.inf


def test_a_first_step_and_the_seconds_after_it_are_not_multiplied(machine):
    training = Training(log_metrics="all")
    with training.measure():
        training.epoch_begin(0.0)
        machine.clock.advance(100)
        training.note_step(1, 0.01)
        machine.clock.advance(1)
        figures = training.metrics(Progress(0.02))
        assert not [name for name in figures if name.startswith("forecast")]
        machine.clock.advance(3)
        figures = training.metrics(Progress(0.05))
    truth_kwh = WATTS * 199 / 3.6e6
    assert figures["forecast_energy_kwh"] == pytest.approx(truth_kwh, rel=0.05)
    assert figures["forecast_energy_low_kwh"] < truth_kwh < figures["forecast_energy_high_kwh"]


def test_a_first_step_is_not_multiplied_where_the_length_of_an_epoch_is_unknown(machine):
    training = Training(log_metrics="all")
    with training.measure():
        training.epoch_begin(0.0)
        machine.clock.advance(100)
        training.note_step(1, None)
        machine.clock.advance(9)
        training.epoch_end()
        figures = training.metrics(Progress(0.1))
    truth_kwh = WATTS * 199 / 3.6e6
    assert 0.7 * truth_kwh < figures["forecast_energy_kwh"] < 1.1 * truth_kwh
    assert figures["forecast_energy_low_kwh"] < truth_kwh < figures["forecast_energy_high_kwh"]


def test_a_training_without_an_end_has_no_forecast(machine):
    training = Training(log_metrics="all")
    with training.measure():
        training.epoch_begin()
        machine.clock.advance(1.0)
        training.note_step(1, None)
        figures = training.metrics(Progress(None))
    assert not [name for name in figures if name.startswith("forecast")]


def test_a_resumed_training_forecasts_all_its_runs(machine):
    first = Training(country_iso_code="FRA")
    with first.measure():
        first.epoch_begin(0.0)
        machine.clock.advance(80.0)
    second = Training(log_metrics="all", country_iso_code="FRA")
    second.restore(first.state())
    with second.measure(resumes=True):
        second.epoch_begin(0.4)
        for step in range(81, 121):
            machine.clock.advance(1.0)
            second.note_step(step - 80, step / STEPS)
        figures = second.metrics(Progress(0.6))
    assert figures["forecast_energy_kwh"] == pytest.approx(WATTS * 200 / 3.6e6)


def test_a_total_is_as_uncertain_as_the_runs_and_ranks_that_it_is_of(machine):
    # The earlier run was on a machine whose energy is estimated to a factor of three.
    before = Segment(
        "00000000-0000-0000-0000-000000000001", "2026-01-01T00:00:00+00:00", 60.0, 1.0, 0.4,
        {"cpu.load_default": 0.6}, {"Poland": 0.1},
    )  # fmt: skip
    training = Training(log_metrics="all", country_iso_code="FRA")
    training.restore({"version": 1, "segments": [before._asdict()]})
    with training.measure(resumes=True):
        training.epoch_begin(0.5)
        found = []
        for step in range(1, 11):
            machine.clock.advance(10.0)
            training.note_step(step, 0.5 + step / 20)
            found.append(training.metrics(Progress(0.5 + step / 20, patience_used=1.0)))
    for figures in found[2:]:
        for name, unit in (("energy", "kwh"), ("emissions", "kg")):
            low, high = ends(figures, f"forecast_{name}", unit)
            least, most = ends(figures, f"all_starts_{name}", unit)
            # What is left is of the run that is measured better.
            assert low <= least * 1.02
            assert high >= most * 0.98
        so_far = ends(figures, "all_starts_energy", "kwh")
        assert ends(figures, "forecast_if_stopped", "kwh") == pytest.approx(so_far)
    so_far = ends(found[-1], "all_starts_energy", "kwh")
    assert ends(found[-1], "forecast_energy", "kwh") == pytest.approx(so_far)


def test_where_early_stopping_loses_patience_the_energy_so_far_has_an_interval(machine):
    _, found = logged_at(machine, (20, 100), used=0.5)
    for figures in found:
        assert figures["forecast_if_stopped_kwh"] == figures["all_starts_energy_kwh"]
        low, high = ends(figures, "forecast_if_stopped", "kwh")
        assert 0.85 < low < 1.0 < high < 1.2
        assert figures["forecast_if_stopped_kwh"] < figures["forecast_energy_kwh"]
    for used in (None, 0.0, 0.4):
        _, (figures,) = logged_at(machine, (20,), used=used)
        assert not [name for name in figures if "if_stopped" in name]


def test_a_machine_that_draws_nothing_has_finite_figures(machine):
    machine.value = lambda t_s: 0.0
    _, found = logged_at(machine, (20, 100, STEPS), used=1.0)
    for figures in found:
        assert all(math.isfinite(value) for value in figures.values())
        assert figures["forecast_energy_high_kwh"] == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_true_energy_lies_within_the_interval_though_the_meter_errs(kind):
    rng, sd, held, trainings = random.Random(3), 0.05, 0, 60
    meter = Factors(math.exp(-1.96 * sd), math.exp(1.96 * sd))
    for _ in range(trainings):
        measured, found = forecasts_of(KINDS[kind](rng), (0.9,), 100)
        true = measured * math.exp(rng.gauss(0.0, sd))
        forecast = with_error(found[0.9], meter)
        held += forecast.low <= true <= forecast.high
    assert held / trainings >= 0.88


def test_errors_add_up_in_quadrature():
    one, other = math.exp(0.3), math.exp(0.4)
    found = with_error(Forecast(10.0, 10.0 / one, 10.0 * one), Factors(1 / other, other))
    assert found == pytest.approx((10.0, 10.0 * math.exp(-0.5), 10.0 * math.exp(0.5)))
    assert with_error(Forecast(0.0, 0.0, 0.0), Factors(0.9, 1.1)) == (0.0, 0.0, 0.0)
    assert with_error(Forecast(10.0, 10.0, 10.0), Factors(0.0, 1.1)) == pytest.approx((10, 0, 11))


class EarlyStopping:
    def __init__(self, waited, patience):
        self.wait_count, self.patience = waited, patience


class Own(EarlyStopping):
    pass


@pytest.mark.parametrize(
    ("callbacks", "part"),
    [
        ([], None),
        ([object()], None),
        ([EarlyStopping(0, 3)], 0.0),
        ([EarlyStopping(1, 4), Own(2, 4), "a"], 0.5),
        ([EarlyStopping(1, 0)], 1.0),
        ([EarlyStopping(9, 3)], 1.0),
        ([EarlyStopping(None, 3)], None),
    ],
)
def test_patience_is_read_from_callbacks_of_that_name(callbacks, part):
    assert patience_used(callbacks) == part


def test_steps_without_progress_take_no_laps_and_become_rare():
    # An epoch of a stream: its length is unknown, so that the progress stays that of its begin.
    laps, marks, looked = StepLaps(), [], 0
    laps.open(SimpleNamespace(age_s=1.0), 0.5)
    for step in range(1, 100_000):
        if step >= laps.due:
            looked += 1
            laps.note(step, 0.5, lambda: marks.append(1))
    assert marks == []
    assert looked < 3000


def test_a_callback_of_that_name_whose_attributes_raise_ends_no_training():
    class EarlyStopping:
        patience = 3

        @property
        def wait(self):
            raise RuntimeError("not before the first evaluation")

    assert patience_used([EarlyStopping()]) is None
