"""LightGBM: trains on handwritten digits with an energy budget, which stops the training."""

from __future__ import annotations

import sys

import digits
from lightgbm import LGBMClassifier

from carbon_callbacks.lightgbm import EmissionsCallback


def train(output_dir=".", rounds=200, budget_kwh=0.01):
    """Train; return the accuracy on the validation digits and the report of the run."""
    x_train, y_train, x_val, y_val = digits.load()
    x_train, x_val = x_train.reshape(len(x_train), -1), x_val.reshape(len(x_val), -1)
    callback = EmissionsCallback(
        project_name="lightgbm-digits", output_dir=output_dir, budget_kwh=budget_kwh
    )
    model = LGBMClassifier(
        n_estimators=rounds, num_leaves=15, n_jobs=2, early_stopping_round=20, verbose=-1
    )
    model.fit(x_train, y_train, eval_set=[(x_val, y_val)], callbacks=[callback])
    return model.score(x_val, y_val), callback.report


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary()}")
