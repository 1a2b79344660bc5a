"""The energy of searches with Optuna: of each trial, of the study, and of pruned and failed trials."""
# ruff: noqa: E402 - without the framework, nothing below can be imported

import copy
import inspect
import math
import pickle
import threading
from typing import Any

import pytest

optuna = pytest.importorskip("optuna")

from carbon_callbacks import ConfigError
from carbon_callbacks.optuna import EmissionsCallback, EnergyPruner
from carbon_callbacks.testing import JOULES_PER_KWH, WATTS, receipts, run_python

optuna.logging.set_verbosity(optuna.logging.ERROR)


def kwh(seconds: float) -> float:
    """Return what the machine uses in some seconds."""
    return WATTS * seconds / JOULES_PER_KWH


def study_of(name: str = "digits", **options: Any) -> Any:
    options.setdefault("sampler", optuna.samplers.RandomSampler(seed=1))
    return optuna.create_study(study_name=name, **options)


def attribute(trial: Any, name: str = "energy_kwh") -> Any:
    return trial.user_attrs.get(f"carbon:{name}")


@pytest.fixture
def taking(machine):
    """An objective whose trials take some seconds each, in their order."""

    def objective_of(*seconds: float) -> Any:
        def objective(trial: Any) -> float:
            machine.clock.advance(seconds[trial.number % len(seconds)])
            return trial.suggest_float("x", 0, 1)

        return objective

    return objective_of


# --- trials and totals ----------------------------------------------------------------------------


def test_each_trial_has_its_energy_and_the_study_their_sum(taking):
    study = study_of()
    study.optimize(taking(1, 2, 3), n_trials=3, callbacks=[EmissionsCallback()])
    used = [attribute(trial) for trial in study.trials]
    assert used == pytest.approx([kwh(1), kwh(2), kwh(3)])
    assert study.user_attrs["carbon:energy_kwh"] == pytest.approx(sum(used))
    assert study.user_attrs["carbon:waste_kwh"] == 0
    for of in (study, *study.trials):
        low, high = attribute(of, "energy_low_kwh"), attribute(of, "energy_high_kwh")
        assert 0 < low <= attribute(of) <= high
        assert attribute(of, "emissions_kg") > 0


def test_pruned_and_failed_trials_are_waste(machine):
    ends = {1: optuna.TrialPruned, 2: ValueError, 3: RuntimeError}

    def objective(trial: Any) -> float:
        machine.clock.advance(1 + trial.number)
        if trial.number in ends:
            raise ends[trial.number]("the end")
        return float("nan") if trial.number == 4 else 1.0

    study, callback = study_of(), EmissionsCallback()
    failures = (ValueError, RuntimeError)
    study.optimize(objective, n_trials=6, catch=failures, callbacks=[callback])
    totals = callback.totals
    assert totals.statuses == {"completed": 2, "pruned": 1, "failed": 3}
    assert totals.waste_kwh == pytest.approx(kwh(2 + 3 + 4 + 5))
    assert study.user_attrs["carbon:waste_kwh"] == pytest.approx(totals.waste_kwh)
    assert totals.energy_kwh == pytest.approx(kwh(1 + 2 + 3 + 4 + 5 + 6))
    assert [attribute(one) for one in study.trials] == pytest.approx([kwh(i) for i in range(1, 7)])


def test_best_trial_and_parameters_are_those_of_the_study(taking):
    study, callback = study_of(direction="maximize"), EmissionsCallback()
    study.optimize(taking(1), n_trials=5, callbacks=[callback])
    best = callback.totals.best
    assert (int(best.trial_id), best.value) == (study.best_trial.number, study.best_value)
    assert best.parameters == {"x": f"{study.best_params['x']:.12g}"}


def test_the_records_of_many_trials_are_flushed_together(taking, monkeypatch):
    from carbon_core.outputs import journal

    flushed: list[int] = []
    monkeypatch.setattr(journal, "sync", flushed.append)
    study_of().optimize(taking(0), n_trials=100, callbacks=[EmissionsCallback()])
    (receipt,) = receipts()
    assert len(receipt["trials"]) == 100
    assert len(flushed) < 20


