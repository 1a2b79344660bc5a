"""Copies of the callback, one callback in several models, and what is released."""

import copy
import pickle
import weakref
from typing import Any

import keras
from upstream.harness import Place
from upstream.keras_ways.models import WAYS, At, Callback, fit, model, plain, record, samples


def _copied(callbacks: list[Any], how: str) -> list[Any]:
    if how == "pickled":
        return [pickle.loads(pickle.dumps(one)) for one in callbacks]
    return [getattr(copy, how)(one) for one in callbacks]


def _register(how: str) -> None:
    @WAYS.way(f"{how} before the fit")
    def before(place: Place) -> Any:
        return fit(place, model(place), ours=_copied(place.callbacks, how))

    @WAYS.way(f"{how} after the fit")
    def after(place: Place) -> Any:
        made = model(place)
        first = fit(place, made)
        copies = _copied(place.callbacks, how)
        return first, fit(place, made, ours=copies, name=" again"), fit(place, made, name=" more")

    @WAYS.way(f"{how} within the fit")
    def within(place: Place) -> Any:
        copies: list[Any] = []
        act = At("on_epoch_begin", lambda _: copies.extend(_copied(place.callbacks, how)), index=1)
        first = fit(place, model(place), after=(act,))
        return first, fit(place, model(place), ours=copies, name=" again")


for _how in ("copy", "deepcopy", "pickled"):
    _register(_how)


@WAYS.way("all callbacks copied together")
def all_copied(place: Place) -> Any:
    other = keras.callbacks.EarlyStopping(monitor="loss")
    ours = copy.deepcopy([other, *place.callbacks])
    return fit(place, model(place), ours=ours)


@WAYS.way("a model copied within its fit")
def a_model_copied(place: Place) -> Any:
    copies: list[Any] = []

    def clone(callback: Any) -> None:
        cloned = keras.models.clone_model(callback.model)
        cloned.set_weights(callback.model.get_weights())
        copies.append(cloned)

    returned = fit(place, model(place), after=(At("on_epoch_end", clone),))
    return returned, plain(copies[0].get_weights())


@WAYS.way("one callback in two models by turns")
def by_turns(place: Place) -> Any:
    models = [model(place, watch=False) for _ in range(2)]
    losses: list[Any] = []
    for _ in range(10):
        for made in models:
            given = {"batch_size": 4, "verbose": 0, "callbacks": place.callbacks}
            losses.append(made.fit(*samples(4), **given).history["loss"])
    for made in models:
        record(place, made, f" {models.index(made)}")
    return plain(losses)


@WAYS.way("many short fits")
def many_short_fits(place: Place) -> Any:
    losses: list[Any] = []
    for _ in range(8):
        made = model(place, watch=False)
        callbacks = place.new_callbacks()
        history = made.fit(*samples(4), verbose=0, callbacks=callbacks)
        losses.append(history.history["loss"])
    return plain(losses)


@WAYS.way("many short fits with clear_session")
def many_short_fits_cleared(place: Place) -> Any:
    losses: list[Any] = []
    for _ in range(4):
        keras.backend.clear_session()
        made = model(place, watch=False)
        history = made.fit(*samples(4), verbose=0, callbacks=place.callbacks)
        losses.append(history.history["loss"])
    return plain(losses)


@WAYS.way("a model deleted after its fit")
def a_model_deleted(place: Place) -> Any:
    made = model(place)
    made.fit(*samples(), verbose=0, callbacks=place.callbacks)
    weights = plain(made.get_weights())
    gone = weakref.ref(made)
    del made
    return weights, gone() is None


@WAYS.way("a model deleted while its callback stays")
def a_model_deleted_callback_stays(place: Place) -> Any:
    callbacks = place.callbacks or [Callback()]
    first, second = model(place), model(place)
    first.fit(*samples(), verbose=0, callbacks=callbacks)
    second.fit(*samples(), verbose=0, callbacks=callbacks)
    gone = weakref.ref(first)
    del first
    return gone() is None, callbacks[0].model is second


@WAYS.way("data released after the fit")
def data_released(place: Place) -> Any:
    class Data(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return samples(4)

    data = Data()
    place.watch(data=data)
    return fit(place, model(place), data)


@WAYS.way("a model saved after its fit")
def a_model_saved(place: Place) -> Any:
    made = model(place)
    returned = fit(place, made)
    made.save(place.path / "model.keras")
    made.save_weights(place.path / "model.weights.h5")
    return returned, plain(keras.models.load_model(place.path / "model.keras").get_weights())


@WAYS.way("a model's attributes after its fit")
def a_models_attributes(place: Place) -> Any:
    made = model(place)
    made.fit(*samples(), verbose=0, callbacks=place.callbacks)
    callback_names = [name for name in vars(made) if "callback" in name.lower()]
    return sorted(vars(made)), callback_names, made.count_params(), made.get_config()["name"]
