"""Models that train in ways of their own, and loops without fit."""

from typing import Any

import keras
from upstream.harness import Place
from upstream.keras_ways.models import (
    BACKEND,
    WAYS,
    Recorder,
    arrays,
    fit,
    model,
    needs_backend,
    note,
    plain,
    record,
    samples,
)


class Counting(keras.Sequential):
    """Counts its training steps, as far as they are not compiled."""

    steps = 0

    def train_step(self, *args: Any) -> Any:
        type(self).steps += 1
        return super().train_step(*args)


@WAYS.way("a training step with super")
def a_training_step_with_super(place: Place) -> Any:
    kind = type("Counting", (Counting,), {"steps": 0})
    return fit(place, model(place, kind, run_eagerly=BACKEND != "jax")), kind.steps


@WAYS.way("a training step without super")
def a_training_step_without_super(place: Place) -> Any:
    needs_backend("torch", "tensorflow")

    class Own(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            inputs, targets = data
            if BACKEND == "torch":
                self.zero_grad()
                loss = self.compute_loss(y=targets, y_pred=self(inputs, training=True))
                loss.backward()
                gradients = [one.value.grad for one in self.trainable_weights]
                self.optimizer.apply(gradients, self.trainable_weights)
            else:
                tensorflow = place.need("tensorflow")
                with tensorflow.GradientTape() as tape:
                    loss = self.compute_loss(y=targets, y_pred=self(inputs, training=True))
                gradients = tape.gradient(loss, self.trainable_weights)
                self.optimizer.apply_gradients(zip(gradients, self.trainable_weights))
            return {"own_loss": loss}

    return fit(place, model(place, Own))


@WAYS.way("a validation step with super")
def a_validation_step(place: Place) -> Any:
    class Own(keras.Sequential):
        def test_step(self, *args: Any) -> Any:
            return super().test_step(*args)

    return fit(place, model(place, Own), validation_data=samples(4))


@WAYS.way("fit overridden with super")
def fit_with_super(place: Place) -> Any:
    class Own(keras.Sequential):
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            history = super().fit(*args, **kwargs)
            history.history["own"] = [float(len(history.epoch))] * len(history.epoch)
            return history

    return fit(place, model(place, Own), validation_data=samples(4))


@WAYS.way("fit that fits twice with super")
def fit_twice_with_super(place: Place) -> Any:
    class Own(keras.Sequential):
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            super().fit(*args, **kwargs)
            return super().fit(*args, **kwargs)

    return fit(place, model(place, Own))


@WAYS.way("evaluate overridden with super")
def evaluate_with_super(place: Place) -> Any:
    class Own(keras.Sequential):
        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            found = super().evaluate(*args, **kwargs)
            return {"counted": len(found), **found} if isinstance(found, dict) else found

    return fit(place, model(place, Own), validation_data=samples(4))


@WAYS.way("a train function of the user's")
def a_train_function(place: Place) -> Any:
    class Own(keras.Sequential):
        made = 0

        def make_train_function(self, *args: Any, **kwargs: Any) -> Any:
            type(self).made += 1
            return super().make_train_function(*args, **kwargs)

    return fit(place, model(place, Own)), Own.made


@WAYS.way("a loss of the layer's")
def a_loss_of_the_layers(place: Place) -> Any:
    class Own(keras.Sequential):
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            return super().compute_loss(*args, **kwargs) * 2.0

    return fit(place, model(place, Own))


@WAYS.way("a functional model")
def a_functional_model(place: Place) -> Any:
    keras.utils.set_random_seed(7)
    inputs = keras.Input((4,))
    made = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    made.compile(optimizer="sgd", loss="mse")
    place.watch(model=made)
    return fit(place, made)


@WAYS.way("a model that is built while it trains")
def built_while_it_trains(place: Place) -> Any:
    keras.utils.set_random_seed(7)
    made = keras.Sequential([keras.layers.Dense(1)])
    made.compile(optimizer="sgd", loss="mse")
    return fit(place, made), made.built


@WAYS.way("a model with two outputs")
def two_outputs(place: Place) -> Any:
    keras.utils.set_random_seed(7)
    inputs = keras.Input((4,))
    outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in ("one", "two")}
    made = keras.Model(inputs, outputs)
    made.compile(optimizer="sgd", loss={"one": "mse", "two": "mae"})
    given, targets = samples()
    return fit(place, made, given, {"one": targets, "two": targets}, validation_split=0.25)


