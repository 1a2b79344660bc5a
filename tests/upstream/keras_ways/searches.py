"""Searches for hyperparameters: KerasTuner, optuna, and loops of many fits."""

import json
import os
from pathlib import Path
from typing import Any

import keras
from upstream.harness import Place
from upstream.keras_ways.models import WAYS, Recorder, layers, note, plain, samples


def receipts() -> dict[str, Any]:
    """Return the receipts of our runs by run id."""
    found = Path(os.environ["CODECARBON_OUTPUT_DIR"]).rglob("*.json")
    read = [json.loads(file.read_text()) for file in found]
    return {one["run"]["run_id"]: one for one in read if "earlier_starts" in one}


class Search:
    """Notes what each trial of a search got, and which of our runs each trial made."""

    def __init__(self, place: Place, tuner_package: Any) -> None:
        self.place = place
        self.trial_of: dict[str, str] = {}
        self.past_of: dict[str, str | None] = {}
        self.epochs: list[Any] = []
        self.wrong: list[str] = []
        search = self

        class Model(tuner_package.HyperModel):
            def build(self, hp: Any) -> Any:
                keras.utils.set_random_seed(7)
                made = keras.Sequential(layers())
                rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
                made.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
                return made

            def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
                return search.fit(hp, model, *args, **kwargs)

        self.model = Model

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        keras.utils.set_random_seed(7)
        before = set(receipts())
        recorder = Recorder()
        kwargs["callbacks"] = [*kwargs["callbacks"], recorder]
        history = model.fit(*args, **kwargs)
        note(self.place, "hooks", recorder.events)
        past = hp.values.get("tuner/trial_id")
        self.epochs.append([hp.values.get("tuner/initial_epoch"), len(history.epoch), bool(past)])
        (trial,) = {one.trial.trial_id for one in kwargs["callbacks"] if hasattr(one, "trial")}
        self.past_of[trial] = past
        for run_id in set(receipts()) - before:
            self.trial_of[run_id] = trial
            trials = [
                self.trial_of.get(one["run_id"]) for one in receipts()[run_id]["earlier_starts"]
            ]
            if trials != self.ancestors(trial):
                self.wrong.append(f"trial {trial} continues {trials}")
        return history

    def ancestors(self, trial: str) -> list[str | None]:
        """Return the trials whose weights a trial has taken over, the first one first."""
        past = self.past_of.get(trial)
        return [*self.ancestors(past), past] if past else []


def found_by(place: Place, search: Search, tuner: Any) -> Any:
    """Return what a search found."""
    place.seen.metrics["a trial continues another's run"] = bool(search.wrong)
    trials = tuner.oracle.get_best_trials(10)
    best = [[one.hyperparameters.values.get("rate"), one.score, one.best_step] for one in trials]
    metrics = {name: None for one in trials for name in one.metrics.metrics}
    for name in sorted(metrics):
        place.log("metrics of the trials").add({name: 0.0})
    return plain([best, search.epochs])


@WAYS.way("KerasTuner's random search")
def random_search(place: Place) -> Any:
    package = place.need("keras_tuner")
    search = Search(place, package)
    tuner = package.RandomSearch(
        search.model(), "val_loss", max_trials=3, seed=3, directory=place.path, project_name="one"
    )
    data = {"validation_data": samples(4), "epochs": 2, "verbose": 0}
    tuner.search(*samples(), callbacks=place.callbacks, **data)
    return found_by(place, search, tuner)


@WAYS.way("KerasTuner's random search, each trial twice")
def random_search_twice(place: Place) -> Any:
    package = place.need("keras_tuner")
    search = Search(place, package)
    tuner = package.RandomSearch(
        search.model(),
        package.Objective("val_loss", "min"),
        max_trials=2,
        executions_per_trial=2,
        seed=3,
        directory=place.path,
        project_name="one",
    )
    data = {"validation_data": samples(4), "epochs": 2, "verbose": 0}
    tuner.search(*samples(), callbacks=place.callbacks, **data)
    return found_by(place, search, tuner)


@WAYS.way("KerasTuner's Hyperband")
def hyperband(place: Place) -> Any:
    package = place.need("keras_tuner")
    search = Search(place, package)
    tuner = package.Hyperband(
        search.model(),
        "val_loss",
        max_epochs=3,
        factor=3,
        seed=5,
        directory=place.path,
        project_name="one",
    )
    data = {"validation_data": samples(4), "verbose": 0}
    tuner.search(*samples(), callbacks=place.callbacks, **data)
    return found_by(place, search, tuner)


@WAYS.way("trials of optuna")
def trials_of_optuna(place: Place) -> Any:
    optuna = place.need("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    class Prune(keras.callbacks.Callback):
        def __init__(self, trial: Any) -> None:
            super().__init__()
            self.trial = trial

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.trial.report(logs["val_loss"], epoch)
            if self.trial.number == 1:
                raise optuna.TrialPruned

    def objective(trial: Any) -> float:
        keras.utils.set_random_seed(7)
        made = keras.Sequential(layers())
        rate = trial.suggest_float("rate", 1e-3, 1e-1)
        made.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
        callbacks = [*place.callbacks, Prune(trial)]
        data = {"validation_data": samples(4), "epochs": 2, "verbose": 0}
        return made.fit(*samples(), callbacks=callbacks, **data).history["val_loss"][-1]

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    study.optimize(objective, n_trials=4)
    trials = [[one.state.name, one.value, one.intermediate_values] for one in study.trials]
    return study.best_value, study.best_params, trials


@WAYS.way("folds of a cross-validation")
def folds(place: Place) -> Any:
    losses: list[Any] = []
    inputs, targets = samples()
    for fold in range(3):
        keras.utils.set_random_seed(7)
        made = keras.Sequential(layers())
        made.compile(optimizer="sgd", loss="mse")
        kept = [i for i in range(len(inputs)) if i % 3 != fold]
        given = {"verbose": 0, "callbacks": place.callbacks}
        made.fit(inputs[kept], targets[kept], **given)
        losses.append(made.evaluate(inputs[fold::3], targets[fold::3], **given))
    return plain(losses)
