"""Searches for hyperparameters."""

from typing import Any

from upstream.harness import Boom, Place
from upstream.transformers_ways.trainers import (
    WAYS,
    FailingNet,
    Net,
    attempt,
    far,
    make,
    note_logs,
    plain,
    timeless,
)


def search(place: Place, **options: Any) -> Any:
    """Search for a learning rate; return the Trainer and what the search returned, or raised."""
    optuna = place.need("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    model_init = options.pop("model_init", lambda trial: Net())
    of_trainer = options.pop("of_trainer", {"eval_strategy": "epoch", "num_train_epochs": 2})
    trainer = make(place, model_init=model_init, watch=False, **of_trainer)
    seen_values: list[Any] = []

    def note(study: Any, trial: Any) -> None:
        values = [trial.number, trial.values, trial.state.name, trial.params]
        seen_values.append([*values, trial.intermediate_values])

    options.setdefault("sampler", optuna.samplers.RandomSampler(seed=3))
    real = optuna.study.Study.optimize

    def optimize(study: Any, *args: Any, **kwargs: Any) -> Any:
        return real(study, *args, **{**kwargs, "callbacks": [note]})

    optuna.study.Study.optimize = optimize
    try:
        best = attempt(
            trainer.hyperparameter_search,
            hp_space=lambda trial: {"learning_rate": trial.suggest_float("rate", 0.01, 1.0)},
            n_trials=options.pop("n_trials", 3),
            direction="minimize",
            backend="optuna",
            **options,
        )
    finally:
        optuna.study.Study.optimize = real
    return trainer, [best, seen_values]


def searched(place: Place, trainer: Any, found: Any) -> Any:
    recorder = trainer.recorder
    note_logs(place, "hooks", recorder.events)
    return plain([found, recorder.metrics])


@WAYS.way("a search with the default objective")
def a_search_with_the_default_objective(place: Place) -> Any:
    return searched(place, *search(place))


@WAYS.way("a search by the default objective of metrics")
def a_search_with_metrics(place: Place) -> Any:
    options = {"compute_metrics": far, "eval_strategy": "epoch", "num_train_epochs": 1}
    return searched(place, *search(place, of_trainer=options))


@WAYS.way("a search with an objective of the user's")
def a_search_with_an_objective(place: Place) -> Any:
    return searched(place, *search(place, compute_objective=lambda metrics: metrics["eval_loss"]))


@WAYS.way("a search without evaluation in training")
def a_search_without_evaluation(place: Place) -> Any:
    return searched(place, *search(place, of_trainer={"num_train_epochs": 1}))


@WAYS.way("a search with names")
def a_search_with_names(place: Place) -> Any:
    options = {"eval_strategy": "epoch", "save_strategy": "epoch", "num_train_epochs": 1}
    named = {"hp_name": lambda trial: f"trial {trial.number}", "of_trainer": options}
    return searched(place, *search(place, **named))


@WAYS.way("a search with pruning")
def a_search_with_pruning(place: Place) -> Any:
    optuna = place.need("optuna")

    class Pruning(optuna.pruners.BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            return trial.number == 1

    return searched(place, *search(place, pruner=Pruning()))


@WAYS.way("a search pruned by the median")
def a_search_pruned_by_the_median(place: Place) -> Any:
    optuna = place.need("optuna")
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
    options = {"eval_strategy": "epoch", "num_train_epochs": 3}
    return searched(place, *search(place, pruner=pruner, of_trainer=options, n_trials=4))


@WAYS.way("a search with trials that fail")
def a_search_with_trials_that_fail(place: Place) -> Any:
    def model_init(trial: Any) -> Any:
        return FailingNet(3, Boom("a trial")) if trial and trial.number == 1 else Net()

    return searched(place, *search(place, model_init=model_init, catch=(Boom,)))


@WAYS.way("a search that a failing trial ends")
def a_search_that_a_failing_trial_ends(place: Place) -> Any:
    def model_init(trial: Any) -> Any:
        return FailingNet(3, Boom("a trial")) if trial and trial.number == 1 else Net()

    return searched(place, *search(place, model_init=model_init))


@WAYS.way("trials of a study of the user's")
def trials_of_a_study(place: Place) -> Any:
    optuna = place.need("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: Any) -> float:
        trainer = make(
            place,
            ours=place.new_callbacks(),
            learning_rate=trial.suggest_float("rate", 0.01, 1.0),
            num_train_epochs=1,
        )
        trainer.train()
        return sum(value for key, value in trainer.evaluate().items() if timeless(key))

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    study.optimize(objective, n_trials=3)
    return [study.best_value, study.best_params, [one.value for one in study.trials]]