def test_time_between_trials_is_overhead(machine):
    def between(study: Any, trial: Any) -> None:
        machine.clock.advance(10)

    def objective(trial: Any) -> float:
        machine.clock.advance(1)
        return 0.0

    study, callback = study_of(), EmissionsCallback()
    study.optimize(objective, n_trials=2, callbacks=[callback, between])
    assert [attribute(one) for one in study.trials] == pytest.approx([kwh(1), kwh(1)])
    assert callback.totals.overhead_kwh == pytest.approx(kwh(20))
    assert study.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(22))


def test_an_exception_ends_the_measurement_and_is_raised(machine):
    def objective(trial: Any) -> float:
        machine.clock.advance(2)
        raise KeyboardInterrupt

    study, callback = study_of(), EmissionsCallback()
    with pytest.raises(KeyboardInterrupt):
        study.optimize(objective, n_trials=3, callbacks=[callback])
    assert attribute(study.trials[0]) == pytest.approx(kwh(2))
    assert study.user_attrs["carbon:waste_kwh"] == pytest.approx(kwh(2))
    assert callback.totals.statuses == {"failed": 1}


def test_a_study_without_any_finished_trial(machine):
    def objective(trial: Any) -> float:
        machine.clock.advance(1)
        raise ValueError

    study, callback = study_of(), EmissionsCallback()
    study.optimize(objective, n_trials=0, callbacks=[callback])
    assert callback.totals is None
    study.optimize(objective, n_trials=2, catch=ValueError, callbacks=[callback])
    totals = callback.totals
    assert totals.best is None
    assert not totals.pareto
    assert totals.waste_kwh == pytest.approx(totals.energy_kwh)


def test_a_search_finds_what_it_would_without_the_callback(taking):
    def values(callbacks: list[Any]) -> list[float]:
        study = study_of(sampler=optuna.samplers.TPESampler(seed=3, n_startup_trials=2))
        study.optimize(taking(1), n_trials=6, callbacks=callbacks)
        return [trial.value for trial in study.trials]

    assert values([EmissionsCallback()]) == values([])


def test_runs_of_an_objective_are_within_the_study_and_count_once(machine):
    from carbon_callbacks import EmissionsTracker

    def objective(trial: Any) -> float:
        with EmissionsTracker():
            machine.clock.advance(3)
        return 0.0

    study = study_of()
    study.optimize(objective, n_trials=2, callbacks=[EmissionsCallback()])
    assert study.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(6))
    outer = [one for one in receipts() if not one["run"]["within"]]
    assert len(outer) == 1
    inner = [one for one in receipts() if one["run"]["within"]]
    assert [one["run"]["within"] for one in inner] == [[outer[0]["run"]["run_id"]]] * 2


# --- how it is given ------------------------------------------------------------------------------


def test_a_block_measures_searches_that_take_no_callback(taking):
    study = study_of()
    with EmissionsCallback() as energy:
        study.optimize(taking(1), n_trials=1)
        study.optimize(taking(1), n_trials=1)
        assert energy.totals.energy_kwh == pytest.approx(kwh(2))
    assert study.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(2))
    study.optimize(taking(1), n_trials=1)
    assert attribute(study.trials[-1]) is None


def test_callbacks_by_position_and_from_a_generator(taking):
    seen: list[int] = []
    study, callback = study_of(), EmissionsCallback()
    given = (one for one in [callback, lambda study, trial: seen.append(trial.number)])
    study.optimize(taking(1), 2, None, 1, (), given)
    assert seen == [0, 1]
    assert callback.totals.energy_kwh == pytest.approx(kwh(2))


def test_trials_that_are_asked_for(machine):
    study = study_of()
    with EmissionsCallback() as energy:
        trial = study.ask()
        with energy.trial(trial) as one:
            trial.suggest_float("x", 0, 1)
            machine.clock.advance(4)
            assert one.energy_kwh == pytest.approx(kwh(4))
        study.tell(trial, 0.5)
        trial = study.ask()
        with pytest.raises(optuna.TrialPruned), energy.trial(trial):
            machine.clock.advance(1)
            raise optuna.TrialPruned
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    assert [attribute(one) for one in study.trials] == pytest.approx([kwh(4), kwh(1)])
    assert study.user_attrs["carbon:waste_kwh"] == pytest.approx(kwh(1))


def test_an_attribute_that_cannot_be_stored_is_a_warning(machine, caplog):
    study = study_of()
    with EmissionsCallback() as energy:
        trial = study.ask()
        with energy.trial(trial):
            machine.clock.advance(1)
            study.tell(trial, 0.5)  # afterwards, Optuna changes nothing
    assert "could not be stored" in caplog.text
    assert study.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(1))


