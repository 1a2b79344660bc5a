"""The contract of the adapters of gradient-boosting libraries, whose epochs are rounds."""

import copy
import importlib
import pickle

import numpy as np
import pytest
from adapters.shipped_contract import ShippedContract, ShippedFramework

from carbon_callbacks.testing import (
    WATTS,
    Boom,
    clockwork,
    nothing,
    raising,
    receipts,
    rows,
)
from carbon_core import ConfigError


def samples(count=64):
    """Return inputs and targets."""
    inputs = np.sin(np.arange(count * 4, dtype="float64").reshape(count, 4))
    return inputs, inputs.sum(axis=1)


def epochs_of(callbacks):
    """Return what the first of some callbacks has logged, without the numbers of rounds."""
    found = [one.history for one in callbacks if hasattr(one, "history")]
    return [
        {name: value for name, value in row.items() if name != "round"}
        for row in (found[0] if found else ())
    ]


class RoundsFramework(ShippedFramework):
    """A gradient-boosting library: nothing loads data in a round, and none is compiled in the first."""

    stops_at_steps = False
    compiles = False
    work = frozenset()
    calls = ("train", "validate")

    def callback(self, **settings):
        return super().callback(**{"log_every": 1, **settings})

    def train_again(self, outcome):
        outcome.trainer()

    def out_of_memory(self):
        return MemoryError("out of memory")

    def small(self, callback=None, rounds=5, earlier=None, **more):
        """Train without `on_batch`, adding rounds to an earlier model; return the model."""
        raise NotImplementedError

    def each_round(self, act):
        """Return a callback of the library that acts after each round."""
        raise NotImplementedError

    def stopped_early(self, *callbacks):
        """Train for 50 rounds, of which early stopping leaves few."""
        raise NotImplementedError

    def estimator(self, callback=None):
        """Return an estimator with three rounds."""
        raise NotImplementedError

    def fit(self, estimator, callback, earlier=None):
        """Fit it, adding rounds to an earlier model."""
        raise NotImplementedError

    def bytes_of(self, model):
        """Return the bytes of a model or estimator."""
        raise NotImplementedError


