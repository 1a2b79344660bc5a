"""Keras 3: trains a small convolutional network on handwritten digits, with any backend."""

from __future__ import annotations

import sys

import digits
import keras

from carbon_callbacks.keras import EmissionsCallback


def train(output_dir=".", epochs=10):
    """Train; return the accuracy on the validation digits and the report of the run."""
    keras.utils.set_random_seed(0)
    x_train, y_train, x_val, y_val = digits.load()
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    callback = EmissionsCallback(project_name="keras-digits", output_dir=output_dir)
    history = model.fit(
        x_train[..., None],
        y_train,
        epochs=epochs,
        batch_size=32,
        validation_data=(x_val[..., None], y_val),
        callbacks=[callback],
        verbose=0,
    )
    return history.history["val_accuracy"][-1], callback.report


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary()}")
