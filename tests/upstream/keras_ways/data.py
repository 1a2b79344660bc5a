"""What a model is fit to, and how."""

from typing import Any

import keras
import numpy as np
from upstream.harness import Place
from upstream.keras_ways.models import (
    BACKEND,
    BATCH,
    SAMPLES,
    WAYS,
    attempt,
    fit,
    model,
    needs_backend,
    samples,
)

_VALIDATION = samples(4)

_OPTIONS: dict[str, dict[str, Any]] = {
    "epochs": {},
    "one epoch": {"epochs": 1},
    "validation data": {"validation_data": _VALIDATION},
    "validation split": {"validation_split": 0.25},
    "validation in some epochs": {
        "validation_data": _VALIDATION,
        "validation_freq": 2,
        "epochs": 4,
    },
    "validation in given epochs": {
        "validation_data": _VALIDATION,
        "validation_freq": [1, 3],
        "epochs": 3,
    },
    "validation batches": {"validation_data": _VALIDATION, "validation_batch_size": 1},
    "validation steps": {
        "validation_data": _VALIDATION,
        "validation_batch_size": 1,
        "validation_steps": 2,
    },
    "weighted validation data": {"validation_data": (*_VALIDATION, np.arange(4.0))},
    "steps per epoch": {"steps_per_epoch": 2},
    "a later first epoch": {"initial_epoch": 1, "epochs": 3},
    "batches of one": {"batch_size": 1},
    "one batch": {"batch_size": SAMPLES},
    "not shuffled": {"shuffle": False},
    "weighted samples": {"sample_weight": np.linspace(0.5, 1.5, SAMPLES)},
    "a bar": {"verbose": 1, "validation_data": _VALIDATION},
    "a line an epoch": {"verbose": 2, "validation_data": _VALIDATION},
    "verbose by default": {"verbose": "auto"},
}


def _register(name: str, options: dict[str, Any]) -> None:
    @WAYS.way(name)
    def with_options(place: Place) -> Any:
        return fit(place, model(place, jit_compile="auto"), **options)


for _name, _options in _OPTIONS.items():
    _register(_name, _options)

_COMPILED: dict[str, dict[str, Any]] = {
    "compiled": {"jit_compile": True},
    "not compiled": {"jit_compile": False},
    "eager": {"run_eagerly": True},
    "several steps at once": {"steps_per_execution": 2},
    "metrics": {"metrics": ["mae", "mse"]},
    "weighted metrics": {"weighted_metrics": ["mae"]},
    "adam": {"optimizer": "adam"},
    "averaged weights": {"optimizer": "ema"},
    "clipped": {"optimizer": "clipped"},
    "accumulated gradients": {"optimizer": "accumulated"},
}


def _optimizer(name: str) -> Any:
    made = {
        "ema": lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5),
        "clipped": lambda: keras.optimizers.SGD(0.05, global_clipnorm=0.1),
        "accumulated": lambda: keras.optimizers.SGD(0.05, gradient_accumulation_steps=2),
    }
    return made[name]() if name in made else name


def _register_compiled(name: str, options: dict[str, Any]) -> None:
    @WAYS.way(f"{name} model")
    def compiled(place: Place) -> Any:
        if options.get("jit_compile") or "steps_per_execution" in options:
            needs_backend("jax", "tensorflow")
        given = {k: _optimizer(v) if k == "optimizer" else v for k, v in options.items()}
        made = model(place, **{"jit_compile": "auto", **given})
        return fit(place, made, validation_data=samples(4))


for _name, _options in _COMPILED.items():
    _register_compiled(_name, _options)


@WAYS.way("no epochs")
def no_epochs(place: Place) -> Any:
    return attempt(fit, place, model(place), epochs=0)  # Keras 3.5 cannot


@WAYS.way("no epoch left")
def no_epoch_left(place: Place) -> Any:
    return attempt(fit, place, model(place), initial_epoch=2, epochs=2)


@WAYS.way("weighted classes")
def weighted_classes(place: Place) -> Any:
    inputs, targets = samples()
    made = model(place, loss="binary_crossentropy", metrics=["accuracy"])
    return fit(place, made, inputs, (targets > 0).astype(int), class_weight={0: 0.5, 1: 2.0})


