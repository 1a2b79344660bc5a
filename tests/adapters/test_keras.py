"""The callback in Keras, on whichever backend `KERAS_BACKEND` names; on torch by default."""
# ruff: noqa: E402 - without the framework, nothing below can be imported

import copy
import csv
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")

import numpy as np
from adapters.shipped_contract import ShippedContract, ShippedFramework

from carbon_callbacks._training.metrics import PREFIX
from carbon_callbacks.keras import EmissionsCallback
from carbon_callbacks.testing import (
    EPOCHS,
    PER_EPOCH,
    TOTALS,
    TRAIN_BATCHES,
    VALIDATE_BATCH_S,
    VALIDATE_BATCHES,
    WATTS,
    WHOLE_EPOCH_KWH,
    Boom,
    Fault,
    Outcome,
    both,
    change_parts,
    clockwork,
    hold_search,
    nothing,
    raising,
    receipts,
    rows,
    threads_of_ours,
)
from carbon_core.hardware.base import Detection

BACKEND = keras.backend.backend()


# What Keras reports to no callback.
UNKNOWN = ("tokens", "samples", "early stopping")


def tensor_of(event: Any) -> Any:
    """Return the value of an event of TensorBoard."""
    from tensorboard.util.tensor_util import make_ndarray

    return make_ndarray(event.tensor_proto)


def samples(batches: int) -> tuple[Any, Any]:
    """Return inputs and targets for a number of batches of two."""
    inputs = np.sin(np.arange(batches * 8, dtype="float32").reshape(batches * 2, 4))
    return inputs, inputs.sum(axis=1, keepdims=True)


class Batches(keras.utils.PyDataset):
    """Batches that tell when they are loaded."""

    def __init__(self, batches: int, on_batch: Any) -> None:
        super().__init__()
        self._samples, self._batches, self._on_batch = samples(batches), batches, on_batch

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        self._on_batch("load")
        inputs, targets = self._samples
        return inputs[2 * index : 2 * index + 2], targets[2 * index : 2 * index + 2]


