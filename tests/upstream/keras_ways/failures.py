"""Trainings that fail, and what is done after them."""

from typing import Any

import keras
from upstream.harness import Boom, Place
from upstream.keras_ways.data import Batches, batches
from upstream.keras_ways.models import (
    BACKEND,
    WAYS,
    At,
    Recorder,
    attempt,
    fit,
    model,
    plain,
    samples,
)

_ERRORS: dict[str, Any] = {
    "an exception": lambda: Boom("in a step"),
    "an interrupt": lambda: KeyboardInterrupt(),
    "an exit": lambda: SystemExit(3),
}
_EAGERLY = {"run_eagerly": True}


def failing(error: BaseException, step: str, at: int) -> Any:
    """Return a model's class that raises in its n-th step, while it is not compiled."""

    class Failing(keras.Sequential):
        left = at

        def _count(self) -> None:
            type(self).left -= 1
            if type(self).left == 0:
                raise error

        def train_step(self, *args: Any) -> Any:
            if step == "train":
                self._count()
            return super().train_step(*args)

        def test_step(self, *args: Any) -> Any:
            if step == "test":
                self._count()
            return super().test_step(*args)

        def predict_step(self, *args: Any) -> Any:
            if step == "predict":
                self._count()
            return super().predict_step(*args)

    return Failing


def raise_(error: BaseException) -> Any:
    raise error


def _register(name: str, error: Any) -> None:
    @WAYS.way(f"{name} in a training step")
    def in_train_step(place: Place) -> Any:
        made = model(place, failing(error(), "train", 3), **_EAGERLY)
        return attempt(fit, place, made), fit(place, made, name=" again")

    @WAYS.way(f"{name} in the validation")
    def in_validation(place: Place) -> Any:
        made = model(place, failing(error(), "test", 2), **_EAGERLY)
        failed = attempt(fit, place, made, validation_data=samples(4))
        given = {"verbose": 0, "callbacks": place.callbacks}
        found = made.evaluate(*samples(4), **given), made.predict(samples(4)[0], **given)
        return failed, plain(found)

    @WAYS.way(f"{name} in an evaluation alone")
    def in_evaluation(place: Place) -> Any:
        made = model(place, failing(error(), "test", 1), **_EAGERLY)
        given = {"verbose": 0, "callbacks": place.callbacks}
        failed = attempt(made.evaluate, *samples(4), **given)
        again = attempt(made.evaluate, *samples(4), **given)  # which jax cannot do any more
        return failed, plain(again), attempt(fit, place, made)

    @WAYS.way(f"{name} in a prediction alone")
    def in_prediction(place: Place) -> Any:
        made = model(place, failing(error(), "predict", 1), **_EAGERLY)
        given = {"verbose": 0, "callbacks": place.callbacks}
        failed = attempt(made.predict, samples(4)[0], **given)
        again = attempt(made.predict, samples(4)[0], **given)
        return failed, plain(again), attempt(fit, place, made)


for _name, _error in _ERRORS.items():
    _register(_name, _error)

_HOOKS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_epoch_end",
    "on_train_end",
)


def _register_hook(hook: str) -> None:
    @WAYS.way(f"another callback raises in {hook}")
    def in_hook(place: Place) -> Any:
        made = model(place)
        fails = At(hook, lambda _: raise_(Boom(hook)))
        failed = attempt(fit, place, made, after=(fails,), validation_data=samples(4))
        return failed, fit(place, made, name=" again")


for _hook in _HOOKS:
    _register_hook(_hook)


@WAYS.way("another callback ahead of ours raises at the end")
def ahead_of_ours_at_the_end(place: Place) -> Any:
    made = model(place)
    fails = At("on_train_end", lambda _: raise_(Boom("end")))
    return attempt(fit, place, made, before=(fails,)), fit(place, made, name=" again")


@WAYS.way("an exception that leaves the way", raises="Boom")
def an_exception_that_leaves(place: Place) -> Any:
    fails = At("on_epoch_end", lambda _: raise_(place.error))
    return fit(place, model(place), after=(fails,))


@WAYS.way("an interrupt that leaves the way", raises="KeyboardInterrupt")
def an_interrupt_that_leaves(place: Place) -> Any:
    fails = At("on_train_batch_begin", lambda _: raise_(KeyboardInterrupt()), index=1)
    return fit(place, model(place), after=(fails,))


@WAYS.way("a generator that raises")
def a_generator_that_raises(place: Place) -> Any:
    def raising() -> Any:
        yield from batches(2)
        raise Boom("in the data")

    made = model(place)
    failed = attempt(fit, place, made, raising(), steps_per_epoch=4)
    # The text of tensorflow's own exception has the traceback in it.
    return failed if BACKEND != "tensorflow" else failed[0], fit(place, made, name=" again")


@WAYS.way("a PyDataset that raises")
def a_py_dataset_that_raises(place: Place) -> Any:
    class Raising(Batches):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index) if index != 1 else raise_(Boom("in the data"))

    made = model(place)
    failed = attempt(fit, place, made, Raising(), shuffle=False)
    return failed if BACKEND != "tensorflow" else failed[0], fit(place, made, name=" again")


@WAYS.way("data of the wrong shape")
def data_of_the_wrong_shape(place: Place) -> Any:
    made = model(place)
    inputs, targets = samples()
    failed = attempt(fit, place, made, inputs[:, :3], targets)
    return failed[0], fit(place, made, name=" again")


@WAYS.way("a model that is not compiled")
def not_compiled(place: Place) -> Any:
    made = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    callbacks = [*place.callbacks, Recorder()]
    return attempt(made.fit, *samples(), verbose=0, callbacks=callbacks)


@WAYS.way("an exception in a block")
def an_exception_in_a_block(place: Place) -> Any:
    import contextlib

    made = model(place)
    fails = At("on_epoch_end", lambda _: raise_(Boom("in a block")))

    def run() -> Any:
        with contextlib.ExitStack() as stack:
            for one in place.callbacks:
                stack.enter_context(one)
            return fit(place, made, after=(fails,))

    return attempt(run), fit(place, made, name=" again")


@WAYS.way("a loss that is not a number")
def not_a_number(place: Place) -> Any:
    made = model(place, optimizer=keras.optimizers.SGD(1e30))
    stop = keras.callbacks.TerminateOnNaN()
    return fit(place, made, before=(stop,), epochs=4)
