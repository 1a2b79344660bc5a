"""A study in one process: its trials add up to the machine, whatever overlaps, fails or is resumed."""

from __future__ import annotations

import gc
import json
import math
import os
import pickle
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from carbon_callbacks import ConfigError, EmissionsTracker
from carbon_callbacks.studies import Study, TrialResult
from carbon_callbacks.testing import receipts
from carbon_callbacks.testing.machine import hold_search
from carbon_core.outputs import past_runs
from carbon_core.outputs.studies import study_totals
from carbon_core.tracker import run
from carbon_core.trials import best_of, pareto_front

J = 1 / 3.6e6
Pruned = type("TrialPruned", (Exception,), {"__module__": "optuna.exceptions"})


def uneven(t_s: float) -> float:
    """Return the joules of a machine whose power changes all the time."""
    return 200.0 * t_s + 100.0 * math.sin(t_s) + 3.0 * t_s**1.5


def quiet(study_id: str | None = None, **settings: Any) -> Study:
    return Study(study_id, country_iso_code="FRA", log_level="error", **settings)


@pytest.mark.parametrize("text", ["\udcff", "a\nb\x1b[31m", "x" * 100_000])
def test_the_variables_of_a_launcher_are_text_of_one_line(
    machine: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", f"id {text}")
    monkeypatch.setenv("WANDB_RUN_ID", f"run {text}")
    with EmissionsTracker(country_iso_code="FRA", log_level="error"):
        machine.clock.advance(10)
    (run_of_trial,) = receipts()
    study = run_of_trial["run"]["study"]
    assert run_of_trial["energy_kwh"]["value"] > 0
    assert study["study_id"].startswith("id")
    assert study["trial_id"].startswith("run")
    assert all(
        one.isprintable() and len(one) <= 200 for one in (study["study_id"], study["trial_id"])
    )


class Lazy(dict):  # type: ignore[type-arg]
    """A mapping as of a library that loads its values."""

    def items(self) -> Any:
        raise OSError("no file")


def test_no_secret_among_the_parameters_is_kept(machine: Any) -> None:
    parameters = {
        "lr": 0.1,
        "layers": [64, 64],
        "tokens": 5,
        "optimizer": J,
        "kind": Study,
        "api_key": "planted",
        "storage": "postgres://me:planted@db.example/trials",
        "logging": {"webhook": "https://hooks.example/T0/planted", "password": "planted"},
        "https://me:planted@host": 1,
        "lazy": Lazy(a="planted"),
        b"token": b"planted",
    }
    study = quiet("secrets")
    with study.trial(0, parameters):
        machine.clock.advance(1)
    with study.trial(1) as trial:
        trial.note_parameters(parameters)
        machine.clock.advance(1)
    first, second = study.end().trials
    assert first.parameters == second.parameters
    assert first.parameters["layers"] == "[64, 64]"
    assert (first.parameters["lr"], first.parameters["tokens"]) == ("0.1", "5")
    assert first.parameters["kind"].endswith("Study'>")
    assert first.parameters["api_key"] == "(hidden)"
    assert first.parameters["lazy"] == "Lazy"
    for path in Path().rglob("*"):
        assert not path.is_file() or b"planted" not in path.read_bytes()


@pytest.mark.parametrize("value", [3e38, -1e300])
def test_a_value_that_diverges_does_not_spoil_the_receipt(machine: Any, value: float) -> None:
    with quiet("lr") as study, study.trial(1) as trial:
        machine.clock.advance(1)
        trial.note_value(value)
    (path,) = Path("carbon_runs").glob("*.receipt.json")
    assert [one.value for one in past_runs.read(path).trials] == [value]


def test_twenty_trials_of_two_threads_add_up_to_the_machine(machine: Any) -> None:
    machine.value = uneven
    chance = random.Random(7)
    study, began_ns, gaps_j = quiet("lr"), machine.clock.monotonic_ns(), 0.0
    workers = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
    open_trials: list[Any] = [None, None]
    statuses = iter(["completed", "pruned", "failed", "completed"] * 5)
    for number in range(20):
        worker = number % 2 if chance.random() < 0.8 else chance.randrange(2)
        if open_trials[worker] is not None:
            ended, status = open_trials[worker], next(statuses)
            workers[worker].submit(ended.end, status, chance.random()).result()
        open_trials[worker] = (
            workers[worker].submit(study.trial, number, {"lr": chance.random()}).result()
        )
        machine.clock.advance(chance.uniform(1, 60))
    for trial in filter(None, open_trials):
        trial.end(next(statuses), 1.0)
    before_s = machine.clock.monotonic_ns() / 1e9
    machine.clock.advance(5)
    gaps_j = uneven(before_s + 5) - uneven(before_s)
    totals = study.end()
    for one in workers:
        one.shutdown()
    used_j = uneven(machine.clock.monotonic_ns() / 1e9) - uneven(began_ns / 1e9)
    assert totals.energy_kwh == pytest.approx(used_j * J)
    assert totals.overhead_kwh == pytest.approx(gaps_j * J)
    assert sum(one.energy_kwh or 0 for one in totals.trials) == pytest.approx((used_j - gaps_j) * J)
    assert sum(totals.statuses.values()) == 20
    assert totals.statuses["failed"] >= 4
    waste = [one.energy_kwh or 0 for one in totals.trials if one.status in ("pruned", "failed")]
    assert totals.waste_kwh == pytest.approx(sum(waste))
    assert totals.best is not None
    assert totals.best.value == min(one.value for one in totals.trials if one.status == "completed")
    (receipt,) = receipts()
    assert len(receipt["trials"]) == 20
    kg = sum(one["emissions_kg"] for one in receipt["trials"])
    gap_kg = receipt["emissions_kg"]["value"] * gaps_j / used_j
    assert kg == pytest.approx(receipt["emissions_kg"]["value"] - gap_kg)


def test_what_two_trials_use_together_is_halved(machine: Any) -> None:
    with quiet() as study:
        one = study.trial("one")
        machine.clock.advance(10)
        other = study.trial("other")
        machine.clock.advance(20)
        first = one.end()
        machine.clock.advance(30)
        assert other.energy_kwh == pytest.approx((1000 + 3000) * J)
        second = other.end()
        machine.clock.advance(40)
        assert one.end("failed") == first, "the first call decides"
    assert first.energy_kwh == pytest.approx((1000 + 1000) * J)
    assert second.energy_kwh == pytest.approx((1000 + 3000) * J)
    assert (first.duration_s, second.duration_s) == (30.0, 50.0)
    assert first.energy_low_kwh < first.energy_kwh < first.energy_high_kwh
    assert first.emissions_low_kg < first.emissions_kg < first.emissions_high_kg
    assert study.totals().overhead_kwh == pytest.approx(4000 * J)


def test_a_block_ends_a_trial_by_its_exception(machine: Any) -> None:
    study = quiet()
    for name, error in (
        ("a", None),
        ("b", Pruned()),
        ("c", ValueError()),
        ("d", KeyboardInterrupt()),
    ):
        try:
            with study.trial(name) as trial:
                machine.clock.advance(1)
                trial.note_value(3.0)
                if error is not None:
                    raise error
        except BaseException as raised:
            assert raised is error
    totals = study.end()
    assert {one.trial_id: one.status for one in totals.trials} == {
        "a": "completed", "b": "pruned", "c": "failed", "d": "failed",
    }  # fmt: skip
    assert totals.statuses == {"completed": 1, "pruned": 1, "failed": 2}
    assert totals.waste_kwh == pytest.approx(300 * J)


def test_a_study_without_a_finished_trial_has_totals(machine: Any) -> None:
    study = quiet("none")
    empty = study.totals()
    assert (empty.energy_kwh, empty.best, empty.pareto, empty.trials) == (None, None, [], ())
    study.trial(0)
    machine.clock.advance(10)
    running = study.totals()
    assert running.statuses == {"running": 1}
    assert running.energy_kwh == pytest.approx(1000 * J)
    assert running.best is None
    totals = study.end()
    assert totals.statuses == {"failed": 1}
    assert totals.waste_kwh == pytest.approx(1000 * J)
    assert study.end() == totals


def test_a_resumed_study_continues_its_totals(machine: Any) -> None:
    for part in range(3):
        study = quiet("resumed", direction="maximize")
        with study.trial(part) as trial:
            machine.clock.advance(10)
            trial.note_value(part)
        with study.trial("every time"):
            machine.clock.advance(5)
        totals = study.end()
        assert totals.energy_kwh == pytest.approx((part + 1) * 1500 * J)
        assert len(totals.trials) == part + 2
        assert totals.best is not None
        assert totals.best.trial_id == str(part)
        repeated = next(one for one in totals.trials if one.trial_id == "every time")
        assert repeated.energy_kwh == pytest.approx((part + 1) * 500 * J)
        machine.clock.advance(100)  # between the parts, nothing is measured


def test_one_object_continues_after_its_end(machine: Any) -> None:
    study = quiet("again")
    for number in range(2):
        with study.trial(number):
            machine.clock.advance(10)
        assert study.end().energy_kwh == pytest.approx((number + 1) * 1000 * J)
    assert len(receipts()) == 2


@pytest.mark.parametrize("kept", [True, False])
def test_totals_need_no_files(machine: Any, kept: bool) -> None:
    study = quiet("files", save_to_file=kept)
    for number in range(2):
        with study.trial(number):
            machine.clock.advance(10)
        study.end()
    assert study.totals().energy_kwh == pytest.approx(2000 * J)
    assert Path("carbon_runs").exists() is kept


def test_a_run_within_a_trial_counts_once(machine: Any) -> None:
    study = quiet("outer")
    with study.trial(0):
        with EmissionsTracker(country_iso_code="FRA", log_level="error", study_id="outer") as inner:
            machine.clock.advance(10)
        assert study.totals().energy_kwh == pytest.approx(1000 * J)
    totals = study.end()
    assert inner.final_report.energy_kwh.value == pytest.approx(1000 * J)
    assert totals.energy_kwh == pytest.approx(1000 * J)
    assert [one.trial_id for one in totals.trials] == ["0"]


def test_two_studies_of_a_process_have_their_own_totals(machine: Any) -> None:
    for name in ("one", "two"):
        study = quiet(name)
        with study.trial(0):
            machine.clock.advance(10)
        assert study.end().energy_kwh == pytest.approx(1000 * J)
    assert study_totals(Path(), "one").energy_kwh == pytest.approx(1000 * J)


def test_objects_of_one_study_share_its_run(machine: Any) -> None:
    one, other = quiet("same"), quiet("same")
    first = one.trial("first")
    machine.clock.advance(10)
    second = other.trial("second")
    machine.clock.advance(10)
    first.end()
    one.end()
    machine.clock.advance(10)
    assert second.end().energy_kwh == pytest.approx(1500 * J), "the other object still measures"
    assert other.end().energy_kwh == pytest.approx(3000 * J)
    assert len(receipts()) == 1


@pytest.mark.parametrize("kept", [True, False])
def test_a_later_object_has_its_own_settings(machine: Any, kept: bool) -> None:
    first = quiet("cell", direction="minimize", save_to_file=kept)
    with first.trial(0):
        machine.clock.advance(10)
    first.end()
    second = quiet("cell", direction="maximize", save_to_file=kept, pue=2.0)
    with second.trial(1):
        machine.clock.advance(10)
    totals = second.end()
    assert totals.direction == "maximize"
    assert totals.energy_kwh == pytest.approx(3000 * J)
    assert first.totals() == totals
    if kept:
        assert study_totals(Path(), "cell").direction == "maximize", "that of the latest run"


@pytest.mark.parametrize("kept", [True, False])
def test_a_study_of_the_same_name_in_another_directory_is_another_one(
    machine: Any, kept: bool
) -> None:
    earlier = []  # for as long as they exist, the process has their results
    for name in ("one", "two"):
        study = quiet("cell", save_to_file=kept, output_dir=name)
        with study.trial(0):
            machine.clock.advance(10)
        assert study.end().energy_kwh == pytest.approx(1000 * J)
        earlier.append(study)


def test_a_study_whose_working_directory_was_removed_is_measured(machine: Any, place: Path) -> None:
    gone = place / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    study = quiet("gone")
    with study.trial(0):
        machine.clock.advance(10)
    assert study.end().energy_kwh == pytest.approx(1000 * J)


def test_a_trial_that_begins_again_has_failed_before(machine: Any) -> None:
    with quiet() as study:
        study.trial("0")
        machine.clock.advance(10)
        with study.trial(0):
            machine.clock.advance(20)
    (receipt,) = receipts()
    assert [one["status"] for one in receipt["trials"]] == ["failed", "completed"]
    (trial,) = study.totals().trials
    assert (trial.status, trial.energy_kwh) == ("completed", pytest.approx(3000 * J))


def test_a_forgotten_study_is_saved_and_its_trials_have_failed(machine: Any) -> None:
    study = quiet("forgotten")
    trial = study.trial(0)
    machine.clock.advance(10)
    del study, trial
    gc.collect()
    totals = study_totals(Path(), "forgotten")
    assert totals.statuses == {"failed": 1}
    assert totals.energy_kwh == pytest.approx(1000 * J)


def test_trials_before_the_first_reading_are_corrected_by_it(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = threading.Event()
    hold_search(monkeypatch, found)
    # As in a program: otherwise, the end of a trial would wait for the search.
    monkeypatch.setattr(run, "PATIENCE_S", 0.05)
    study = quiet("late")
    for number in range(2):
        with study.trial(number) as trial:
            machine.clock.advance(10 * (number + 1))
    assert trial.energy_kwh in (None, 0.0)
    with study.trial(2) as trial:
        found.set()
        while not trial.energy_kwh:
            machine.clock.advance(1)
        machine.clock.advance(10)
    totals = study.end()
    assert [one.energy_kwh for one in totals.trials] == [
        pytest.approx(one.duration_s * 100 * J, rel=0.01) for one in totals.trials
    ]
    assert totals.overhead_kwh < 1 * J


def test_a_trial_that_has_just_begun_has_an_energy(machine: Any) -> None:
    with quiet() as study:
        with study.trial(0):
            machine.clock.advance(10)
        with study.trial(1) as trial:
            machine.clock.advance(0.05)
            assert trial.energy_kwh == pytest.approx(5 * J)


def test_a_budget_is_one_of_the_whole_study(machine: Any) -> None:
    for part, expected in enumerate((False, False, True)):
        study = quiet("budget", budget_kwh=2500 * J)
        with study.trial(part):
            machine.clock.advance(10)
            assert study.over_budget is expected
        study.end()
    assert not quiet("without a budget").over_budget


def test_a_forecast_is_by_the_part_that_is_done(machine: Any) -> None:
    with quiet() as study, study.trial(0) as trial:
        machine.clock.advance(10)
        assert trial.forecast_kwh(0.25) == pytest.approx(4000 * J)
        for part in (0, -1, 1.5, math.nan, None):
            assert trial.forecast_kwh(part) is None


@pytest.mark.parametrize(
    ("value", "kept"), [(1, 1.0), (math.nan, None), (math.inf, None), ("x", None), (None, None)]
)
def test_a_value_that_is_no_number_is_unknown(machine: Any, value: Any, kept: Any) -> None:
    with quiet("values") as study:
        assert study.trial(0, {"x": value, 3: object}).end(value=value).value == kept
    assert study_totals(Path(), "values").trials[0].value == kept
    json.loads(next(Path("carbon_runs").glob("*.json")).read_text(), parse_constant=pytest.fail)


def test_bad_arguments(machine: Any) -> None:
    with pytest.raises(ConfigError, match="direction must be one of minimize, maximize"):
        Study(direction="down")
    with pytest.raises(ConfigError, match="there is no setting"):
        Study("id", contry="FRA")
    with pytest.raises(ConfigError, match="study_id"):
        Study(object())  # type: ignore[arg-type]
    with quiet() as study:
        trial = study.trial(["a", "list"], "no mapping")  # type: ignore[arg-type]
        machine.clock.advance(1)
        assert trial.end("done").status == "failed"


def test_a_study_that_cannot_be_measured_raises_nothing(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from carbon_core.assemble import trackers

    study = quiet()

    def broken(*args: Any, **more: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(trackers, "make_parts", broken)
    with study.trial(0) as trial:
        assert trial.energy_kwh is None
        assert trial.forecast_kwh(0.5) is None
        assert not study.over_budget
    assert trial.result.trial_id == "0"
    assert study.end().energy_kwh is None


def test_ids_come_from_arguments_settings_and_launchers(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {quiet().study_id for _ in range(2)}
    assert len(ids) == 2, "random ones"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert quiet().study_id == "slurm-7"
    with EmissionsTracker(country_iso_code="FRA", log_level="error"):
        machine.clock.advance(10)
    (receipt,) = receipts()
    assert receipt["run"]["study"]["study_id"] == "slurm-7"
    assert receipt["run"]["study"]["trial_id"] == "3"
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "run")
    assert quiet().study_id == "sweep"
    monkeypatch.setenv("CODECARBON_STUDY_ID", "mine")
    assert quiet().study_id == "mine"
    assert quiet("argument").study_id == "argument"
    totals = study_totals(Path(), "slurm-7")
    assert [one.trial_id for one in totals.trials] == ["3"]
    assert totals.statuses == {"completed": 1}


def test_a_pickled_study_is_another_part_of_it_without_secrets(machine: Any) -> None:
    study = quiet("pickled", api_key="secret-key")
    with study.trial(0):
        machine.clock.advance(10)
    data = pickle.dumps(study)
    assert b"secret-key" not in data
    study.end()
    copy = pickle.loads(data)
    with copy.trial(1):
        machine.clock.advance(10)
    assert copy.end().energy_kwh == pytest.approx(2000 * J)


def trials(*rows: tuple[str, str, float | None, float | None]) -> list[TrialResult]:
    return [
        TrialResult(name, "2026-01-01T00:00:00Z", status, value, energy_kwh=kwh)
        for name, status, value, kwh in rows
    ]


def test_the_best_trial_and_the_front_are_of_completed_trials() -> None:
    known = trials(
        ("cheap", "completed", 3.0, 1.0),
        ("good", "completed", 1.0, 9.0),
        ("middle", "completed", 2.0, 4.0),
        ("beaten", "completed", 2.5, 5.0),
        ("tied", "completed", 3.0, 2.0),
        ("pruned", "pruned", 0.0, 0.5),
        ("unmeasured", "completed", 0.5, None),
        ("unvalued", "completed", None, 0.1),
    )
    assert best_of(known, "minimize").trial_id == "unmeasured"
    assert best_of(known, "maximize").value == 3.0
    assert [one.trial_id for one in pareto_front(known, "minimize")] == ["cheap", "middle", "good"]
    assert [one.trial_id for one in pareto_front(known, "maximize")] == ["cheap"]
    assert best_of([], "minimize") is None
