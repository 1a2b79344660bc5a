"""KerasTuner: energy of each trial of a search on handwritten digits."""

from __future__ import annotations

import sys

import digits
import keras
import keras_tuner

from carbon_callbacks.keras_tuner import EmissionsCallback
from carbon_core import energy


def build(hp):
    """Return a network of the trial's size."""
    size, rate = hp.Int("size", 8, 128), hp.Float("rate", 1e-4, 1e-1, sampling="log")
    layers = [keras.layers.Flatten(), keras.layers.Dense(size, "relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def search(output_dir=".", trials=4):
    """Search; return the tuner and the totals of its study."""
    keras.utils.set_random_seed(0)
    x_train, y_train, x_val, y_val = digits.load()
    tuner = keras_tuner.RandomSearch(
        build,
        "val_accuracy",
        max_trials=trials,
        seed=0,
        overwrite=True,
        directory=f"{output_dir}/keras_tuner",
    )
    with EmissionsCallback(project_name="keras-tuner-digits", output_dir=output_dir) as callback:
        tuner.search(x_train, y_train, epochs=3, validation_data=(x_val, y_val), verbose=0)
    return tuner, callback.totals


if __name__ == "__main__":
    tuner, totals = search(*sys.argv[1:2])
    print(f"{dict(totals.statuses)}; {energy(totals.energy_kwh)}")
    for trial in tuner.oracle.get_best_trials(4):
        used = energy(trial.metrics.get_best_value("carbon:energy_kwh"))
        print(f"accuracy {trial.score:.1%}, {used}: {trial.hyperparameters.values}")