class Model(keras.Model):
    """A regression with a layer that draws random numbers, which tells what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = keras.layers.Dense(8)
        self.dropout = keras.layers.Dropout(0.5, seed=7)
        self.out = keras.layers.Dense(1)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.out(self.dropout(self.hidden(inputs), training=training))


class TalkingModel(Model):
    """The same, calling `on_batch` with what it does."""

    on_batch = staticmethod(nothing)

    def train_step(self, *args: Any) -> Any:
        self.on_batch("train")
        return super().train_step(*args)

    def test_step(self, *args: Any) -> Any:
        self.on_batch("validate")
        return super().test_step(*args)

    def predict_step(self, *args: Any) -> Any:
        self.on_batch("predict")
        return super().predict_step(*args)


class KerasFramework(ShippedFramework):
    """`model.fit` with a model of 49 numbers."""

    module = "carbon_callbacks.keras"
    package = "keras"
    extra = "keras"
    stops_at_steps = False
    work = frozenset()
    unknown = frozenset({"gpu_energy_kwh", "ram_energy_kwh"})

    def arrives(self, where, error):
        if BACKEND == "tensorflow" and where == "load":
            return pytest.importorskip("tensorflow").errors.UnknownError
        return super().arrives(where, error)

    def model(self, on_batch: Any = nothing) -> Any:
        keras.utils.set_random_seed(7)
        kind = type("ModelOfThisTest", (TalkingModel,), {"on_batch": staticmethod(on_batch)})
        model = kind()
        # Compiled, jax and tensorflow would call `on_batch` only while they trace.
        model.compile(optimizer="adam", loss="mse", run_eagerly=BACKEND != "torch")
        return model

    def fit(
        self,
        model: Any,
        *callbacks: Any,
        on_batch: Any = nothing,
        batches: int = TRAIN_BATCHES,
        **options: Any,
    ) -> Any:
        base = {"epochs": EPOCHS, "verbose": 0, "validation_data": samples(VALIDATE_BATCHES)}
        return model.fit(
            Batches(batches, on_batch),
            validation_batch_size=2,
            callbacks=list(callbacks),
            **{**base, **options},
        )

    def train(self, *callbacks, on_batch=nothing, epochs=EPOCHS, batches=TRAIN_BATCHES):
        model = self.model(on_batch)
        history = self.fit(model, *callbacks, on_batch=on_batch, batches=batches, epochs=epochs)
        values = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
        weights = {str(i): bytes(value) for i, value in enumerate(values)}
        return Outcome(weights, (model, callbacks), epochs_of(history))

    def train_again(self, outcome):
        model, callbacks = outcome.trainer
        self.fit(model, *callbacks)

    def in_hook(self, act):
        class InHook(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                if batch == 1:
                    act()

        return InHook()


def built(model: Any) -> Any:
    """Return a model that has its weights, which some backends would give it in its first batch only."""
    model(samples(1)[0])
    return model


def epochs_of(history: Any) -> list[dict[str, float]]:
    """Return what was logged of ours at the end of each epoch."""
    columns = {
        key.removeprefix(PREFIX): values
        for key, values in history.history.items()
        if key.startswith(PREFIX)
    }
    if not columns:
        return []
    lengths = {len(values) for values in columns.values()}
    return [
        {key: values[i] for key, values in columns.items() if i < len(values)}
        for i in range(max(lengths))
    ]


class TestKeras(ShippedContract):
    framework = KerasFramework()

    # --- its logs ------------------------------------------------------------------------------

    def test_history_has_every_name_for_every_epoch(self):
        history = self.framework.fit(
            self.framework.model(), EmissionsCallback(log_metrics="all"), epochs=3
        )
        assert {PREFIX + name for name in TOTALS | PER_EPOCH} <= set(history.history)
        assert {len(values) for values in history.history.values()} == {3}
        assert all(type(value) is float for value in history.history["carbon_energy_kwh"])

    def test_csv_logger_has_the_columns(self, machine):
        log = keras.callbacks.CSVLogger("log.csv")
        model = self.framework.model(clockwork(machine.clock))
        self.framework.fit(model, EmissionsCallback(log_metrics="all"), log)
        with open("log.csv", newline="") as file:
            logged = list(csv.DictReader(file))
        assert len(logged) == EPOCHS
        assert logged[0].keys() >= {PREFIX + name for name in TOTALS | PER_EPOCH}
        assert 0 < float(logged[0]["carbon_energy_kwh"]) < float(logged[1]["carbon_energy_kwh"])

    def test_verbose_line_shows_the_energy(self, machine, capsys):
        self.framework.fit(
            self.framework.model(clockwork(machine.clock)), EmissionsCallback(), verbose=2
        )
        assert capsys.readouterr().out.count("- carbon_energy_kwh: ") == EPOCHS

    @pytest.mark.parametrize("verbose", [1, 2])
    @pytest.mark.parametrize(
        ("settings", "shown"),
        [
            ({}, ["energy_kwh", "emissions_kg"]),
            ({"log_metrics": "all"}, ["energy_kwh", "emissions_kg"]),
            ({"log_metrics": ["power_w", "epoch_energy_kwh"]}, ["power_w", "epoch_energy_kwh"]),
            ({"progress_bar": False}, []),
        ],
        ids=str,
    )
    def test_the_line_of_an_epoch_is_short(self, verbose, settings, shown, machine, capsys):
        model = self.framework.model(clockwork(machine.clock))
        callback = EmissionsCallback(**settings)
        history = self.framework.fit(model, callback, verbose=verbose).history
        lines = [one for one in capsys.readouterr().out.splitlines() if "val_loss" in one]
        assert len(lines) == EPOCHS
        for line in lines:
            assert re.findall(r"- carbon_(\w+): ", line) == shown
        assert {
            PREFIX + name for name in callback._training.metric_names(UNKNOWN)
        } <= history.keys()

    def test_metrics_of_the_model_with_names_of_ours_are_shown(self, machine, capsys):
        model = self.framework.model()
        model.compile(loss="mse", metrics=[keras.metrics.MeanAbsoluteError(name="carbon_power_w")])
        self.framework.fit(model, EmissionsCallback(progress_bar=False), verbose=2)
        assert capsys.readouterr().out.count("- carbon_power_w: ") == EPOCHS

    def test_tensorboard_has_what_is_chosen(self, machine):
        pytest.importorskip("tensorflow")
        accumulator = pytest.importorskip(
            "tensorboard.backend.event_processing.event_accumulator"
        ).EventAccumulator
        model = self.framework.model(clockwork(machine.clock))
        board = keras.callbacks.TensorBoard("board", write_graph=False)
        history = self.framework.fit(model, EmissionsCallback(), board).history
        (file,) = Path("board/train").glob("events.*")
        events = accumulator(str(file), {"tensors": 0}).Reload()
        names = {tag for tag in events.Tags()["tensors"] if "carbon" in tag}
        chosen = EmissionsCallback()._training.metric_names(UNKNOWN)
        assert names == {f"epoch_carbon_{name}" for name in chosen}
        values = [float(tensor_of(one)) for one in events.Tensors("epoch_carbon_energy_kwh")]
        assert values == pytest.approx(history["carbon_energy_kwh"])

    @pytest.mark.parametrize(("mode", "epochs"), [("max", 5), ("min", 2)])
    def test_early_stopping_sees_the_energy(self, machine, mode, epochs):
        stop = keras.callbacks.EarlyStopping(monitor="carbon_energy_kwh", mode=mode, patience=1)
        history = self.framework.fit(
            self.framework.model(clockwork(machine.clock)), EmissionsCallback(), stop, epochs=5
        )
        # The energy grows: always better one way, never again the other way.
        assert len(history.history["carbon_energy_kwh"]) == epochs
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_the_energy_is_logged_if_early_stopping_may_end_the_training(self, machine):
        stop = keras.callbacks.EarlyStopping("val_loss", patience=2, min_delta=1e9)
        history = self.framework.fit(
            self.framework.model(clockwork(machine.clock)),
            EmissionsCallback(log_metrics="all"),
            stop,
            epochs=5,
        ).history
        # The callback is listed first, so it reads the patience before this epoch's value counts.
        stopped = history["carbon_forecast_if_stopped_kwh"]
        assert [np.isnan(one) for one in stopped] == [True, True, False]
        assert (
            stopped[-1]
            == history["carbon_energy_kwh"][-1]
            > history["carbon_forecast_if_stopped_low_kwh"][-1]
        )

    def test_checkpoint_can_monitor_the_energy(self, machine):
        best = keras.callbacks.ModelCheckpoint(
            "best.weights.h5",
            monitor="carbon_energy_kwh",
            mode="min",
            save_best_only=True,
            save_weights_only=True,
        )
        self.framework.fit(
            self.framework.model(clockwork(machine.clock)), EmissionsCallback(), best
        )
        assert best.best > 0

    # --- its hooks -----------------------------------------------------------------------------

    def test_no_batch_hook_is_overridden(self):
        base = keras.callbacks.Callback
        hooks = [name for name in dir(base) if "batch" in name and name.startswith("on_")]
        assert len(hooks) >= 8
        for name in hooks:
            assert getattr(EmissionsCallback, name) is getattr(base, name)

    def test_every_hook_is_one_that_keras_calls(self):
        hooks = [name for name in vars(EmissionsCallback) if name.startswith("on_")]
        assert hooks
        assert all(hasattr(keras.callbacks.Callback, name) for name in hooks)

    def test_single_callback_without_a_list_is_accepted(self):
        inputs, targets = samples(2)
        self.framework.model().fit(inputs, targets, verbose=0, callbacks=EmissionsCallback())
        assert len(rows()) == 1

    # --- its phases ----------------------------------------------------------------------------

    def test_validation_in_some_epochs_only(self, machine):
        callback = EmissionsCallback()
        model = self.framework.model(clockwork(machine.clock))
        self.framework.fit(model, callback, epochs=4, validation_freq=2)
        phases = {phase.name: phase for phase in callback.report.phases}
        assert phases["validate"].count == 2
        assert phases["validate"].joules == pytest.approx(
            WATTS * 2 * VALIDATE_BATCHES * VALIDATE_BATCH_S
        )
        assert phases["train"].joules == pytest.approx(WATTS * 4 * TRAIN_BATCHES)

    def test_training_without_validation(self, machine):
        callback = EmissionsCallback()
        model = self.framework.model(clockwork(machine.clock))
        self.framework.fit(model, callback, validation_data=None)
        phases = {phase.name: phase.joules for phase in callback.report.phases}
        assert "validate" not in phases
        assert phases["train"] == pytest.approx(WATTS * EPOCHS * TRAIN_BATCHES)

    @pytest.mark.parametrize(("what", "batch"), [("evaluate", "validate"), ("predict", "predict")])
    def test_work_outside_fit_is_a_run_of_its_own(self, what, batch, machine):
        callback = EmissionsCallback()
        model = self.framework.model(lambda done: machine.clock.advance(5.0 * (done == batch)))
        self.work(what, model, callback)
        phases = {phase.name: phase.joules for phase in callback.report.phases}
        assert phases[what] == pytest.approx(WATTS * 2 * 5.0)
        assert not {"train", "validate"} & phases.keys()
        assert [receipt["status"] for receipt in receipts()] == ["completed"]
        assert not threads_of_ours()

    @pytest.mark.parametrize("what", ["evaluate", "predict"])
    def test_work_after_fit_is_a_run_of_its_own(self, what):
        callback = EmissionsCallback()
        model, _ = self.framework.train(callback).trainer
        self.work(what, model, callback)
        first, second = receipts()
        assert what not in {phase["name"] for phase in first["phases"]}
        assert what in {phase["name"] for phase in second["phases"]}

    @pytest.mark.parametrize("what", ["evaluate", "predict"])
    def test_work_after_a_fit_that_raised_is_a_run_of_its_own(self, what, machine):
        callback = EmissionsCallback()
        until_it_raises = both(clockwork(machine.clock), Fault("train", Boom()))
        with pytest.raises(Boom):
            self.framework.train(callback, on_batch=until_it_raises)
        self.work(what, self.framework.model(clockwork(machine.clock)), callback)
        first, second = receipts()
        assert (first["status"], second["status"]) == ("failed", "completed")
        assert what not in {phase["name"] for phase in first["phases"]}
        assert what in {phase["name"] for phase in second["phases"]}
        assert "validate" not in {phase["name"] for phase in second["phases"]}
        assert not threads_of_ours()

    @pytest.mark.parametrize("what", ["evaluate", "predict"])
    def test_work_outside_fit_that_raises_is_closed(self, what):
        callback = EmissionsCallback()
        with pytest.raises(Boom):
            self.work(what, self.framework.model(raising(Boom())), callback)
        assert [receipt["status"] for receipt in receipts()] == ["failed"]
        assert not threads_of_ours()

    def test_fit_after_an_evaluation_that_raised_is_a_run_of_its_own(self, machine):
        callback = EmissionsCallback()
        with pytest.raises(Boom):
            self.work("evaluate", self.framework.model(raising(Boom())), callback)
        self.framework.train(callback, on_batch=clockwork(machine.clock))
        assert [receipt["status"] for receipt in receipts()] == ["failed", "completed"]
        assert "train" in {phase.name for phase in callback.report.phases}

    def work(self, what: str, model: Any, callback: Any) -> None:
        inputs, targets = samples(2)
        more = (targets,) if what == "evaluate" else ()
        getattr(model, what)(inputs, *more, batch_size=2, verbose=0, callbacks=[callback])

    # --- what others do within a fit -----------------------------------------------------------

    @pytest.mark.parametrize("other", [False, True], ids=["its model", "another model"])
    def test_an_evaluation_within_fit_with_the_same_callback_is_validation(self, other, machine):
        turn = clockwork(machine.clock)
        callback, fitted = EmissionsCallback(), self.framework.model(turn)
        evaluated = self.framework.model(turn) if other else fitted

        class Evaluates(keras.callbacks.Callback):
            def on_epoch_end(within, epoch: int, logs: Any = None) -> None:
                for what in ("evaluate", "predict"):
                    self.work(what, evaluated, callback)

        history = self.framework.fit(fitted, callback, Evaluates(), epochs=3)
        assert len(history.history["carbon_energy_kwh"]) == 3
        assert [receipt["status"] for receipt in receipts()] == ["completed"]
        phases = {phase.name: phase for phase in callback.report.phases}
        assert phases["validate"].count >= 6
        assert phases["train"].joules == pytest.approx(WATTS * 3 * TRAIN_BATCHES)

    def test_a_fit_within_fit_with_the_same_callback_leaves_the_outer_one_measured(self, machine):
        callback = EmissionsCallback(budget_kwh=1e6)
        turn = clockwork(machine.clock)

        class Trains(keras.callbacks.Callback):
            def on_epoch_begin(within, epoch: int, logs: Any = None) -> None:
                inputs, targets = samples(2)
                self.framework.model(turn).fit(inputs, targets, verbose=0, callbacks=[callback])

        history = self.framework.fit(self.framework.model(turn), callback, Trains(), epochs=3)
        assert len(history.history["carbon_energy_kwh"]) == 3
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    @pytest.mark.parametrize("known", [False, True], ids=["bare", "with model and params"])
    def test_a_loop_of_one_s_own_is_measured(self, known, machine):
        logged: list[dict[str, float]] = []

        class Sees(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                logged.append(dict(logs))

        callback = EmissionsCallback(budget_kwh=1e-12)
        options = {"model": self.framework.model(), "epochs": 2, "steps": 1} if known else {}
        callbacks = keras.callbacks.CallbackList([callback, Sees()], **options)
        callbacks.on_train_begin()
        for epoch in range(2):
            callbacks.on_epoch_begin(epoch)
            machine.clock.advance(5.0)
            callbacks.on_epoch_end(epoch, {"loss": 0.5})
        callbacks.on_train_end()
        assert [receipt["status"] for receipt in receipts()] == ["completed"]
        epochs_kwh = [one["carbon_epoch_energy_kwh"] for one in logged]
        assert epochs_kwh == [pytest.approx(WATTS * 5 / 3.6e6)] * 2

    def test_metrics_of_the_model_keep_their_names_and_values(self, machine):
        model = self.framework.model(clockwork(machine.clock))
        seen: list[float] = []

        class Names(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                logs["carbon_energy_kwh"] = 42.0

        class Sees(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                seen.append(logs["carbon_energy_kwh"])

        inputs, targets = samples(2)
        ours = [Names(), EmissionsCallback(), Sees()]
        model.fit(inputs, targets, epochs=2, verbose=0, callbacks=ours)
        assert seen == [42.0, 42.0]

    def test_every_epoch_has_all_columns_where_the_meters_are_found_late(self, monkeypatch):
        found = threading.Event()
        hold_search(monkeypatch, found)
        late = self.framework.in_hook(found.set)
        callback = EmissionsCallback(log_metrics="all")
        history = self.framework.fit(self.framework.model(), callback, late, epochs=3).history
        assert {len(values) for values in history.values()} == {3}

    def test_columns_of_a_machine_without_meters_are_there(self, monkeypatch):
        change_parts(monkeypatch, lambda parts: replace(parts, detect=lambda: Detection(())))
        history = self.framework.fit(self.framework.model(), EmissionsCallback(), epochs=2).history
        assert all(np.isnan(value) for value in history["carbon_energy_kwh"])

    # --- what it continues ---------------------------------------------------------------------

    def test_the_same_model_trained_on_continues_its_own_fit(self, machine):
        model, turn = self.framework.model(), clockwork(machine.clock)
        first, second = EmissionsCallback(), EmissionsCallback()
        self.framework.fit(model, first, on_batch=turn)
        self.framework.train(EmissionsCallback(), on_batch=turn)
        self.framework.fit(model, second, on_batch=turn, initial_epoch=EPOCHS, epochs=EPOCHS + 1)
        assert [one.run_id for one in second.report.earlier] == [first.report.run.run_id]

    def test_another_model_at_a_later_epoch_continues_no_fit_that_ended_by_itself(self, machine):
        self.framework.train(EmissionsCallback())
        callback = EmissionsCallback()
        self.framework.fit(self.framework.model(), callback, initial_epoch=1, epochs=3)
        assert callback.report.earlier == ()

    def test_a_trial_continues_the_trial_whose_weights_it_takes(self, machine):
        class Trial:
            def __init__(self, trial_id: str, parent: str | None) -> None:
                values = {"tuner/trial_id": parent} if parent else {}
                self.trial_id = trial_id
                self.hyperparameters = type("Values", (), {"values": values})()

        class Of(keras.callbacks.Callback):
            def __init__(self, trial: Trial) -> None:
                super().__init__()
                self.trial = trial

        def trained(trial: Trial, first: int) -> Any:
            callback = EmissionsCallback()
            self.framework.fit(
                self.framework.model(), callback, Of(trial), initial_epoch=first, epochs=first + 1
            )
            return callback.report

        one = trained(Trial("1", None), 0)
        trained(Trial("2", None), 0)
        promoted = trained(Trial("3", "1"), 1)
        unknown = trained(Trial("4", None), 1)
        assert [segment.run_id for segment in promoted.earlier] == [one.run.run_id]
        assert unknown.earlier == ()

    # --- its ends ------------------------------------------------------------------------------

    def test_an_interrupted_fit_is_closed_at_once(self):
        with pytest.raises(KeyboardInterrupt):
            self.framework.train(
                EmissionsCallback(), self.framework.in_hook(raising(KeyboardInterrupt()))
            )
        assert [receipt["status"] for receipt in receipts()] == ["interrupted"]
        assert not threads_of_ours()

    def test_exception_at_the_end_of_an_epoch_closes_the_run(self):
        class Raising(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                raise Boom("at the end of an epoch")

        with pytest.raises(Boom):
            self.framework.train(EmissionsCallback(), Raising())
        assert [receipt["status"] for receipt in receipts()] == ["failed"]
        assert not threads_of_ours()

    def test_no_epochs_at_all_end_a_completed_run(self):
        try:
            with EmissionsCallback() as callback:
                self.framework.fit(self.framework.model(), callback, epochs=0)
        except UnboundLocalError:
            pytest.skip("this version of Keras cannot do without an epoch")
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_stop_within_an_epoch_ends_a_completed_run(self):
        class Stop(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                self.model.stop_training = True

        self.framework.train(EmissionsCallback(), Stop())
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_training_resumes_at_a_later_epoch(self, machine):
        callback = EmissionsCallback()
        history = self.framework.fit(self.framework.model(), callback, initial_epoch=1, epochs=3)
        assert len(history.history["carbon_epoch_energy_kwh"]) == 2

    def test_a_fit_that_failed_and_is_resumed_from_a_backup_adds_up(self, machine):
        turn = clockwork(machine.clock)
        seen: list[str] = []

        def fail(what: str) -> None:
            turn(what)
            seen.append(what)
            if seen.count("train") == TRAIN_BATCHES + 2:
                raise Boom("second epoch")

        one, other = (EmissionsCallback(log_metrics="all") for _ in range(2))
        backup = keras.callbacks.BackupAndRestore("backup")
        with pytest.raises(Boom):
            self.framework.fit(built(self.framework.model(fail)), one, backup)
        backup = keras.callbacks.BackupAndRestore("backup")
        history = self.framework.fit(built(self.framework.model(turn)), other, backup, epochs=3)
        first, second = one.report, other.report
        assert len(history.history["carbon_energy_kwh"]) == 2
        assert [segment.run_id for segment in second.earlier] == [first.run.run_id]
        assert second.training_kwh == first.energy_kwh.value + second.energy_kwh.value
        last = history.history["carbon_all_starts_energy_kwh"][-1]
        assert last == pytest.approx(second.training_kwh)

    def test_a_fit_from_its_first_epoch_continues_nothing(self, machine):
        callback = EmissionsCallback()
        self.framework.train(callback)
        self.framework.train(callback)
        assert callback.report.earlier == ()

    def test_a_later_epoch_continues_the_fit_of_its_own_project_alone(self, machine):
        self.framework.train(EmissionsCallback(project_name="other"))
        callback = EmissionsCallback(project_name="mine")
        self.framework.fit(self.framework.model(), callback, initial_epoch=1, epochs=3)
        assert callback.report.earlier == ()

    def test_samples_for_the_energy_where_it_is_told_how_many(self, machine):
        callback = EmissionsCallback(samples_per_epoch=8, log_metrics="all")
        history = self.framework.fit(self.framework.model(clockwork(machine.clock)), callback)
        last = {name: values[-1] for name, values in history.history.items()}
        assert last["carbon_samples_per_kwh"] == pytest.approx(
            EPOCHS * 8 / last["carbon_energy_kwh"]
        )

    def test_a_model_of_tf_keras_is_refused_with_the_reason(self):
        tf_keras = pytest.importorskip("tf_keras")
        model = tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(1)])
        model.compile(loss="mse")
        with pytest.raises(TypeError, match="Keras 3; this one is of the package tf_keras"):
            model.fit(np.zeros((4, 4)), np.zeros(4), callbacks=[EmissionsCallback()], verbose=0)
        assert not receipts()

    def test_energy_for_each_unit_by_which_a_metric_became_better(self, machine):
        callback = EmissionsCallback(improvement_of="val_loss")
        turn = clockwork(machine.clock)
        model = self.framework.model(turn)
        history = self.framework.fit(model, callback, on_batch=turn, epochs=3).history
        losses = history["val_loss"]
        assert losses[0] > losses[1] > losses[2]
        first, _, last = history["carbon_energy_per_improvement_kwh"]
        assert np.isnan(first)  # named from the first epoch on, as CSVLogger wants it
        assert last == pytest.approx(2 * WHOLE_EPOCH_KWH / (losses[0] - losses[2]))

    @pytest.mark.parametrize(("options", "epochs"), [({}, 3), ({"validation_freq": 2}, 6)])
    def test_it_stops_at_the_epoch_at_which_a_metric_improves_too_little(
        self, options, epochs, machine
    ):
        bound = {"min_improvement_per_kwh": 1e14, "patience": 2, "on_low_improvement": "stop"}
        callback = EmissionsCallback(improvement_of="val_loss", **bound)
        turn = clockwork(machine.clock)
        model = self.framework.model(turn)
        fit = self.framework.fit(model, callback, on_batch=turn, epochs=9, **options)
        assert len(fit.history["loss"]) == epochs
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_copy_does_not_carry_the_model(self):
        callback = EmissionsCallback()
        self.framework.train(callback)
        assert copy.copy(callback).model is None

    def test_two_callbacks_can_measure_one_training(self):
        callbacks = [EmissionsCallback(project_name=name) for name in ("one", "two")]
        self.framework.train(*callbacks)
        assert sorted(row["project_name"] for row in rows()) == ["one", "two"]
        assert Path("emissions.csv").exists()
