"""Evaluations, predictions and other trainings within a fit, and around it."""

from typing import Any

import keras
from upstream.harness import Place
from upstream.keras_ways.models import WAYS, At, Callback, fit, model, plain, record, samples


@WAYS.way("an evaluation alone")
def an_evaluation_alone(place: Place) -> Any:
    made = model(place, metrics=["mae"])
    given = {"verbose": 0, "callbacks": place.callbacks}
    plainly = made.evaluate(*samples(), **given)
    named = made.evaluate(*samples(), return_dict=True, **given)
    record(place, made)
    return plain([plainly, named])


@WAYS.way("a prediction alone")
def a_prediction_alone(place: Place) -> Any:
    made = model(place)
    found = made.predict(samples()[0], batch_size=5, verbose=0, callbacks=place.callbacks)
    record(place, made)
    return plain(found)


@WAYS.way("evaluation and prediction with one callback")
def one_callback_for_all(place: Place) -> Any:
    made = model(place)
    given = {"verbose": 0, "callbacks": place.callbacks}
    before = made.evaluate(*samples(4), **given)
    returned = fit(place, made, validation_data=samples(4))
    after = made.evaluate(*samples(4), return_dict=True, **given)
    return plain([before, returned, after, made.predict(samples(4)[0], **given)])


@WAYS.way("evaluation and prediction without the callback")
def evaluation_without(place: Place) -> Any:
    made = model(place)
    before = made.evaluate(*samples(4), verbose=0)
    returned = fit(place, made)
    found = [made.evaluate(*samples(4), verbose=0), made.predict(samples(4)[0], verbose=0)]
    return plain([before, returned, found])


@WAYS.way("an evaluation that stops")
def an_evaluation_that_stops(place: Place) -> Any:
    def stop(callback: Any) -> None:
        callback.model.stop_evaluating = True

    made = model(place)
    both = [*place.callbacks, At("on_test_batch_end", stop)]
    return plain(made.evaluate(*samples(), batch_size=2, verbose=0, callbacks=both))


def _act_within(name: str, hook: str, act: Any, **options: Any) -> None:
    """Add ways that act within a fit, by callbacks ahead of ours and behind them."""

    def run(place: Place, side: str) -> Any:
        found: list[Any] = []

        def acting(callback: Any) -> None:
            found.append(plain(act(place, callback)))

        made = model(place)
        acts = At(hook, acting, times=3)
        returned = fit(place, made, **{side: (acts,)}, **{"validation_data": samples(4), **options})
        return returned, found

    WAYS.way(f"{name} ahead")(lambda place: run(place, "before"))
    WAYS.way(f"{name} behind")(lambda place: run(place, "after"))


def _evaluate(place: Place, callback: Any, **options: Any) -> Any:
    return callback.model.evaluate(*samples(4), verbose=0, **options)


def _other(place: Place) -> Any:
    return model(place, watch=False)


_act_within("an evaluation within", "on_epoch_end", _evaluate)
_act_within(
    "an evaluation within with our callback",
    "on_epoch_end",
    lambda place, one: _evaluate(place, one, callbacks=place.callbacks),
)
_act_within(
    "an evaluation within a batch with our callback",
    "on_train_batch_end",
    lambda place, one: _evaluate(place, one, callbacks=place.callbacks),
)
_act_within(
    "a prediction within with our callback",
    "on_epoch_end",
    lambda place, one: one.model.predict(samples(4)[0], verbose=0, callbacks=place.callbacks),
)
_act_within(
    "another model's evaluation within with our callback",
    "on_epoch_end",
    lambda place, _: _other(place).evaluate(*samples(4), verbose=0, callbacks=place.callbacks),
)
_act_within(
    "another model's prediction within with our callback",
    "on_epoch_begin",
    lambda place, _: _other(place).predict(samples(4)[0], verbose=0, callbacks=place.callbacks),
)


def _fit_other(place: Place, callbacks: Any, **options: Any) -> Any:
    history = _other(place).fit(*samples(4), verbose=0, callbacks=callbacks, **options)
    return history.history["loss"]


