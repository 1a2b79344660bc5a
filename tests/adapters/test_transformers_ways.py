"""Ways of using the Hugging Face Trainer in which a callback must change nothing, or still be exact."""
# ruff: noqa: E402 - without the framework, nothing below can be imported

import contextlib
import copy
import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
transformers = pytest.importorskip("transformers")

from adapters.test_transformers import Samples, TransformersFramework, entries_with, ours_in

from carbon_callbacks.testing import (
    EPOCHS,
    TRAIN_BATCHES,
    WHOLE_EPOCH_KWH,
    clockwork,
    receipts,
    rows,
    threads_of_ours,
)
from carbon_callbacks.transformers import EmissionsCallback

FRAMEWORK = TransformersFramework()
Callback = transformers.TrainerCallback


def state_of(checkpoint: str) -> dict[str, Any]:
    """Return what a checkpoint keeps of the callbacks."""
    text = (Path("trainer") / checkpoint / "trainer_state.json").read_text()
    return json.loads(text)["stateful_callbacks"]


# --- what is returned, optimised and compared -----------------------------------------------------


def test_what_the_trainer_returns_has_nothing_of_ours(machine):
    bare = FRAMEWORK.trainer()
    measured = FRAMEWORK.trainer(EmissionsCallback(log_metrics="all"))
    assert measured.train().metrics.keys() == bare.train().metrics.keys()
    assert measured.evaluate().keys() == bare.evaluate().keys()
    bare_keys = bare.predict(bare.eval_dataset).metrics.keys()
    assert measured.predict(measured.eval_dataset).metrics.keys() == bare_keys


def test_returning_the_energy_is_opt_in(machine):
    callback = EmissionsCallback(return_metrics=True)
    trainer = FRAMEWORK.trainer(callback, on_batch=clockwork(machine.clock))
    assert trainer.train().metrics["carbon_energy_kwh"] == pytest.approx(
        callback.report.energy_kwh.value
    )
    assert trainer.evaluate()["eval_carbon_energy_kwh"] == pytest.approx(
        callback.report.energy_kwh.value
    )


