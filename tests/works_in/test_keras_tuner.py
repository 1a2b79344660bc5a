"""KerasTuner: each trial of a search is a run."""

import pytest

pytest.importorskip("keras_tuner")

import keras
import keras_tuner
import numpy as np
from works_in.tiny_keras import entries_of
from works_in.works import Trained

INPUTS = np.sin(np.arange(48, dtype="float32").reshape(12, 4))
TARGETS = INPUTS.sum(axis=1, keepdims=True)


class Model(keras_tuner.HyperModel):
    """A layer with a learning rate to be found; keeps what its fits have logged."""

    def __init__(self):
        super().__init__()
        self.log = []

    def build(self, hp):
        keras.utils.set_random_seed(7)
        model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
        rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
        model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
        return model

    def fit(self, hp, model, *args, **kwargs):
        history = model.fit(*args, **kwargs)
        self.log.extend(entries_of(history))
        return history


def searched(line, tuner_class, **options):
    """Search; return the best model."""
    model = Model()
    tuner = tuner_class(model, "val_loss", seed=3, directory="tuner", **options)
    line.run(tuner=tuner, x=INPUTS, y=TARGETS)
    return Trained(tuner.get_best_models()[0], model.log)


def test_random_search(works):
    works.check(
        lambda line: searched(line, keras_tuner.RandomSearch, max_trials=3),
        phases=("train", "validate"),
        runs=3,
    )


def test_hyperband(works):
    receipts = works.check(
        lambda line: searched(line, keras_tuner.Hyperband, max_epochs=3, factor=3),
        phases=("train", "validate"),
        runs=6,
    )
    # A trial of a later round continues the one whose weights it loads.
    assert any(one["earlier_starts"] for one in receipts)
