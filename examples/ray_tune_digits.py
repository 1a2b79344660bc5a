"""Ray Tune: energy of each trial of a search on handwritten digits, two at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import digits
import ray
from ray import tune
from sklearn.neural_network import MLPClassifier

from carbon_callbacks.ray_tune import EmissionsCallback
from carbon_core import energy

EPOCHS = 8


def train(config, data):
    """Train a network of the trial's size, and report its accuracy on the validation digits."""
    x_train, y_train, x_val, y_val = data
    net = MLPClassifier((config["size"],), learning_rate_init=config["rate"], random_state=0)
    for _ in range(EPOCHS):
        net.partial_fit(x_train.reshape(-1, 64), y_train, classes=range(10))
        tune.report({"accuracy": net.score(x_val.reshape(-1, 64), y_val)})


def search(output_dir=".", trials=4):
    """Search; return the results and the totals of their study."""
    callback = EmissionsCallback(
        metric="accuracy",
        mode="max",
        max_t=EPOCHS,
        project_name="ray-digits",
        output_dir=output_dir,
    )
    space = {"size": tune.randint(8, 128), "rate": tune.loguniform(1e-4, 1e-1)}
    scheduler = tune.schedulers.ASHAScheduler(max_t=EPOCHS)
    tuner = tune.Tuner(
        tune.with_parameters(train, data=digits.load()),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=trials, scheduler=scheduler
        ),
        run_config=tune.RunConfig(
            storage_path=str(Path(output_dir, "ray").resolve()), callbacks=[callback], verbose=0
        ),
    )
    return tuner.fit(), callback.totals


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    results, totals = search(*sys.argv[1:2])
    print(f"{dict(totals.statuses)}; {energy(totals.energy_kwh)}")
    for result in results:
        used = energy(result.metrics["carbon:energy_kwh"])
        print(f"accuracy {result.metrics['accuracy']:.1%}, {used}: size {result.config['size']}")