def test_a_dictionary_that_a_program_logs_stays_its_own(machine):
    mine = {"accuracy": 0.5}

    class Logs(Callback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            trainer.log(mine)

    trainer = FRAMEWORK.trainer(EmissionsCallback(), Logs(), on_batch=clockwork(machine.clock))
    trainer.train()
    assert mine.keys() == {"accuracy", "epoch"}
    assert len(entries_with(trainer, "accuracy")) == EPOCHS * TRAIN_BATCHES
    assert all("carbon_energy_kwh" in entry for entry in entries_with(trainer, "accuracy"))


def test_a_search_optimises_what_it_would_without_the_callback(machine):
    optuna = pytest.importorskip("optuna")
    rates = [0.1, 1e-3]

    def best(*callbacks: Any) -> Any:
        trainer = FRAMEWORK.trainer(*callbacks, on_batch=clockwork(machine.clock))
        trainer.model_init = lambda trial: trainer_model()
        return trainer.hyperparameter_search(
            hp_space=lambda trial: {"learning_rate": trial.suggest_categorical("r", rates)},
            n_trials=2,
            direction="minimize",
            backend="optuna",
            sampler=optuna.samplers.GridSampler({"r": rates}, seed=7),
        )

    def trainer_model() -> Any:
        return FRAMEWORK.trainer().model

    bare, measured = best(), best(EmissionsCallback())
    assert measured.objective == bare.objective
    assert measured.hyperparameters == bare.hyperparameters


def test_a_search_within_a_block_is_a_study_that_counts_its_trainings_once(machine):
    optuna = pytest.importorskip("optuna")
    from carbon_callbacks.optuna import EmissionsCallback as OfSearches

    class Pruning(optuna.pruners.BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            return trial.number == 1

    on_batch = clockwork(machine.clock)
    trainer = FRAMEWORK.trainer(EmissionsCallback(), on_batch=on_batch)
    trainer.model_init = lambda trial: FRAMEWORK.trainer(on_batch=on_batch).model
    with OfSearches() as callback:
        trainer.hyperparameter_search(
            hp_space=lambda trial: {"learning_rate": trial.suggest_float("rate", 0.01, 0.1)},
            n_trials=3,
            direction="minimize",
            backend="optuna",
            pruner=Pruning(),
        )
    totals = callback.totals
    assert totals.statuses == {"completed": 2, "pruned": 1}
    whole, pruned = totals.trials[0].energy_kwh, totals.trials[1].energy_kwh
    assert whole == pytest.approx(EPOCHS * WHOLE_EPOCH_KWH)
    assert pruned == pytest.approx(WHOLE_EPOCH_KWH)
    assert totals.energy_kwh == pytest.approx(2 * whole + pruned)
    assert totals.waste_kwh == pytest.approx(pruned)
    assert totals.best.parameters.keys() == {"rate"}
    found = receipts()
    (study,) = [one["run"]["run_id"] for one in found if not one["run"]["within"]]
    assert [one["run"]["within"] for one in found if one["run"]["within"]] == [[study]] * 3


def test_other_callbacks_compare_metrics_without_ours(machine):
    seen: list[set[str]] = []

    class Compares(Callback):
        def on_evaluate(self, *args: Any, metrics: dict[str, float], **more: Any) -> None:
            seen.append({key for key in metrics if "kwh" in key or key.endswith("_kg")})

    FRAMEWORK.train(EmissionsCallback(), Compares())
    assert seen == [set()] * EPOCHS


def test_the_notebook_s_table_has_no_columns_of_ours():
    notebook = pytest.importorskip("transformers.utils.notebook")
    pytest.importorskip("IPython")
    table = notebook.NotebookProgressCallback()
    FRAMEWORK.train(EmissionsCallback(), table)
    (heads, *_) = table.training_tracker.inner_table if table.training_tracker else [[]]
    assert not [head for head in heads if "kwh" in head.lower()]


# --- the trainer's life ---------------------------------------------------------------------------


def test_trainer_model_and_optimizer_are_freed_at_once():
    trainer = FRAMEWORK.trainer(callback := EmissionsCallback())
    trainer.train()
    trainer.evaluate()
    watched = [weakref.ref(one) for one in (trainer, trainer.model, trainer.optimizer.optimizer)]
    bare = FRAMEWORK.trainer()
    bare.train()
    bare.evaluate()
    without = [weakref.ref(one) for one in (bare, bare.model, bare.optimizer.optimizer)]
    gc.collect()
    gc.disable()
    try:
        del trainer, bare
        assert [one() is None for one in watched] == [one() is None for one in without]
    finally:
        gc.enable()
    assert callback.report is not None


def test_a_copied_trainer_trains_its_own_model(machine):
    original = FRAMEWORK.trainer(EmissionsCallback(), on_batch=clockwork(machine.clock))
    other = copy.copy(original)
    other.model = other.model_wrapped = FRAMEWORK.trainer().model
    before = copy.deepcopy(original.model.state_dict())
    own = copy.deepcopy(other.model.state_dict())
    other.train()
    now = original.model.state_dict()
    assert all(torch.equal(before[name], now[name]) for name in before)
    trained = other.model.state_dict()
    assert not all(torch.equal(own[name], trained[name]) for name in own)


def test_nothing_is_added_to_a_trainer_or_its_list_of_callbacks():
    bare, measured = FRAMEWORK.trainer(), FRAMEWORK.trainer(EmissionsCallback())
    assert vars(measured).keys() == vars(bare).keys()
    measured.train()
    bare.train()
    assert vars(measured).keys() == vars(bare).keys()


@pytest.mark.parametrize("how", ["remove", "pop", "class"])
def test_after_its_removal_nothing_of_ours_is_called(how, monkeypatch):
    callback = EmissionsCallback()
    trainer = FRAMEWORK.trainer(callback)
    trainer.train()
    if how == "remove":
        trainer.remove_callback(callback)
    elif how == "class":
        trainer.remove_callback(EmissionsCallback)
    else:
        assert trainer.pop_callback(callback) is callback

    def fail(*args: Any, **more: Any) -> Any:
        raise AssertionError("called after its removal")

    monkeypatch.setattr(callback, "_training", type("Gone", (), {"__getattr__": fail})())
    trainer.train()
    trainer.evaluate()
    trainer.predict(trainer.eval_dataset)
    assert not ours_in(trainer.state.log_history[-1])
    assert len(receipts()) == 1


def test_a_callback_removed_during_training_closes_its_run():
    callback = EmissionsCallback()

    class Removes(Callback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step == 2:
                trainer.remove_callback(callback)

    trainer = FRAMEWORK.trainer(callback, Removes())
    trainer.train()
    assert [receipt["status"] for receipt in receipts()] == ["interrupted"]
    assert not threads_of_ours()


def test_two_trainers_by_turns_pile_up_nothing():
    callback = EmissionsCallback()
    depths: list[int] = []

    class Depth(Callback):
        def on_evaluate(self, *args: Any, **more: Any) -> None:
            import inspect

            depths.append(len(inspect.stack(0)))

    trainers = [FRAMEWORK.trainer(callback, Depth(), num_train_epochs=1) for _ in range(2)]
    for turn in range(10):
        trainers[turn % 2].train()
    assert len(set(depths)) == 1
    assert len(receipts()) == 10


def test_a_callback_added_later_closes_its_first_training_that_raises():
    trainer = FRAMEWORK.trainer(on_batch=lambda what: 1 / 0)
    trainer.add_callback(EmissionsCallback())
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert [receipt["status"] for receipt in receipts()] == ["failed"]


# --- evaluations within ---------------------------------------------------------------------------


def test_an_evaluation_called_train_is_not_taken_for_the_end(machine):
    callback = EmissionsCallback()

    class Evaluates(Callback):
        def on_epoch_end(self, *args: Any, **more: Any) -> None:
            trainer.evaluate(Samples(4), metric_key_prefix="train")

    trainer = FRAMEWORK.trainer(callback, Evaluates(), on_batch=clockwork(machine.clock))
    trainer.train()
    evaluations = [one for one in entries_with(trainer, "train_runtime") if "total_flos" not in one]
    assert len(evaluations) == EPOCHS
    for entry in evaluations:
        assert ours_in(entry).keys() == {"train_carbon_energy_kwh", "train_carbon_emissions_kg"}
    assert {phase.name for phase in callback.report.phases} >= {"train", "validate"}
    assert callback.report.status == "completed"
    totals = [
        entry["carbon_energy_kwh"]
        for entry in trainer.state.log_history
        if "carbon_energy_kwh" in entry
    ]
    assert totals == sorted(totals)


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["callback", "best", "program"])
def test_a_checkpoint_that_anyone_asks_for_holds_our_state(who, machine):
    class Asks(Callback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if who == "program" and state.global_step == 3:
                trainer._save_checkpoint(trainer.model, None)

        def on_evaluate(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            control.should_save = control.should_save or who == "callback"

    options = {"save_strategy": "best", "metric_for_best_model": "loss"} if who == "best" else {}
    trainer = FRAMEWORK.trainer(
        EmissionsCallback(), Asks(), on_batch=clockwork(machine.clock), **options
    )
    trainer.train()
    checkpoints = sorted(path.name for path in Path("trainer").glob("checkpoint-*"))
    assert checkpoints
    for checkpoint in checkpoints:
        (segment,) = state_of(checkpoint)["carbon_callbacks:codecarbon"]["segments"]
        assert segment["energy_kwh"] > 0


def test_a_run_resumed_from_the_best_checkpoint_adds_up(machine):
    on_batch = clockwork(machine.clock)
    options = {"save_strategy": "best", "metric_for_best_model": "loss", "learning_rate": 0.05}
    first = EmissionsCallback()
    FRAMEWORK.trainer(first, on_batch=on_batch, **options).train()
    second = EmissionsCallback()
    again = FRAMEWORK.trainer(second, on_batch=on_batch, **{**options, "num_train_epochs": 3})
    again.train(resume_from_checkpoint=True)
    assert [one.run_id for one in second.report.earlier] == [first.report.run.run_id]


def test_restoring_callbacks_warns_of_nothing(caplog, machine):
    FRAMEWORK.trainer(EmissionsCallback(), save_strategy="epoch").train()
    transformers.utils.logging.enable_propagation()
    try:
        trainer = FRAMEWORK.trainer(
            callback := EmissionsCallback(),
            save_strategy="epoch",
            num_train_epochs=3,
            restore_callback_states_from_checkpoint=True,
        )
        trainer.train(resume_from_checkpoint=True)
    finally:
        transformers.utils.logging.disable_propagation()
    assert not [text for text in caplog.messages if "not included in current" in text]
    assert callback in trainer.callback_handler.callbacks
    assert len(callback.report.earlier) == 1


# --- samples, tokens, logs ------------------------------------------------------------------------


def last_of(trainer: Any) -> dict[str, Any]:
    """Return the entry of the end of a training."""
    return entries_with(trainer, "total_flos")[-1]


def samples_of(trainer: Any) -> float | None:
    """Return the samples that the last log is based on."""
    last = last_of(trainer)
    return (
        last["carbon_samples_per_kwh"] * last["carbon_energy_kwh"]
        if "carbon_samples_per_kwh" in last
        else None
    )


def test_samples_that_are_dropped_do_not_count(machine):
    trainer = FRAMEWORK.trainer(
        EmissionsCallback(), on_batch=clockwork(machine.clock), dataloader_drop_last=True
    )
    trainer.train_dataset = Samples(9)
    trainer.train()
    assert samples_of(trainer) == pytest.approx(EPOCHS * 8)
    assert receipts()[-1]["dataset_samples"] == 9, "they are part of the data"


def test_samples_of_a_training_that_stops_within_an_epoch(machine):
    trainer = FRAMEWORK.trainer(EmissionsCallback(), on_batch=clockwork(machine.clock), max_steps=3)
    trainer.train()
    assert samples_of(trainer) == pytest.approx(6)
    assert receipts()[-1]["dataset_samples"] == 2 * TRAIN_BATCHES


def test_samples_of_a_sampler_of_one_s_own(machine):
    class Weighted(transformers.Trainer):
        def _get_train_sampler(self, *args: Any, **more: Any) -> Any:
            return torch.utils.data.WeightedRandomSampler([1.0] * 8, num_samples=20)

    made = FRAMEWORK.trainer(on_batch=clockwork(machine.clock))
    trainer = Weighted(
        made.model, made.args, train_dataset=made.train_dataset, eval_dataset=made.eval_dataset,
        callbacks=[EmissionsCallback()],
    )  # fmt: skip
    trainer.train()
    assert samples_of(trainer) == pytest.approx(EPOCHS * 20)
    assert receipts()[-1]["dataset_samples"] is None, "some of 8 are drawn several times"


def test_samples_of_a_loader_of_one_s_own_are_not_guessed(machine):
    class Own(transformers.Trainer):
        def get_train_dataloader(self) -> Any:
            return [
                {
                    key: torch.stack([one[key] for one in (self.train_dataset[i],) * 3])
                    for key in ("x", "labels")
                }
                for i in range(4)
            ]

    made = FRAMEWORK.trainer(on_batch=clockwork(machine.clock), max_steps=4)
    trainer = Own(
        made.model, made.args, train_dataset=made.train_dataset, eval_dataset=made.eval_dataset,
        callbacks=[EmissionsCallback()],
    )  # fmt: skip
    trainer.train()
    assert samples_of(trainer) is None


def test_tokens_of_an_earlier_training_do_not_count(machine):
    callback = EmissionsCallback(log_metrics="all")
    trainer = FRAMEWORK.trainer(
        callback, on_batch=clockwork(machine.clock), include_num_input_tokens_seen="all"
    )
    trainer.model.main_input_name = "x"
    trainer.train()
    first = last_of(trainer)
    trainer.train()
    second = last_of(trainer)
    for last in (first, second):
        tokens = last["carbon_tokens_per_kwh"] * last["carbon_energy_kwh"]
        assert tokens == pytest.approx(EPOCHS * TRAIN_BATCHES * 2 * 4)


def test_tokens_that_the_trainer_counts_itself_are_differences(machine):
    class Counts(transformers.Trainer):
        _total_train_tokens = 0

        def log(self, logs: Any, *args: Any, **more: Any) -> None:
            self._total_train_tokens += 100
            super().log({**logs, "num_tokens": self._total_train_tokens}, *args, **more)

    made = FRAMEWORK.trainer(on_batch=clockwork(machine.clock), eval_strategy="no")
    trainer = Counts(
        made.model, made.args, train_dataset=made.train_dataset, callbacks=[EmissionsCallback()]
    )
    for _ in range(2):
        trainer.train()
        last = last_of(trainer)
        tokens = last["carbon_tokens_per_kwh"] * last["carbon_energy_kwh"]
        assert tokens == pytest.approx((EPOCHS + 1) * 100)


def test_a_log_at_every_step_adds_at_most_six_short_entries(machine):
    trainer = FRAMEWORK.trainer(
        EmissionsCallback(),
        on_batch=clockwork(machine.clock),
        logging_strategy="steps",
        logging_steps=1,
    )
    trainer.train()
    added = [ours_in(entry) for entry in entries_with(trainer, "loss")]
    assert len(added) == EPOCHS * TRAIN_BATCHES
    assert max(len(one) for one in added) <= 6


def test_a_data_set_whose_length_raises_is_trained_with_and_nothing_is_said(machine, caplog):
    class Raises(torch.utils.data.IterableDataset):
        def __iter__(self) -> Any:
            return iter([Samples(8)[index] for index in range(8)])

        def __len__(self) -> int:
            raise TypeError("no length")

    made = FRAMEWORK.trainer(on_batch=clockwork(machine.clock), max_steps=4, eval_strategy="no")
    trainer = transformers.Trainer(
        made.model, made.args, train_dataset=Raises(), callbacks=[EmissionsCallback()]
    )
    with contextlib.suppress(TypeError):  # the Trainer itself asks for the length in some versions
        trainer.train()
        assert last_of(trainer)["carbon_forecast_energy_kwh"] > 0
    assert not [text for text in caplog.messages if "a hook failed" in text]


def test_each_of_many_short_trainings_leaves_its_row():
    callback = EmissionsCallback()
    trainer = FRAMEWORK.trainer(callback, num_train_epochs=1)
    for _ in range(3):
        trainer.train()
    assert len(rows()) == 3
