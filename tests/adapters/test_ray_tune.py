"""The energy of experiments with Ray Tune: of each trial, and of trials side by side on one node."""
# ruff: noqa: E402 - without the framework, nothing below can be imported

import copy
from types import SimpleNamespace
from typing import Any

import pytest

ray = pytest.importorskip("ray")
tune = pytest.importorskip("ray.tune")

from adapters.start_ray import start_ray

from carbon_callbacks import ConfigError
from carbon_callbacks.ray_tune import EmissionsCallback
from carbon_callbacks.testing import JOULES_PER_KWH, WATTS


def kwh(seconds: float) -> float:
    """Return what the machine uses in some seconds."""
    return WATTS * seconds / JOULES_PER_KWH


class Experiment:
    """Calls the hooks of a callback as Ray's controller does, whose trials are other processes."""

    def __init__(self, callback: Any, machine: Any) -> None:
        self.callback = callback
        self.machine = machine
        self.trials: list[Any] = []

    def start(self, name: str, **criterion: Any) -> Any:
        trial = SimpleNamespace(
            trial_id=name,
            experiment_dir_name="exp",
            config={"x": name},
            status="PENDING",
            last_result={},
            stopping_criterion=criterion,
        )
        self.trials.append(trial)
        return self.again(trial)

    def again(self, trial: Any) -> Any:
        self.callback.on_trial_start(1, self.trials, trial)
        trial.status = "RUNNING"
        return trial

    def result(self, trial: Any, **figures: Any) -> dict[str, Any]:
        trial.last_result = figures
        self.callback.on_trial_result(1, self.trials, trial, figures)
        return figures

    def complete(self, trial: Any) -> None:
        self.callback.on_trial_complete(1, self.trials, trial)
        trial.status = "TERMINATED"

    def pause(self, trial: Any) -> None:
        trial.status = "PAUSED"
        self.callback.on_step_end(1, self.trials)

    def end(self) -> Any:
        self.callback.on_experiment_end(self.trials)
        return self.callback.totals


@pytest.fixture
def experiment(machine):
    return Experiment(EmissionsCallback(metric="loss"), machine)


def energies(totals: Any) -> dict[str, float]:
    return {one.trial_id: one.energy_kwh for one in totals.trials}


def test_trials_side_by_side_share_the_node_and_add_up(experiment, machine):
    a = experiment.start("a")
    machine.clock.advance(2)
    b = experiment.start("b")
    machine.clock.advance(4)
    assert experiment.result(a, loss=2.0)["carbon:energy_kwh"] == pytest.approx(kwh(4))
    experiment.complete(a)
    machine.clock.advance(6)
    experiment.result(b, loss=1.0)
    experiment.complete(b)
    totals = experiment.end()
    assert energies(totals) == pytest.approx({"a": kwh(4), "b": kwh(8)})
    assert totals.energy_kwh == pytest.approx(kwh(12))
    assert (totals.best.trial_id, totals.best.value) == ("b", 1.0)
    assert totals.best.parameters == {"x": "b"}


def test_trials_that_a_scheduler_ends_are_pruned(experiment, machine):
    for name, done in (("whole", False), ("stopped", True)):
        trial = experiment.start(name)
        machine.clock.advance(1)
        experiment.result(trial, loss=1.0, training_iteration=1, done=done)
        experiment.complete(trial)
    totals = experiment.end()
    assert {one.trial_id: one.status for one in totals.trials} == {
        "whole": "completed",
        "stopped": "pruned",
    }
    assert totals.waste_kwh == pytest.approx(kwh(1))


@pytest.mark.parametrize(("max_t", "criterion"), [(3, {}), (None, {"training_iteration": 3})])
def test_trials_that_reach_their_end_are_completed(machine, max_t, criterion):
    experiment = Experiment(EmissionsCallback(max_t=max_t), machine)
    for name, iterations in (("whole", 3), ("stopped", 2)):
        trial = experiment.start(name, **criterion)
        machine.clock.advance(1)
        experiment.result(trial, training_iteration=iterations, done=True)
        experiment.complete(trial)
    assert experiment.end().statuses == {"completed": 1, "pruned": 1}


def test_a_trial_that_fails_and_one_that_is_tried_again(experiment, machine):
    lost, tried = experiment.start("lost"), experiment.start("tried")
    machine.clock.advance(2)
    experiment.callback.on_trial_error(1, experiment.trials, lost)
    experiment.callback.on_trial_recover(1, experiment.trials, tried)
    experiment.again(tried)
    machine.clock.advance(3)
    experiment.complete(tried)
    totals = experiment.end()
    assert energies(totals) == pytest.approx({"lost": kwh(1), "tried": kwh(4)})
    assert totals.statuses == {"completed": 1, "failed": 1}


def test_a_trial_that_is_paused_has_no_share_meanwhile(experiment, machine):
    paused = experiment.start("paused")
    machine.clock.advance(1)
    experiment.pause(paused)
    experiment.pause(paused)
    other = experiment.start("other")
    machine.clock.advance(5)
    experiment.complete(other)
    experiment.again(paused)
    machine.clock.advance(2)
    experiment.complete(paused)
    totals = experiment.end()
    assert energies(totals) == pytest.approx({"paused": kwh(3), "other": kwh(5)})
    assert totals.statuses == {"completed": 2}


def test_an_experiment_that_is_restored_continues_its_totals(experiment, machine):
    trial = experiment.start("a")
    machine.clock.advance(1)
    state = experiment.callback.get_state()
    experiment.end()  # the trial has not ended
    restored = Experiment(EmissionsCallback(), machine)
    restored.callback.set_state(state)
    restored.again(trial)
    machine.clock.advance(2)
    restored.complete(trial)
    totals = restored.end()
    assert energies(totals) == pytest.approx({"a": kwh(3)})
    assert totals.statuses == {"completed": 1}


def test_a_second_experiment_is_another_study(experiment, machine):
    same = Experiment(experiment.callback, machine)
    other = Experiment(copy.deepcopy(experiment.callback), machine)
    for one in (experiment, same, other):
        trial = one.start("a")
        machine.clock.advance(1)
        one.complete(trial)
        assert one.end().energy_kwh == pytest.approx(kwh(1))


def test_an_experiment_without_any_trial(experiment):
    assert experiment.end() is None


def test_a_wrong_mode_is_refused():
    with pytest.raises(ConfigError, match="mode must be"):
        EmissionsCallback(mode="least")


@pytest.mark.slow
def test_a_real_experiment(place):
    def train(config: dict[str, Any]) -> None:
        for step in range(3):
            sum(i * i for i in range(2_000_000))
            if config["x"] == 3:
                raise ValueError("diverged")
            tune.report({"loss": config["x"] + step})

    start_ray()
    callback = EmissionsCallback(metric="loss")
    try:
        results = tune.Tuner(
            train,
            param_space={"x": tune.grid_search([1, 2, 3])},
            tune_config=tune.TuneConfig(metric="loss", mode="min"),
            run_config=tune.RunConfig(
                name="exp", storage_path=str(place / "ray"), callbacks=[callback], verbose=0
            ),
        ).fit()
    finally:
        ray.shutdown()
    totals = callback.totals
    assert totals.statuses == {"completed": 2, "failed": 1}
    assert totals.best.parameters == {"x": "1"}
    trials = sum(one.energy_kwh for one in totals.trials)
    assert trials + totals.overhead_kwh == pytest.approx(totals.energy_kwh)
    whole = [one.metrics for one in results if one.error is None]
    assert all(one["carbon:energy_kwh"] > 0 for one in whole)
