"""XGBoost: trains on handwritten digits, then adds rounds to the model; their energy adds up."""

from __future__ import annotations

import sys

import digits
import xgboost

from carbon_callbacks.xgboost import EmissionsCallback

PARAMS = {"objective": "multi:softmax", "num_class": 10, "eval_metric": "merror", "nthread": 1}


def train(output_dir=".", rounds=30):
    """Train; return the accuracy on the validation digits and the report of the run."""
    x_train, y_train, x_val, y_val = digits.load()
    data = xgboost.DMatrix(x_train.reshape(len(x_train), -1), y_train)
    validation = xgboost.DMatrix(x_val.reshape(len(x_val), -1), y_val)
    callback = EmissionsCallback(project_name="xgboost-digits", output_dir=output_dir)
    model = None
    for _ in range(2):  # the second training continues the first one
        model = xgboost.train(
            PARAMS,
            data,
            rounds,
            evals=[(validation, "validation")],
            early_stopping_rounds=20,
            callbacks=[callback],
            verbose_eval=False,
            xgb_model=model,
        )
    return (model.predict(validation) == y_val).mean(), callback.report


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary()}")
    print(f"both trainings: {report.training_kwh:.2e} kWh")