@WAYS.way("batches by hand")
def batches_by_hand(place: Place) -> Any:
    made = model(place)
    losses = [made.train_on_batch(*samples(4)) for _ in range(3)]
    losses.append(made.test_on_batch(*samples(4)))
    record(place, made)
    return plain(losses), plain(made.predict_on_batch(samples(4)[0]))


def by_hand(place: Place, handler: Any, made: Any, *, logs: bool = True) -> Any:
    """Train in a loop of the user's that calls the hooks."""
    losses: list[Any] = []
    handler.on_train_begin()
    for epoch in range(2):
        handler.on_epoch_begin(epoch)
        for batch in range(3):
            handler.on_train_batch_begin(batch)
            losses.append(plain(made.train_on_batch(*samples(4))))
            handler.on_train_batch_end(batch, {"loss": losses[-1]} if logs else None)
        handler.on_test_begin()
        handler.on_test_end({"loss": 1.0} if logs else None)
        handler.on_epoch_end(epoch, {"loss": losses[-1]} if logs else None)
    handler.on_train_end()
    record(place, made)
    return losses


@WAYS.way("a loop with a CallbackList")
def a_loop(place: Place) -> Any:
    made, recorder = model(place), Recorder()
    handler = keras.callbacks.CallbackList(
        [*place.callbacks, recorder], add_history=True, model=made, epochs=2, steps=3, verbose=0
    )
    losses = by_hand(place, handler, made)
    note(place, "hooks", recorder.events)
    return losses


@WAYS.way("a loop with a CallbackList without logs")
def a_loop_without_logs(place: Place) -> Any:
    made, recorder = model(place), Recorder()
    handler = keras.callbacks.CallbackList([*place.callbacks, recorder], model=made, epochs=2)
    losses = by_hand(place, handler, made, logs=False)
    note(place, "hooks", recorder.events)
    return losses


@WAYS.way("a loop with a CallbackList without parameters")
def a_loop_without_parameters(place: Place) -> Any:
    made = model(place)
    handler = keras.callbacks.CallbackList(list(place.callbacks), model=made)
    return by_hand(place, handler, made)


@WAYS.way("a loop with a CallbackList without a model")
def a_loop_without_a_model(place: Place) -> Any:
    handler = keras.callbacks.CallbackList(list(place.callbacks))
    return by_hand(place, handler, model(place))


@WAYS.way("a loop that calls the callback itself")
def a_loop_that_calls_itself(place: Place) -> Any:
    made = model(place)
    losses: list[Any] = []
    for one in place.callbacks:
        one.on_train_begin()
    for epoch in range(2):
        for one in place.callbacks:
            one.on_epoch_begin(epoch)
        losses.append(plain(made.train_on_batch(*samples(4))))
        for one in place.callbacks:
            one.on_epoch_end(epoch)
    for one in place.callbacks:
        one.on_train_end()
    record(place, made)
    return losses


@WAYS.way("a loop that is left without an end")
def a_loop_without_an_end(place: Place) -> Any:
    made = model(place)
    handler = keras.callbacks.CallbackList(list(place.callbacks), model=made, epochs=2)
    handler.on_train_begin()
    handler.on_epoch_begin(0)
    made.train_on_batch(*samples(4))
    return fit(place, made)


@WAYS.way("a gradient tape or autograd by hand")
def autograd_by_hand(place: Place) -> Any:
    needs_backend("torch")
    torch = place.need("torch")
    made = model(place)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    inputs, targets = map(torch.from_numpy, samples())
    handler = keras.callbacks.CallbackList(list(place.callbacks), model=made, epochs=1)
    handler.on_train_begin()
    handler.on_epoch_begin(0)
    loss = torch.nn.functional.mse_loss(made(inputs, training=True), targets)
    loss.backward()
    optimizer.step()
    handler.on_epoch_end(0, {"loss": loss.item()})
    handler.on_train_end()
    return loss.item(), arrays(made.weights)
