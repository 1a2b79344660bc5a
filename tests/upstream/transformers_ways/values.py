"""What trainings, evaluations and predictions return."""

import copy
import math
from typing import Any

import transformers
from transformers import TrainerCallback
from upstream.harness import Place
from upstream.transformers_ways.trainers import WAYS, At, Samples, far, make, seen, timeless


@WAYS.way("metrics of the user's")
def metrics_of_the_users(place: Place) -> Any:
    trainer = make(
        place,
        compute_metrics=far,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="far",
        greater_is_better=False,
    )
    return seen(place, trainer, trainer.train(), trainer.evaluate(), trainer.predict(Samples(4)))


@WAYS.way("metrics of the user's with names of ours")
def metrics_with_names_of_ours(place: Place) -> Any:
    trainer = make(
        place,
        compute_metrics=lambda _: {"carbon_energy_kwh": 5.0, "carbon_emissions_kg": 7.0},
        eval_strategy="epoch",
        save_strategy="best",
        metric_for_best_model="carbon_energy_kwh",
        greater_is_better=True,
    )
    return seen(place, trainer, trainer.train(), trainer.evaluate(), trainer.predict(Samples(4)))


@WAYS.way("metrics of each batch")
def metrics_of_each_batch(place: Place) -> Any:
    def metrics(prediction: Any, compute_result: bool) -> dict[str, float]:
        return {"batch": float(prediction.predictions.max())} if compute_result else {}

    trainer = make(place, compute_metrics=metrics, batch_eval_metrics=True, eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("metrics that count the metrics")
def metrics_that_count(place: Place) -> Any:
    counted: list[Any] = []
    count = At("on_evaluate", lambda metrics, **_: counted.append(sorted(metrics)), times=9)
    trainer = make(place, before=(count,), eval_strategy="epoch")
    output = trainer.train()
    return seen(place, trainer, output, counted, sorted(trainer.evaluate()))


@WAYS.way("metrics that another callback takes out")
def metrics_taken_out(place: Place) -> Any:
    take = At("on_evaluate", lambda metrics, **_: metrics.clear(), times=9)
    trainer = make(place, before=(take,), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("logits preprocessed")
def logits_preprocessed(place: Place) -> Any:
    trainer = make(
        place,
        compute_metrics=far,
        preprocess_logits_for_metrics=lambda logits, labels: logits * 0,
        eval_strategy="epoch",
    )
    return seen(place, trainer, trainer.train(), trainer.predict(Samples(4)))


@WAYS.way("early stopping")
def early_stopping(place: Place) -> Any:
    stop = transformers.EarlyStoppingCallback(early_stopping_patience=1)
    trainer = make(
        place,
        after=(stop,),
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        num_train_epochs=6,
        learning_rate=3.0,
    )
    return seen(place, trainer, trainer.train())


@WAYS.way("early stopping ahead of ours")
def early_stopping_ahead(place: Place) -> Any:
    stop = transformers.EarlyStoppingCallback(early_stopping_patience=1)
    trainer = make(
        place,
        before=(stop,),
        eval_strategy="steps",
        eval_steps=2,
        metric_for_best_model="loss",
        num_train_epochs=3,
        learning_rate=3.0,
    )
    return seen(place, trainer, trainer.train())


@WAYS.way("several sets to evaluate")
def several_sets(place: Place) -> Any:
    trainer = make(
        place,
        eval_dataset={"one": Samples(4), "two": Samples(6)},
        eval_strategy="epoch",
        save_strategy="epoch",
        metric_for_best_model="one_loss",
        load_best_model_at_end=True,
    )
    return seen(place, trainer, trainer.train(), trainer.evaluate(), trainer.evaluate("two"))


@WAYS.way("the training set evaluated in a callback")
def the_training_set_evaluated(place: Place) -> Any:
    class Evaluate(TrainerCallback):
        trainer: Any = None

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            kept = copy.deepcopy(control)
            dataset = self.trainer.train_dataset
            self.trainer.evaluate(eval_dataset=dataset, metric_key_prefix="train")
            return kept

    evaluate = Evaluate()
    trainer = make(place, after=(evaluate,), eval_strategy="epoch")
    evaluate.trainer = trainer
    output = trainer.train()
    del evaluate.trainer
    return seen(place, trainer, output)


@WAYS.way("evaluations within a step")
def evaluations_within_a_step(place: Place) -> Any:
    found: list[Any] = []
    act = At("on_step_end", lambda **_: found.append(box[0].evaluate()), step=3, times=2)
    box = [make(place, before=(act,))]
    output = box[0].train()
    return seen(place, box.pop(), output, found)


@WAYS.way("predictions within an epoch")
def predictions_within_an_epoch(place: Place) -> Any:
    found: list[Any] = []
    act = At("on_epoch_end", lambda **_: found.append(box[0].predict(Samples(4))), times=2)
    box = [make(place, after=(act,), eval_strategy="epoch")]
    output = box[0].train()
    return seen(place, box.pop(), output, found)


@WAYS.way("an evaluation within an evaluation")
def an_evaluation_within_an_evaluation(place: Place) -> Any:
    found: list[Any] = []

    def again(**_: Any) -> None:
        found.append(box[0].evaluate(metric_key_prefix="again"))

    box = [make(place, after=(At("on_evaluate", again),), eval_strategy="epoch")]
    output = box[0].train()
    return seen(place, box.pop(), output, found)


@WAYS.way("another training within a training")
def another_training_within(place: Place) -> Any:
    found: list[Any] = []

    def train_other(**_: Any) -> None:
        other = make(place, ours=place.new_callbacks(), max_steps=2)
        found.append(other.train())

    trainer = make(place, after=(At("on_epoch_end", train_other),))
    return seen(place, trainer, trainer.train(), found)


@WAYS.way("another training within a training with the same callback")
def another_training_within_with_the_same(place: Place) -> Any:
    found: list[Any] = []

    def train_other(**_: Any) -> None:
        found.append(make(place, max_steps=2).train())

    trainer = make(place, after=(At("on_epoch_end", train_other),))
    return seen(place, trainer, trainer.train(), found)


@WAYS.way("an evaluation before the training")
def an_evaluation_before(place: Place) -> Any:
    trainer = make(place)
    return seen(place, trainer, trainer.evaluate(), trainer.train())


@WAYS.way("an evaluation after the training")
def an_evaluation_after(place: Place) -> Any:
    trainer = make(place)
    return seen(place, trainer, trainer.train(), trainer.evaluate(), trainer.evaluate(Samples(2)))


@WAYS.way("an evaluation alone")
def an_evaluation_alone(place: Place) -> Any:
    trainer = make(place, train_dataset=None)
    return seen(place, trainer, trainer.evaluate(), trainer.evaluate(metric_key_prefix="test"))


@WAYS.way("a prediction alone")
def a_prediction_alone(place: Place) -> Any:
    trainer = make(place, train_dataset=None, eval_dataset=None)
    return seen(
        place, trainer, trainer.predict(Samples(4)), trainer.predict(Samples(2), None, "own")
    )


@WAYS.way("a prediction without labels")
def a_prediction_without_labels(place: Place) -> Any:
    class Unlabelled(Samples):
        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"x": self.x[index]}

    trainer = make(place)
    return seen(place, trainer, trainer.train(), trainer.predict(Unlabelled(4)))


@WAYS.way("keys ignored in evaluations")
def keys_ignored(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    output = trainer.train(ignore_keys_for_eval=["logits"])
    return seen(place, trainer, output, trainer.evaluate(None, ["logits"], "own"))


@WAYS.way("two trainings with one Trainer")
def two_trainings(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.train())


@WAYS.way("logs of the user's outside of a training")
def logs_outside(place: Place) -> Any:
    trainer = make(place)
    trainer.log({"before": 1.0})
    output = trainer.train()
    trainer.log({"after": 1.0})
    trainer.log({"eval_runtime": 1.0, "eval_loss": 2.0})
    return seen(place, trainer, output)


@WAYS.way("logs of the user's within a training")
def logs_within(place: Place) -> Any:
    def log(**_: Any) -> None:
        box[0].log({"own_runtime": 1.0, "own": 2.0})
        box[0].log({"other": 3.0})

    box = [make(place, after=(At("on_step_end", log, step=3),))]
    output = box[0].train()
    return seen(place, box.pop(), output)


@WAYS.way("a history that another callback empties")
def a_history_emptied(place: Place) -> Any:
    empty = At("on_log", lambda state, **_: state.log_history.clear(), times=9)
    trainer = make(place, before=(empty,), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("logs that another callback takes out")
def logs_taken_out(place: Place) -> Any:
    take = At("on_log", lambda logs, **_: logs.clear(), times=9)
    trainer = make(place, before=(take,), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("the sum of the last log")
def the_metrics_saved(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    output = trainer.train()
    trainer.save_metrics("train", {k: v for k, v in output.metrics.items() if timeless(k)})
    metrics = trainer.evaluate()
    trainer.save_metrics("eval", {k: v for k, v in metrics.items() if timeless(k)})
    return seen(place, trainer)


@WAYS.way("steps of arithmetic on the metrics")
def arithmetic_on_the_metrics(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    metrics = trainer.train().metrics
    found = trainer.evaluate()
    return seen(
        place,
        trainer,
        math.fsum(value for key, value in metrics.items() if timeless(key)),
        math.fsum(value for key, value in found.items() if timeless(key)),
    )