class RoundsContract(ShippedContract):
    """The tests."""

    framework: RoundsFramework
    score: str

    def logged_rounds(self, on_batch=nothing, **settings):
        callback = self.framework.callback(**settings)
        self.framework.train(callback, on_batch=on_batch, epochs=250, batches=1)
        return [row["round"] for row in callback.history]

    def test_a_training_of_many_rounds_is_logged_about_a_hundred_times(self, machine):
        logged = self.logged_rounds(clockwork(machine.clock), log_every=None)
        assert logged == [*range(2, 251, 2)]

    def test_short_rounds_are_logged_once_for_all_of_them(self, machine):
        assert self.logged_rounds(log_every=None) == [250]

    def test_the_number_of_logs_may_be_chosen_and_the_last_round_is_logged(self):
        assert self.logged_rounds(log_every=60) == [60, 120, 180, 240, 250]

    @pytest.mark.parametrize("wrong", [0, -1, 1.5, "2"])
    def test_a_wrong_number_of_logs_is_refused(self, wrong):
        with pytest.raises(ConfigError, match="log_every must be"):
            self.framework.callback(log_every=wrong)

    def test_early_stopping_ends_a_run_that_is_complete(self):
        callback = self.framework.callback()
        self.framework.stopped_early(callback)
        assert [one["status"] for one in receipts()] == ["completed"]
        assert len(callback.history) < 10

    def test_the_last_round_of_a_training_that_stops_early_is_logged(self):
        one, other = self.framework.callback(), self.framework.callback(log_every=50)
        self.framework.stopped_early(one)
        self.framework.stopped_early(other)
        assert [row["round"] for row in other.history] == [one.history[-1]["round"]]

    def test_the_receipt_has_the_scores_of_the_last_round(self):
        self.framework.small(self.framework.callback())
        (receipt,) = receipts()
        assert receipt["logged_metrics"][self.score] > 0

    def test_energy_for_each_unit_of_improvement(self, machine):
        callback = self.framework.callback(improvement_of=self.score)
        self.framework.train(callback, on_batch=clockwork(machine.clock))
        assert callback.history[-1]["energy_per_improvement_kwh"] > 0

    def test_an_estimator_is_measured_and_stays_the_same(self):
        callback = self.framework.callback()
        measured = self.framework.fit(self.framework.estimator(callback), callback)
        assert [row["round"] for row in callback.history] == [1, 2, 3]
        bare = self.framework.fit(self.framework.estimator(), None)
        assert self.framework.bytes_of(measured) == self.framework.bytes_of(bare)
        assert len(rows()) == 1

    def test_a_model_that_is_trained_further_continues_its_runs(self):
        first, second, third = (self.framework.callback() for _ in range(3))
        model = self.framework.small(first)
        other = self.framework.small(third)
        assert other is not model
        self.framework.small(second, earlier=model)
        segments = [one.run_id for one in second.report.segments]
        assert segments == [first.report.run.run_id, second.report.run.run_id]
        assert len(third.report.segments) == 1

    def test_an_estimator_that_adds_to_another_one_continues_its_run(self):
        first, second = self.framework.callback(), self.framework.callback()
        estimator = self.framework.fit(self.framework.estimator(first), first)
        self.framework.fit(self.framework.estimator(second), second, estimator)
        segments = [one.run_id for one in second.report.segments]
        assert segments == [first.report.run.run_id, second.report.run.run_id]

    def test_a_new_model_continues_nothing(self):
        callback = self.framework.callback()
        self.framework.small(callback)
        self.framework.small(callback)
        assert len(callback.report.segments) == 1

    def test_a_state_that_was_stored_beside_the_model_continues_its_training(self):
        first, second = self.framework.callback(), self.framework.callback()
        model = self.framework.small(first)
        second.restore(first.state())
        self.framework.small(second, earlier=copy.deepcopy(model))
        assert len(second.report.segments) == 2
        self.framework.small(second)
        assert len(second.report.segments) == 1

    def test_two_callbacks_measure_the_same_training(self):
        one, other = self.framework.callback(), self.framework.callback(name="other")
        self.framework.train(one, other)
        assert len(one.history) == len(other.history) == 2
        assert len(rows()) == 2

    def test_a_training_within_another_one_with_the_same_callback_is_part_of_it(self):
        callback = self.framework.callback()
        inner = self.framework.in_hook(lambda: self.framework.small(callback))
        self.framework.train(callback, inner)
        assert [row["round"] for row in callback.history] == [1, 2]
        assert [one["status"] for one in receipts()] == ["completed"]

    def test_a_training_within_another_one_without_a_callback_has_no_rounds_of_it(self):
        callback = self.framework.callback()
        self.framework.train(callback, self.framework.in_hook(self.framework.small))
        assert [row["round"] for row in callback.history] == [1, 2]

    def test_a_training_within_another_one_that_raises_ends_its_own_run_only(self):
        outer, inner = self.framework.callback(name="outer"), self.framework.callback(name="inner")
        failing = self.framework.in_hook(raising(Boom()))

        def train() -> None:
            with pytest.raises(self.framework.arrives("hook", Boom())):
                self.framework.train(inner, failing)

        self.framework.train(outer, self.framework.in_hook(train))
        assert inner.report.status == "failed"
        assert outer.report.status == "completed"

    def test_a_training_that_does_not_begin_ends_the_run(self):
        callback = self.framework.callback()
        with pytest.raises(Exception, match=r"\w"):
            self.framework.small(callback, rounds="many")
        assert not self.framework.training(callback).active

    def test_phases_and_rounds_add_up(self, machine):
        callback = self.framework.callback()
        self.framework.train(callback, on_batch=clockwork(machine.clock), epochs=3)
        seconds = sum(self.framework.phases_s(3).values())
        assert callback.report.window.joules == pytest.approx(WATTS * seconds)
        logged = sum(row["epoch_energy_kwh"] for row in callback.history)
        assert logged == pytest.approx(callback.report.energy_kwh.value)


class FunctionsContract:
    """Tests of libraries with functions `train` and `cv` that take callbacks."""

    def test_a_function_that_was_imported_before_trains_with_a_warning(self, caplog):
        callback = self.framework.callback()
        package = importlib.import_module(self.framework.package)
        model = self.framework.small(callback, train=package.train.__wrapped__)
        assert callback.history == rows() == []
        assert len([text for text in caplog.messages if "a training is not measured" in text]) == 1
        bare = self.framework.small()
        assert self.framework.bytes_of(model) == self.framework.bytes_of(bare)

    def test_early_stopping_that_is_near_has_a_forecast_of_its_own(self, machine):
        callback = self.framework.callback(log_metrics="all")
        each_round = self.framework.each_round(lambda: machine.clock.advance(10.0))
        self.framework.stopped_early(each_round, callback)
        near = ["forecast_if_stopped_kwh" in row for row in callback.history]
        # It ends after three rounds without an improvement.
        assert near == [False, False, True, True]

    def test_both_functions_are_still_found_where_they_are_defined(self):
        package = importlib.import_module(self.framework.package)
        for function in (package.train, package.cv):
            assert pickle.loads(pickle.dumps(function)) is function

    def test_a_cross_validation_is_one_run_and_its_results_stay_the_same(self):
        callback = self.framework.callback()
        measured = self.framework.cross_validate(callback)
        assert measured == self.framework.cross_validate()
        assert [row["round"] for row in callback.history] == [1, 2, 3, 4]
        (receipt,) = receipts()
        assert receipt["status"] == "completed"
        assert {"train", "validate"} <= {one["name"] for one in receipt["phases"]}
        assert receipt["logged_metrics"]