_act_within(
    "another model's fit within with our callback",
    "on_epoch_end",
    lambda place, _: _fit_other(place, place.callbacks),
)
_act_within(
    "another model's fit within with a callback of its own",
    "on_epoch_end",
    lambda place, _: _fit_other(place, place.new_callbacks()),
)
_act_within(
    "another model's fit within without our callback",
    "on_epoch_end",
    lambda place, _: _fit_other(place, []),
)


@WAYS.way("an evaluation within an evaluation")
def an_evaluation_within_an_evaluation(place: Place) -> Any:
    found: list[Any] = []

    def again(_: Any) -> None:
        given = {"verbose": 0, "callbacks": place.callbacks}
        found.append(plain(_other(place).evaluate(*samples(4), **given)))

    made = model(place)
    both = [*place.callbacks, At("on_test_begin", again)]
    return plain(made.evaluate(*samples(), verbose=0, callbacks=both)), found


@WAYS.way("fit again")
def fit_again(place: Place) -> Any:
    made = model(place)
    return fit(place, made), fit(place, made, name=" again")


@WAYS.way("fit again from a later epoch")
def fit_again_later(place: Place) -> Any:
    made = model(place)
    return fit(place, made), fit(place, made, name=" again", initial_epoch=2, epochs=3)


@WAYS.way("fit again without the callback")
def fit_again_without(place: Place) -> Any:
    made = model(place)
    first = fit(place, made)
    return first, fit(place, made, ours=[], name=" again"), plain(made.evaluate(*samples()))


@WAYS.way("compiled again between two fits")
def compiled_again(place: Place) -> Any:
    made = model(place)
    first = fit(place, made)
    made.compile(optimizer=keras.optimizers.SGD(0.01), loss="mae")
    return first, fit(place, made, name=" again")


@WAYS.way("two callbacks of ours")
def two_callbacks(place: Place) -> Any:
    ours = [*place.callbacks, *place.new_callbacks()]
    return fit(place, model(place), ours=ours, validation_data=samples(4))


@WAYS.way("the same callback twice")
def the_same_callback_twice(place: Place) -> Any:
    return fit(place, model(place), ours=[*place.callbacks, *place.callbacks])


@WAYS.way("one callback, not in a list")
def not_in_a_list(place: Place) -> Any:
    made = model(place)
    one = place.callbacks[0] if place.measured else Callback()
    history = made.fit(*samples(), verbose=0, epochs=2, callbacks=one)
    record(place, made)
    return plain(history.history["loss"]), history.params


@WAYS.way("a tuple of callbacks")
def a_tuple_of_callbacks(place: Place) -> Any:
    made = model(place)
    history = made.fit(*samples(), verbose=0, epochs=2, callbacks=tuple(place.callbacks))
    record(place, made)
    return plain(history.history["loss"])


@WAYS.way("a list of callbacks that stays as it is")
def a_list_that_stays(place: Place) -> Any:
    made = model(place)
    given = [Callback(), *place.callbacks]
    made.fit(*samples(), verbose=0, callbacks=given)
    return len(given) - len(place.callbacks)


@WAYS.way("a CallbackList of the user's")
def a_callback_list(place: Place) -> Any:
    made = model(place)
    params = {"epochs": 2, "verbose": 0, "steps": 3}
    given = keras.callbacks.CallbackList(
        place.callbacks, add_history=True, add_progbar=False, model=made, **params
    )
    history = made.fit(*samples(), batch_size=4, verbose=0, epochs=2, callbacks=given)
    record(place, made)
    return plain(history.history["loss"]), sorted(history.params)


@WAYS.way("a with block around the fit")
def a_with_block(place: Place) -> Any:
    import contextlib

    with contextlib.ExitStack() as stack:
        for one in place.callbacks:
            stack.enter_context(one)
        return fit(place, model(place))


@WAYS.way("in a thread of its own")
def in_a_thread(place: Place) -> Any:
    import threading

    found: list[Any] = []
    made = model(place)
    thread = threading.Thread(target=lambda: found.append(fit(place, made)))
    thread.start()
    thread.join()
    return found