@WAYS.way("tensors")
def tensors(place: Place) -> Any:
    given = [keras.ops.convert_to_tensor(one) for one in samples()]
    return fit(place, model(place), *given, batch_size=BATCH)


@WAYS.way("a data frame")
def a_data_frame(place: Place) -> Any:
    pandas = place.need("pandas")
    inputs, targets = samples()
    return fit(place, model(place), pandas.DataFrame(inputs), pandas.DataFrame(targets))


def batches(count: int) -> Any:
    inputs, targets = samples()
    for number in range(count):
        start = number * BATCH % SAMPLES
        yield inputs[start : start + BATCH], targets[start : start + BATCH]


@WAYS.way("a generator")
def a_generator(place: Place) -> Any:
    return fit(place, model(place), batches(3), epochs=1)


@WAYS.way("a generator with steps")
def a_generator_with_steps(place: Place) -> Any:
    return fit(
        place,
        model(place),
        batches(100),
        steps_per_epoch=2,
        validation_data=batches(100),
        validation_steps=2,
    )


@WAYS.way("a generator that ends early")
def a_generator_that_ends_early(place: Place) -> Any:
    return fit(place, model(place), batches(3), steps_per_epoch=2, epochs=3)


class Batches(keras.utils.PyDataset):
    """Batches that are made when they are needed."""

    ended = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        inputs, targets = samples()
        return inputs[4 * index : 4 * index + 4], targets[4 * index : 4 * index + 4]

    def on_epoch_end(self) -> None:
        self.ended += 1


@WAYS.way("a PyDataset")
def a_py_dataset(place: Place) -> Any:
    given = Batches()
    return fit(place, model(place), given, validation_data=Batches()), given.ended


@WAYS.way("a PyDataset with workers")
def a_py_dataset_with_workers(place: Place) -> Any:
    given = Batches(workers=2, max_queue_size=4)
    return fit(place, model(place), given, shuffle=False), given.ended


@WAYS.way("a DataLoader of torch")
def a_dataloader(place: Place) -> Any:
    needs_backend("torch")
    torch = place.need("torch")
    pairs = torch.utils.data.TensorDataset(*map(torch.from_numpy, samples()))
    loader = torch.utils.data.DataLoader(pairs, batch_size=BATCH, shuffle=True)
    return fit(place, model(place), loader, validation_data=loader)


@WAYS.way("a data set of tensorflow")
def a_tensorflow_dataset(place: Place) -> Any:
    needs_backend("tensorflow")
    tensorflow = place.need("tensorflow")
    given = tensorflow.data.Dataset.from_tensor_slices(samples()).shuffle(12, seed=3).batch(BATCH)
    return fit(place, model(place), given, validation_data=given)


@WAYS.way("a repeated data set of tensorflow")
def a_repeated_dataset(place: Place) -> Any:
    needs_backend("tensorflow")
    tensorflow = place.need("tensorflow")
    given = tensorflow.data.Dataset.from_tensor_slices(samples()).batch(BATCH).repeat()
    return fit(place, model(place), given, steps_per_epoch=4)


@WAYS.way("names of ours as metrics")
def names_of_ours(place: Place) -> Any:
    kept: dict[str, Any] = {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            kept[f"energy at {epoch}"] = logs["carbon_energy_kwh"]

    metric = keras.metrics.MeanAbsoluteError(name="carbon_energy_kwh")
    returned = fit(place, model(place, metrics=[metric]), after=(Keep(),))
    return returned, kept


@WAYS.way("a history in a data frame")
def a_history_in_a_data_frame(place: Place) -> Any:
    pandas = place.need("pandas")
    made = model(place)
    history = made.fit(
        *samples(), epochs=3, verbose=0, validation_split=0.25, callbacks=place.callbacks
    )
    frame = pandas.DataFrame(history.history)
    return len(frame), frame["loss"].tolist(), frame["val_loss"].tolist()


@WAYS.way("mixed precision")
def mixed_precision(place: Place) -> Any:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return fit(place, model(place))
    finally:
        keras.config.set_dtype_policy(before)


@WAYS.way("on a device")
def on_a_device(place: Place) -> Any:
    with keras.device("cpu" if BACKEND == "torch" else "cpu:0"):
        return fit(place, model(place))
