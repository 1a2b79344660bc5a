"""Engines of PyTorch Ignite, whose metrics contain the energy of the training."""

from __future__ import annotations

import sys

import digits
import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Accuracy
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.ignite import EmissionsCallback
from carbon_core import energy


def train(output_dir=".", epochs=5):
    """Train; return the accuracy on the validation digits and the report of the run."""
    torch.manual_seed(0)
    x_train, y_train, x_val, y_val = map(torch.from_numpy, digits.load())
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    trainer = create_supervised_trainer(net, optimizer, nn.functional.cross_entropy)
    evaluator = create_supervised_evaluator(net, metrics={"accuracy": Accuracy()})
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    validation = DataLoader(TensorDataset(x_val, y_val), batch_size=64)

    @trainer.on(Events.EPOCH_COMPLETED)
    def evaluate():
        evaluator.run(validation)

    callback = EmissionsCallback(
        project_name="ignite-digits", output_dir=output_dir, budget_kwh=0.01
    ).attach(trainer, evaluator)

    @trainer.on(Events.EPOCH_COMPLETED)
    def show():
        accuracy = evaluator.state.metrics["accuracy"]
        kwh = trainer.state.metrics["carbon_energy_kwh"]
        print(f"epoch {trainer.state.epoch}: accuracy {accuracy:.1%}, {energy(kwh)} so far")

    trainer.run(loader, max_epochs=epochs)
    return evaluator.state.metrics["accuracy"], callback.report


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary()}")