def test_a_storage_that_refuses_attributes_of_studies_does_not_end_the_search(machine, caplog):
    def refuse(*args: Any) -> None:
        raise OSError("database is locked")

    study, callback = study_of(), EmissionsCallback()
    study._storage.set_study_user_attr = refuse

    def objective(trial: Any) -> float:
        machine.clock.advance(1)
        return 0.0

    study.optimize(objective, n_trials=2, callbacks=[callback])
    assert [one.state.name for one in study.trials] == ["COMPLETE", "COMPLETE"]
    assert callback.totals.energy_kwh == pytest.approx(kwh(2))
    assert callback.totals.study_id.startswith("digits-")  # as in processes that could store it
    assert "could not be stored" in caplog.text


def test_a_search_of_the_same_name_within_a_trial(machine):
    def leaf(trial: Any) -> float:
        machine.clock.advance(1)
        return 0.0

    def objective(trial: Any) -> float:
        study_of().optimize(leaf, n_trials=2, callbacks=[EmissionsCallback()])
        trial.report(0.0, 0)
        if trial.should_prune():
            raise optuna.TrialPruned
        return 0.0

    study = study_of(pruner=EnergyPruner(kwh(1.5)))
    study.optimize(objective, n_trials=2, callbacks=[EmissionsCallback()])
    assert [one.state.name for one in study.trials] == ["PRUNED", "PRUNED"]
    assert [attribute(one) for one in study.trials] == pytest.approx([kwh(2), kwh(2)])


def test_a_search_within_a_trial_is_a_part_of_it(machine):
    inner = []

    def leaf(trial: Any) -> float:
        machine.clock.advance(1)
        return 0.0

    def objective(trial: Any) -> float:
        inner.append(study_of(f"inner {trial.number}"))
        inner[-1].optimize(leaf, n_trials=2)
        return 0.0

    study = study_of("outer")
    with EmissionsCallback():
        study.optimize(objective, n_trials=2)
    assert [attribute(one) for one in study.trials] == pytest.approx([kwh(2), kwh(2)])
    assert not [name for one in inner for name in one.user_attrs if name.startswith("carbon:")]


def test_the_same_callback_in_two_studies(taking):
    callback, first, second = EmissionsCallback(), study_of("a"), study_of("b")
    first.optimize(taking(1), n_trials=2, callbacks=[callback])
    second.optimize(taking(5), n_trials=1, callbacks=[callback])
    assert first.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(2))
    assert second.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(5))
    assert callback.totals.study_id == second.user_attrs["carbon:study_id"]


def test_the_same_callback_in_two_studies_at_once(machine):
    callback = EmissionsCallback()
    studies = [study_of("a"), study_of("b")]
    barrier = threading.Barrier(2)

    def objective(trial: Any) -> float:
        barrier.wait(60)
        if barrier.wait(60) == 0:
            machine.clock.advance(2)
        barrier.wait(60)
        return 0.0

    def search(study: Any) -> None:
        study.optimize(objective, n_trials=3, callbacks=[callback])

    threads = [threading.Thread(target=search, args=[one]) for one in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each is a run of its own, which measures the machine.
    for study in studies:
        assert study.user_attrs["carbon:energy_kwh"] <= kwh(6) * (1 + 1e-9)
        assert sum(attribute(one) for one in study.trials) == pytest.approx(
            study.user_attrs["carbon:energy_kwh"]
        )


def test_two_studies_of_one_name_at_once(machine):
    studies, barrier = [study_of(), study_of()], threading.Barrier(2)

    def objective(trial: Any) -> float:
        barrier.wait(60)
        if barrier.wait(60) == 0:
            machine.clock.advance(2)
        barrier.wait(60)
        return 0.0

    def search(study: Any) -> None:
        study.optimize(objective, n_trials=2, catch=Exception, callbacks=[EmissionsCallback()])

    threads = [threading.Thread(target=search, args=[one]) for one in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for study in studies:
        assert [one.state.name for one in study.trials] == ["COMPLETE", "COMPLETE"]


def test_two_studies_of_one_id_are_one_study(taking):
    callback = EmissionsCallback(study_id="both")
    for name in ("a", "b"):
        study = study_of(name)
        study.optimize(taking(1), n_trials=2, callbacks=[callback])
    assert callback.totals.study_id == "both"
    assert callback.totals.statuses == {"completed": 4}
    assert study.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(4))


def test_a_name_that_is_used_again_in_memory_is_another_study(taking, monkeypatch):
    ids = []
    for number in range(2):
        study = study_of("again")
        study.enqueue_trial({"x": 0.5})
        study.optimize(taking(1), n_trials=1, callbacks=[EmissionsCallback()])
        ids.append(study.user_attrs["carbon:study_id"])
        assert study.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(1))
        assert number == 0 or ids[0] != ids[1]


