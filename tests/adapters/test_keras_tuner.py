"""The energy of searches with KerasTuner: of each trial and of the study."""
# ruff: noqa: E402 - without the framework, nothing below can be imported

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras")
keras_tuner = pytest.importorskip("keras_tuner")

from carbon_callbacks.keras_tuner import EmissionsCallback
from carbon_callbacks.testing import JOULES_PER_KWH, WATTS


def kwh(seconds: float) -> float:
    """Return what the machine uses in some seconds."""
    return WATTS * seconds / JOULES_PER_KWH


class Outcomes(keras_tuner.Tuner):
    """A tuner whose trials take seconds, or end otherwise, in their order."""

    machine: Any
    outcomes: Any

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        trial.hyperparameters.Int("size", 1, 100)
        self.machine.clock.advance(next(self.outcomes))
        if (ending := next(self.outcomes)) is not None:
            if isinstance(ending, BaseException):
                raise ending
            return ending
        return 0.5


def tuner_of(machine: Any, *outcomes: Any, tuner: Any = Outcomes, **options: Any) -> Any:
    given = {"max_trials": len(outcomes) // 2, "seed": 3, **options.pop("oracle", {})}
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("loss", "min"), max_consecutive_failed_trials=9, **given
    )
    made = tuner(oracle=oracle, directory=".", project_name="sizes", **options)
    made.machine, made.outcomes = machine, iter(outcomes)
    return made


def energies(tuner: Any) -> list[float]:
    trials = sorted(tuner.oracle.trials.values(), key=lambda one: one.trial_id)
    return [one.metrics.get_best_value("carbon:energy_kwh") for one in trials]


def test_each_trial_has_its_energy_and_the_study_their_sum(machine):
    tuner = tuner_of(machine, 1, None, 2, None, 3, None)
    with EmissionsCallback() as energy:
        tuner.search(verbose=0)
    assert energies(tuner) == pytest.approx([kwh(1), kwh(2), kwh(3)])
    totals = energy.totals
    assert totals.energy_kwh == pytest.approx(kwh(6))
    assert totals.statuses == {"completed": 3}
    assert totals.best.parameters.keys() == {"size"}
    path = next(Path("sizes").glob("trial_*2/trial.json"))
    assert "carbon:energy_kwh" in json.loads(path.read_text())["metrics"]["metrics"]


def test_without_a_block_nothing_is_measured(machine):
    tuner = tuner_of(machine, 1, None)
    tuner.search(verbose=0)
    (trial,) = tuner.oracle.trials.values()
    assert not trial.metrics.exists("carbon:energy_kwh")
    assert machine.runs == 0


def test_failed_trials_are_waste(machine):
    nan = float("nan")
    tuner = tuner_of(
        machine, 1, ValueError("no"), 2, nan, 3, keras_tuner.errors.FailedTrialError(), 4, None
    )
    with EmissionsCallback() as energy:
        tuner.search(verbose=0)
    assert energy.totals.statuses == {"completed": 1, "failed": 3}
    assert energy.totals.waste_kwh == pytest.approx(kwh(6))


def test_an_interrupted_search_ends_the_measurement(machine):
    tuner = tuner_of(machine, 1, None, 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt), EmissionsCallback() as energy:
        tuner.search(verbose=0)
    assert energy.totals.energy_kwh == pytest.approx(kwh(3))
    assert energy.totals.statuses == {"completed": 1, "failed": 1}


def test_attempts_of_a_trial_add_up(machine):
    tuner = tuner_of(
        machine, 1, ValueError("no"), 2, None, oracle={"max_trials": 1, "max_retries_per_trial": 2}
    )
    with EmissionsCallback() as energy:
        tuner.search(verbose=0)
    assert energies(tuner) == pytest.approx([kwh(3)])
    assert energy.totals.energy_kwh == pytest.approx(kwh(3))
    assert energy.totals.statuses == {"completed": 1}
    assert energy.totals.trials[0].energy_kwh == pytest.approx(kwh(3))


def test_hooks_of_a_subclass_measure_a_trial_once(machine):
    class Overriding(Outcomes):
        def on_trial_begin(self, trial: Any) -> None:
            super().on_trial_begin(trial)

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)

    tuner = tuner_of(machine, 1, None, 2, None, tuner=Overriding)
    with EmissionsCallback() as energy:
        tuner.search(verbose=0)
    assert energies(tuner) == pytest.approx([kwh(1), kwh(2)])
    assert energy.totals.statuses == {"completed": 2}


def test_a_resumed_search_continues_its_totals(machine):
    for trials in (1, 2):
        tuner = tuner_of(machine, 1, None, oracle={"max_trials": trials})
        with EmissionsCallback() as energy:
            tuner.search(verbose=0)
    assert energy.totals.energy_kwh == pytest.approx(kwh(2))
    assert energies(tuner) == pytest.approx([kwh(1), kwh(1)])


def test_a_search_that_is_begun_anew_is_another_study(machine):
    for _ in range(2):
        tuner = tuner_of(machine, 1, None, overwrite=True)
        with EmissionsCallback() as energy:
            tuner.search(verbose=0)
        assert energy.totals.energy_kwh == pytest.approx(kwh(1))


def test_a_budget_ends_the_search_after_the_trial_that_reaches_it(machine):
    ended = []

    class Ending(Outcomes):
        def on_search_end(self) -> None:
            ended.append(len(self.oracle.trials))

    tuner = tuner_of(machine, *[1, None] * 9, tuner=Ending)
    with EmissionsCallback(budget_kwh=kwh(2.5), on_budget="stop"):
        tuner.search(verbose=0)
        tuner.search(verbose=0)  # does not begin
    assert ended == [3, 3]
    assert [one.status for one in tuner.oracle.trials.values()] == ["COMPLETED"] * 3


@pytest.mark.slow
def test_fits_of_a_real_search_are_within_the_study(machine):
    import keras
    import numpy

    from carbon_callbacks.keras import EmissionsCallback as OfFits

    class Advance(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            machine.clock.advance(1)

        def __deepcopy__(self, memo: Any) -> Any:
            return self

    def build(hp: Any) -> Any:
        made = keras.Sequential([keras.Input((2,)), keras.layers.Dense(hp.Int("size", 1, 4))])
        made.compile(optimizer="sgd", loss="mse")
        return made

    tuner = keras_tuner.RandomSearch(
        build, "loss", max_trials=2, seed=1, directory=".", project_name="fits"
    )
    data = numpy.ones((8, 2), "float32"), numpy.ones((8, 1), "float32")
    with EmissionsCallback() as energy:
        tuner.search(*data, epochs=3, verbose=0, callbacks=[Advance(), OfFits()])
    assert energies(tuner) == pytest.approx([kwh(3), kwh(3)])
    assert energy.totals.energy_kwh == pytest.approx(kwh(6))
