"""A custom loop with Accelerate, whose trackers get the energy with each log."""

from __future__ import annotations

import sys

import digits
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.accelerate import EmissionsCallback
from carbon_core import energy


def train(output_dir=".", epochs=5):
    """Train; return the accuracy on the validation digits and the report of the run."""
    callback = EmissionsCallback(
        project_name="accelerate-loop", output_dir=output_dir, budget_kwh=0.01
    )
    accelerator = Accelerator(cpu=True, log_with=["tensorboard", callback], project_dir=output_dir)
    torch.manual_seed(0)
    x_train, y_train, x_val, y_val = map(torch.from_numpy, digits.load())
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    net, optimizer, loader = accelerator.prepare(net, optimizer, loader)

    accelerator.init_trackers("digits")
    for epoch in callback.epochs(epochs):
        for images, labels in callback.batches(loader):
            loss = nn.functional.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
        with callback.evaluation():
            accuracy = (net(x_val).argmax(1) == y_val).float().mean().item()
        accelerator.log({"loss": loss.item(), "accuracy": accuracy}, step=epoch)
        kwh = callback.metrics()["carbon/energy_kwh"]
        accelerator.print(f"epoch {epoch}: loss {loss.item():.3f}, {energy(kwh)} so far")
    accelerator.end_training()
    return accuracy, callback.report


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary() if report else 'measured by another rank'}")