def test_a_copied_study_is_another_study(taking):
    study = study_of("original")
    study.optimize(taking(1), n_trials=2, callbacks=[EmissionsCallback()])
    storage = optuna.storages.InMemoryStorage()
    optuna.copy_study(
        from_study_name="original",
        from_storage=study._storage,
        to_storage=storage,
        to_study_name="copy",
    )
    copied = optuna.load_study(study_name="copy", storage=storage)
    copied.optimize(taking(5), n_trials=1, callbacks=[EmissionsCallback()])
    assert copied.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(5))


def test_warnings_about_settings_are_not_repeated(taking, monkeypatch, caplog):
    monkeypatch.setenv("CODECARBON_PUE", "none of it")
    study_of().optimize(taking(1), n_trials=1, callbacks=[EmissionsCallback()])
    assert caplog.text.count("pue must be") == 1


def test_a_pickled_callback_has_no_secret():
    callback = EmissionsCallback(electricitymaps_api_token="s3cr3t-token")
    assert b"s3cr3t-token" not in pickle.dumps(callback)


def test_copies_measure_nothing_of_the_original(taking):
    callback = EmissionsCallback(project_name="mine", minimize_energy=False)
    seen = []

    def copied(study: Any, trial: Any) -> None:
        seen.extend([copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))])

    study = study_of()
    study.optimize(taking(1), n_trials=1, callbacks=[callback, copied])
    assert [one.totals for one in seen] == [None, None]
    other = study_of("other")
    other.optimize(taking(1), n_trials=1, callbacks=seen[-1:])
    assert attribute(other.trials[0]) == pytest.approx(kwh(1))


def test_wrong_arguments_are_refused_before_the_search():
    with pytest.raises(ConfigError, match="pue"):
        EmissionsCallback(pue=-1)
    parameters = inspect.signature(EmissionsCallback).parameters
    assert {"minimize_energy", "project_name", "study_id", "budget_kwh"} <= parameters.keys()


# --- threads, processes, and studies that continue ------------------------------------------------


def test_trials_in_threads_share_the_machine_and_add_up(machine):
    barrier = threading.Barrier(2)

    def objective(trial: Any) -> float:
        barrier.wait(60)
        if barrier.wait(60) == 0:
            machine.clock.advance(4)
        barrier.wait(60)
        return 0.0

    study, callback = study_of(), EmissionsCallback()
    study.optimize(objective, n_trials=6, n_jobs=2, callbacks=[callback])
    used = [attribute(one) for one in study.trials]
    assert sum(used) == pytest.approx(kwh(12))
    assert study.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(12))


