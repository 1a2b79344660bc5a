"""LightGBM: trains on handwritten digits with an energy budget, which would stop the training."""

from __future__ import annotations

import sys

import digits
import lightgbm

from carbon_callbacks.lightgbm import EmissionsCallback

PARAMS = {
    "objective": "multiclass",
    "num_class": 10,
    "num_leaves": 7,
    "num_threads": 1,
    "early_stopping_round": 20,
    "verbose": -1,
}


def train(output_dir=".", rounds=100, budget_kwh=0.01):
    """Train; return the accuracy on the validation digits and the report of the run."""
    x_train, y_train, x_val, y_val = digits.load()
    x_train, x_val = x_train.reshape(len(x_train), -1), x_val.reshape(len(x_val), -1)
    data = lightgbm.Dataset(x_train, y_train)
    validation = lightgbm.Dataset(x_val, y_val, reference=data)
    callback = EmissionsCallback(
        project_name="lightgbm-digits", output_dir=output_dir, budget_kwh=budget_kwh
    )
    model = lightgbm.train(PARAMS, data, rounds, valid_sets=[validation], callbacks=[callback])
    return (model.predict(x_val).argmax(axis=1) == y_val).mean(), callback.report


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary()}")
