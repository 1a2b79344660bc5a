"""Other callbacks, ahead of ours and behind them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from upstream.harness import Boom, Place
from upstream.keras_ways.models import (
    WAYS,
    At,
    Callback,
    Recorder,
    attempt,
    fit,
    model,
    needs_backend,
    samples,
)

_VALIDATED: dict[str, Any] = {"validation_data": samples(4), "epochs": 4}


def _either_side(name: str, make: Any, *, rate: float = 0.05, **options: Any) -> None:
    """Add a way for another callback ahead of ours and one behind them."""

    def run(place: Place, side: str) -> Any:
        made = model(place, optimizer=keras.optimizers.SGD(rate))
        other = make(place.path)
        returned = fit(place, made, **{side: (other,)}, **{**_VALIDATED, **options})
        kept = ("best", "wait", "stopped_epoch", "best_epoch", "cooldown_counter")
        return returned, {key: getattr(other, key, None) for key in kept}

    WAYS.way(f"{name} ahead")(lambda place: run(place, "before"))
    WAYS.way(f"{name} behind")(lambda place: run(place, "after"))


callbacks = keras.callbacks
_either_side("EarlyStopping", lambda _: callbacks.EarlyStopping(), rate=3.0)
_either_side(
    "EarlyStopping with the best weights",
    lambda _: callbacks.EarlyStopping(patience=1, restore_best_weights=True, start_from_epoch=1),
    rate=3.0,
)
_either_side(
    "EarlyStopping without validation", lambda _: callbacks.EarlyStopping(), validation_data=None
)
_either_side(
    "ReduceLROnPlateau", lambda _: callbacks.ReduceLROnPlateau(patience=0, min_delta=1), rate=0.5
)
_either_side("CSVLogger", lambda path: callbacks.CSVLogger(path / "log.csv"))
_either_side("CSVLogger with tabs", lambda path: callbacks.CSVLogger(path / "log.tsv", "\t"))
_either_side(
    "ModelCheckpoint",
    lambda path: callbacks.ModelCheckpoint(
        path / "{epoch:02d}-{loss:.3f}.weights.h5", save_weights_only=True
    ),
)
_either_side(
    "ModelCheckpoint of the best",
    lambda path: callbacks.ModelCheckpoint(path / "best.keras", save_best_only=True),
    rate=0.5,
)
_either_side(
    "ModelCheckpoint in steps",
    lambda path: callbacks.ModelCheckpoint(
        path / "{epoch}.weights.h5", save_weights_only=True, save_freq=2
    ),
)
_either_side("BackupAndRestore", lambda path: callbacks.BackupAndRestore(path / "backup"))
_either_side(
    "LambdaCallback",
    lambda _: callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.pop("val_loss"),
        on_train_begin=lambda logs: None,
    ),
)
_either_side(
    "LearningRateScheduler",
    lambda _: callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
)
_either_side("TerminateOnNaN", lambda _: callbacks.TerminateOnNaN(), rate=1e30)
_either_side("a History", lambda _: callbacks.History())
_either_side("a bar of the user's", lambda _: callbacks.ProgbarLogger(), verbose=1)
_either_side("an empty callback", lambda _: Callback())
_either_side("a recorder", lambda _: Recorder())


@WAYS.way("SwapEMAWeights")
def swap_ema_weights(place: Place) -> Any:
    optimizer = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5)
    swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
    return fit(place, model(place, optimizer=optimizer), after=(swap,), **_VALIDATED)


@WAYS.way("SwapEMAWeights ahead")
def swap_ema_weights_ahead(place: Place) -> Any:
    optimizer = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5)
    swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
    return fit(place, model(place, optimizer=optimizer), before=(swap,), **_VALIDATED)


@WAYS.way("TensorBoard")
def tensorboard(place: Place) -> Any:
    needs_backend("tensorflow")
    place.need("tensorboard")
    board = callbacks.TensorBoard(str(place.path / "logs"))
    return fit(place, model(place), after=(board,), **_VALIDATED)


@WAYS.way("a CSVLogger that appends")
def a_csv_logger_that_appends(place: Place) -> Any:
    made, path = model(place), place.path / "log.csv"
    first = fit(place, made, after=(callbacks.CSVLogger(path),))
    log = callbacks.CSVLogger(path, append=True)
    second = fit(place, made, name=" again", after=(log,), initial_epoch=2, epochs=4)
    return first, second, len(path.read_text().splitlines())


@WAYS.way("a CSVLogger that appends with the callback later")
def a_csv_logger_that_appends_later(place: Place) -> Any:
    made, path = model(place), place.path / "begun_without.csv"
    first = fit(place, made, ours=[], after=(callbacks.CSVLogger(path),))
    log = callbacks.CSVLogger(path, append=True)
    second = fit(place, made, name=" again", after=(log,), initial_epoch=2, epochs=4)
    return first, second, len(path.read_text().splitlines())


@WAYS.way("a CSVLogger whose validation comes later")
def a_csv_logger_whose_validation_comes_later(place: Place) -> Any:
    log = callbacks.CSVLogger(place.path / "log.csv")
    options: dict[str, Any] = {**_VALIDATED, "validation_freq": 2}
    return attempt(fit, place, model(place), after=(log,), **options)


@WAYS.way("a backup resumed after an exception")
def a_backup_resumed(place: Place) -> Any:
    def backup() -> Any:
        return callbacks.BackupAndRestore(place.path / "backup")

    def fail(_: Any) -> None:
        raise Boom("in the second epoch")

    failing = At("on_epoch_begin", fail, index=1)
    failed = attempt(fit, place, model(place), after=(backup(), failing), epochs=3)
    ours = place.new_callbacks()
    made = model(place)
    return failed, fit(place, made, name=" again", ours=ours, after=(backup(),), epochs=3)


@WAYS.way("a backup in steps resumed")
def a_backup_in_steps_resumed(place: Place) -> Any:
    def backup() -> Any:
        return callbacks.BackupAndRestore(place.path / "backup", save_freq=2)

    def fail(_: Any) -> None:
        raise Boom("in a batch")

    failing = At("on_train_batch_end", fail, index=2)
    failed = attempt(fit, place, model(place), before=(backup(), failing), epochs=3)
    ours = place.new_callbacks()
    made = model(place)
    return failed, fit(place, made, name=" again", ours=ours, before=(backup(),), epochs=3)


@WAYS.way("a checkpoint loaded and trained on")
def a_checkpoint_loaded(place: Place) -> Any:
    made, path = model(place), place.path / "model.keras"
    first = fit(place, made)
    made.save(path)
    loaded = keras.models.load_model(path)
    return first, fit(place, loaded, name=" again", initial_epoch=2, epochs=4)


@WAYS.way("a callback that changes the logs")
def a_callback_that_changes_the_logs(place: Place) -> Any:
    class Change(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["loss"] = 1.0
            logs["own"] = epoch

    return fit(place, model(place), before=(Change(),), **_VALIDATED)


@WAYS.way("a callback that empties the logs")
def a_callback_that_empties_the_logs(place: Place) -> Any:
    class Empty(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs.clear()

    return fit(place, model(place), before=(Empty(),))


@WAYS.way("a callback that keeps the logs")
def a_callback_that_keeps_the_logs(place: Place) -> Any:
    kept: list[Any] = []

    class Keep(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            kept.append(dict(logs))

    returned = fit(place, model(place), before=(Keep(),), **_VALIDATED)
    return returned, kept


@WAYS.way("a callback that takes the last of the logs")
def a_callback_that_takes_the_last(place: Place) -> Any:
    """The metric that a user's callback reads by position."""
    kept: list[Any] = []

    class Last(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            kept.append([next(iter(logs)), list(logs)[:2]])

    return fit(place, model(place), after=(Last(),), **_VALIDATED), kept


@WAYS.way("stopped by another callback at a batch")
def stopped_at_a_batch(place: Place) -> Any:
    def stop(callback: Any) -> None:
        callback.model.stop_training = True

    return fit(place, model(place), after=(At("on_train_batch_end", stop, index=1),))


@WAYS.way("stopped by another callback at an epoch")
def stopped_at_an_epoch(place: Place) -> Any:
    def stop(callback: Any) -> None:
        callback.model.stop_training = True

    return fit(place, model(place), before=(At("on_epoch_end", stop),), epochs=3)


@WAYS.way("the rate read and set by a callback")
def the_rate_read_and_set(place: Place) -> Any:
    rates: list[float] = []

    def change(callback: Any) -> None:
        rate = callback.model.optimizer.learning_rate
        rates.append(float(np.asarray(keras.ops.convert_to_numpy(rate))))
        callback.model.optimizer.learning_rate = rates[-1] * 0.5

    change_it = At("on_train_batch_begin", change, times=9)
    return fit(place, model(place), after=(change_it,)), rates


@WAYS.way("files written by a callback into the working directory")
def files_written(place: Place) -> Any:
    def write(callback: Any) -> None:
        Path("note.txt").write_text(str(callback.params["epochs"]))

    return fit(place, model(place), after=(At("on_train_end", write),))