def test_twenty_trials_of_two_workers_add_up_to_the_joules_of_the_machine(machine):
    machine.value = lambda t_s: 80 * t_s + 500 * math.sin(t_s / 7)  # between 9 and 151 W
    first_s = machine.clock.monotonic_ns() / 1e9

    def objective(trial: Any) -> float:
        for step in range(5):
            machine.clock.advance(0.3 + trial.number % 3)
            trial.report(step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        if trial.number % 7 == 3:
            raise ValueError
        return 1.0

    class Pruning(optuna.pruners.BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            return trial.number % 5 == 2 and trial.last_step == 2

    study, callback = study_of(pruner=Pruning()), EmissionsCallback()
    study.optimize(objective, n_trials=20, n_jobs=2, catch=ValueError, callbacks=[callback])
    totals = callback.totals
    last_s = machine.clock.monotonic_ns() / 1e9
    joules = machine.value(last_s) - machine.value(first_s)
    assert totals.energy_kwh * JOULES_PER_KWH == pytest.approx(joules, rel=0.005)
    trials = sum(attribute(one) for one in study.trials)
    assert trials + totals.overhead_kwh == pytest.approx(totals.energy_kwh)
    assert totals.statuses == {"completed": 14, "pruned": 4, "failed": 2}
    waste = [attribute(one) for one in study.trials if one.state.name != "COMPLETE"]
    assert totals.waste_kwh == pytest.approx(sum(waste))


def test_a_study_of_a_storage_continues_its_totals(taking):
    for _ in range(3):
        study = study_of(storage="sqlite:///study.db", load_if_exists=True)
        study.optimize(taking(1), n_trials=2, callbacks=[EmissionsCallback()])
    assert study.user_attrs["carbon:energy_kwh"] == pytest.approx(kwh(6))
    assert sum(attribute(one) for one in study.trials) == pytest.approx(kwh(6))


PROGRAM = """
import os, pathlib, signal, sys, time
import optuna
from carbon_callbacks.optuna import EmissionsCallback

optuna.logging.set_verbosity(optuna.logging.ERROR)

def objective(trial):
    until = time.process_time() + 0.05
    while time.process_time() < until:
        trial.suggest_float("x", 0, 1)
    if "killed" in sys.argv and trial.number == 1:
        # Not before the journal has its energy: what follows the last record is lost.
        (journal,) = pathlib.Path("carbon_runs").glob("*.journal.jsonl")
        lines = []
        while not any('"trial_id": "1"' in one and '"energy_kwh": null' not in one for one in lines):
            lines = journal.read_text().splitlines()
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0

study = optuna.create_study(
    study_name="shared", storage="sqlite:///study.db", load_if_exists=True
)
study.optimize(objective, n_trials=3, callbacks=[EmissionsCallback(measure_power_secs=1)])
"""


@pytest.mark.slow
def test_a_trial_that_is_killed_is_a_failed_one_of_the_resumed_study():
    done = run_python(f"import sys; sys.argv = ['', 'killed']\n{PROGRAM}")
    assert done.returncode == -9, done.stderr
    assert run_python(PROGRAM).returncode == 0
    callback = EmissionsCallback()
    study = optuna.load_study(study_name="shared", storage="sqlite:///study.db")
    study.optimize(lambda trial: 1.0, n_trials=1, callbacks=[callback])
    totals = callback.totals
    assert totals.statuses == {"completed": 5, "failed": 1}
    assert totals.waste_kwh > 0
    trials = sum(one.energy_kwh or 0.0 for one in totals.trials)
    assert trials + totals.overhead_kwh == pytest.approx(totals.energy_kwh)


@pytest.mark.slow
def test_two_processes_are_one_study():
    optuna.create_study(study_name="shared", storage="sqlite:///study.db")
    outcomes = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(run_python(PROGRAM))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.returncode for one in outcomes] == [0, 0], outcomes
    callback = EmissionsCallback()
    study = optuna.load_study(study_name="shared", storage="sqlite:///study.db")
    study.optimize(lambda trial: 1.0, n_trials=1, callbacks=[callback])
    totals = callback.totals
    assert totals.statuses == {"completed": 7}
    trials = sum(one.energy_kwh or 0.0 for one in totals.trials)
    assert trials + totals.overhead_kwh == pytest.approx(totals.energy_kwh)


# --- limits ---------------------------------------------------------------------------------------


def test_a_budget_ends_the_search_after_the_trial_that_reaches_it(taking, caplog):
    study = study_of()
    study.optimize(
        taking(1), n_trials=9, callbacks=[EmissionsCallback(budget_kwh=kwh(2.5), on_budget="stop")]
    )
    assert len(study.trials) == 3
    assert all(one.state.name == "COMPLETE" for one in study.trials)
    assert "no further trial begins" in caplog.text


def test_a_budget_ends_a_search_in_threads(taking):
    study = study_of()
    callback = EmissionsCallback(budget_kwh=kwh(2.5), on_budget="stop")
    study.optimize(taking(1), n_trials=50, n_jobs=2, callbacks=[callback])
    assert 3 <= len(study.trials) <= 5


def test_a_budget_that_warns_does_not_end_the_search(taking):
    study = study_of()
    callback = EmissionsCallback(budget_kwh=kwh(0.5), on_budget="warn")
    study.optimize(taking(1), n_trials=3, callbacks=[callback])
    assert len(study.trials) == 3


def test_a_resumed_study_whose_budget_is_spent_begins_no_trial(taking):
    for _ in range(2):
        study = study_of(storage="sqlite:///study.db", load_if_exists=True)
        callback = EmissionsCallback(budget_kwh=kwh(1.5), on_budget="stop")
        study.optimize(taking(1), n_trials=9, callbacks=[callback])
        assert len(study.trials) == 2


def reporting(machine: Any, seconds: float, reports: int) -> Any:
    """Return an objective that reports a value some times, and what each report takes."""

    def objective(trial: Any) -> float:
        for step in range(reports):
            machine.clock.advance(seconds * (1 + trial.number))
            trial.report(1.0, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return 1.0

    return objective


def test_a_trial_whose_forecast_exceeds_the_limit_is_pruned_early(machine):
    study = study_of(pruner=EnergyPruner(kwh(150), n_reports=10))
    callback = EmissionsCallback()
    study.optimize(reporting(machine, 10, 10), n_trials=2, callbacks=[callback])
    assert [one.state.name for one in study.trials] == ["COMPLETE", "PRUNED"]
    assert attribute(study.trials[1]) < kwh(100)
    assert callback.totals.waste_kwh == pytest.approx(attribute(study.trials[1]))


def test_without_a_number_of_reports_a_trial_is_pruned_once_it_has_used_the_limit(machine):
    study = study_of(pruner=EnergyPruner(kwh(150)))
    study.optimize(reporting(machine, 10, 10), n_trials=2, callbacks=[EmissionsCallback()])
    assert [one.state.name for one in study.trials] == ["COMPLETE", "PRUNED"]
    assert attribute(study.trials[1]) == pytest.approx(kwh(160))


def test_another_pruner_may_prune_as_well(machine):
    pruner = EnergyPruner(kwh(1e6), pruner=optuna.pruners.ThresholdPruner(upper=0.5))
    study = study_of(pruner=pruner)
    study.optimize(reporting(machine, 1, 3), n_trials=1, callbacks=[EmissionsCallback()])
    assert study.trials[0].state.name == "PRUNED"


def test_a_pruner_without_a_callback_prunes_nothing_and_warns(machine, caplog):
    study = study_of(pruner=EnergyPruner(kwh(1)))
    study.optimize(reporting(machine, 10, 2), n_trials=2)
    assert [one.state.name for one in study.trials] == ["COMPLETE", "COMPLETE"]
    assert caplog.text.count("EnergyPruner prunes nothing") == 1


@pytest.mark.parametrize("wrong", [{"max_kwh": 0}, {"max_kwh": 1, "n_reports": 0}])
def test_a_wrong_limit_is_refused(wrong):
    with pytest.raises(ConfigError, match="must be"):
        EnergyPruner(**wrong)


# --- energy as an objective -----------------------------------------------------------------------


def test_energy_may_be_the_last_objective(taking):
    study = study_of(directions=["maximize", "minimize"])
    study.optimize(taking(3, 1, 2), n_trials=3, callbacks=[EmissionsCallback(minimize_energy=True)])
    assert [one.values[1] for one in study.trials] == pytest.approx([kwh(3), kwh(1), kwh(2)])
    assert 1 in {one.number for one in study.best_trials}


def test_an_objective_with_several_values_gets_one_more(machine):
    def objective(trial: Any) -> tuple[float, float]:
        machine.clock.advance(1)
        return 1.0, 2.0

    study, callback = study_of(directions=["minimize"] * 3), EmissionsCallback(minimize_energy=True)
    study.optimize(objective, n_trials=1, callbacks=[callback])
    assert study.trials[0].values == pytest.approx([1.0, 2.0, kwh(1)])


@pytest.mark.parametrize("directions", [["minimize"], ["minimize", "maximize"]])
def test_energy_as_an_objective_needs_a_direction(taking, directions):
    study = study_of(directions=directions)
    with pytest.raises(ConfigError, match="directions"):
        study.optimize(taking(1), n_trials=1, callbacks=[EmissionsCallback(minimize_energy=True)])
    assert not study.trials


def test_a_trial_that_fails_has_no_energy_as_its_value(machine):
    study, callback = study_of(directions=["minimize"] * 2), EmissionsCallback(minimize_energy=True)
    study.optimize(lambda trial: float("nan"), n_trials=1, callbacks=[callback])
    assert study.trials[0].state.name == "FAIL"
    assert callback.totals.statuses == {"failed": 1}
