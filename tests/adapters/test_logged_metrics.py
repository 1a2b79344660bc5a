"""The metrics that a training logs are in its receipt: accuracy beside energy."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from carbon_callbacks._training.logged import LoggedMetrics
from carbon_callbacks.testing import receipts
from carbon_callbacks.training import Training
from carbon_core.outputs import past_runs


def noted(**metrics):
    logged = LoggedMetrics()
    logged.note(metrics)
    return logged.values()


def test_the_last_value_of_each_metric_is_kept():
    logged = LoggedMetrics()
    logged.note({"val_loss": 0.5, "val_accuracy": 0.8})
    logged.note({"val_loss": 0.25})
    assert logged.values() == {"val_loss": 0.25, "val_accuracy": 0.8}


@pytest.mark.parametrize("name", [
    "epoch", "step", "learning_rate", "lr-Adam", "total_flos", "grad_norm", "train_runtime",
    "eval_samples_per_second", "carbon/energy_kwh", "train/carbon_energy_kwh", "carbon_power_w",
])  # fmt: skip
def test_time_progress_and_energy_are_no_quality_of_a_model(name):
    assert noted(**{name: 1.0}) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, "text", None, [1.0], SimpleNamespace()])
def test_what_is_no_finite_number_is_left_out(value):
    assert noted(loss=value, accuracy=1) == {"accuracy": 1.0}


def test_values_are_converted_at_the_end_only():
    """A tensor on a GPU would be waited for."""
    converted = []

    class Tensor:
        def __float__(self):
            converted.append(self)
            return 0.5

    logged = LoggedMetrics()
    logged.note({"loss": Tensor()})
    assert converted == []
    assert logged.values() == {"loss": 0.5}


def test_their_number_is_limited():
    assert len(noted(**{f"metric-{i}": 1.0 for i in range(1000)})) == 50


def test_the_receipt_has_them(machine):
    training = Training()
    with training.measure():
        machine.clock.advance(1.0)
        training.improve({"val_loss": 0.5, "epoch": 1})
    with training.measure():
        machine.clock.advance(1.0)
    assert sorted(map(len, (one["logged_metrics"] for one in receipts()))) == [0, 1]
    assert {"val_loss": 0.5} in [one["logged_metrics"] for one in receipts()]


@pytest.mark.parametrize("value", [3e38, -1.7e308, 1e16])
def test_a_loss_that_diverges_does_not_spoil_the_receipt(machine, value):
    training = Training()
    with training.measure():
        machine.clock.advance(1.0)
        training.improve({"val_loss": value})
    (path,) = Path("carbon_runs").glob("*.receipt.json")
    assert past_runs.read(path).logged_metrics == {"val_loss": value}


def test_a_fit_of_keras_has_its_last_values(machine):
    keras = pytest.importorskip("keras")
    import numpy as np

    from carbon_callbacks.keras import EmissionsCallback

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse", metrics=["mae"])
    x, y = np.zeros((4, 2), "float32"), np.ones((4, 1), "float32")
    history = model.fit(
        x, y, validation_data=(x, y), epochs=2, verbose=0, callbacks=[EmissionsCallback()]
    )
    (receipt,) = receipts()
    assert receipt["logged_metrics"] == {
        name: pytest.approx(history.history[name][-1])
        for name in ("loss", "mae", "val_loss", "val_mae")
    }
