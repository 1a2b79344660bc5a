"""CatBoost: trains on handwritten digits; the forecast of the whole training after each round."""

from __future__ import annotations

import sys

import digits
from catboost import CatBoostClassifier

from carbon_callbacks.catboost import EmissionsCallback


def train(output_dir=".", rounds=60):
    """Train; return the accuracy on the validation digits and the report of the run."""
    x_train, y_train, x_val, y_val = digits.load()
    x_train, x_val = x_train.reshape(len(x_train), -1), x_val.reshape(len(x_val), -1)
    callback = EmissionsCallback(
        project_name="catboost-digits", output_dir=output_dir, log_metrics="all", log_every=10
    )
    model = CatBoostClassifier(
        iterations=rounds, depth=4, thread_count=1, verbose=False, allow_writing_files=False
    )
    model.fit(x_train, y_train, eval_set=(x_val, y_val), callbacks=[callback])
    for row in callback.history:
        whole = row.get("forecast_energy_kwh")
        expected = f", {whole:.2e} kWh expected" if whole else ""
        print(f"round {row['round']}: {row['energy_kwh']:.2e} kWh{expected}")
    return model.score(x_val, y_val), callback.report


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary()}")
