"""Optuna: energy of each trial of a search on handwritten digits, with a limit for each trial."""

from __future__ import annotations

import sys

import digits
import optuna
from sklearn.neural_network import MLPClassifier

from carbon_callbacks.optuna import EmissionsCallback, EnergyPruner
from carbon_core import energy

EPOCHS = 12


def objective(trial):
    """Train a network of the trial's size, and return its accuracy on the validation digits."""
    size = trial.suggest_int("size", 8, 256, log=True)
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    x_train, y_train, x_val, y_val = digits.load()
    net = MLPClassifier((size,), learning_rate_init=rate, random_state=0)
    for epoch in range(EPOCHS):
        net.partial_fit(x_train.reshape(-1, 64), y_train, classes=range(10))
        accuracy = net.score(x_val.reshape(-1, 64), y_val)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


def search(output_dir=".", trials=20):
    """Search; return the study and its totals."""
    callback = EmissionsCallback(project_name="optuna-digits", output_dir=output_dir)
    pruner = EnergyPruner(0.001, n_reports=EPOCHS, pruner=optuna.pruners.MedianPruner())
    sampler = optuna.samplers.TPESampler(seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=trials, callbacks=[callback])
    return study, callback.totals


if __name__ == "__main__":
    study, totals = search(*sys.argv[1:2])
    print(f"{dict(totals.statuses)}; {energy(totals.energy_kwh)}")
    print(f"pruned and failed trials: {energy(totals.waste_kwh)}")
    print(f"best accuracy {study.best_value:.1%}: {study.best_trial.user_attrs}")
