"""A custom loop with Accelerate: `Training` measures it as a callback measures a Trainer."""

from __future__ import annotations

import sys

import digits
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.training import Progress, Training
from carbon_core import energy


def train(output_dir=".", epochs=5):
    """Train; return the accuracy on the validation digits and the report of the run."""
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    x_train, y_train, x_val, y_val = map(torch.from_numpy, digits.load())
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    net, optimizer, loader = accelerator.prepare(net, optimizer, loader)

    training = Training(project_name="accelerate-loop", output_dir=output_dir, budget_kwh=0.01)
    with training.measure(ranks=accelerator.num_processes):
        for epoch in range(epochs):
            training.epoch_begin(epoch / epochs)
            for images, labels in loader:
                loss = nn.functional.cross_entropy(net(images), labels)
                optimizer.zero_grad()
                accelerator.backward(loss)
                optimizer.step()
            training.epoch_end()
            progress = Progress((epoch + 1) / epochs, samples=(epoch + 1) * len(x_train))
            metrics = training.metrics(progress, f"epoch {epoch}")
            accelerator.print(f"epoch {epoch}: loss {loss.item():.3f}, {shown(metrics)}")
            if training.should_stop(epoch):
                break
        with training.within("validate"):
            accuracy = (net(x_val).argmax(1) == y_val).float().mean().item()
    return accuracy, training.report


def shown(metrics):
    """Return two of the metrics as text."""
    kwh, forecast_kwh = metrics["energy_kwh"], metrics.get("forecast_energy_kwh")
    return f"{energy(kwh)} so far, {energy(forecast_kwh)} expected"


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary() if report else 'measured by another rank'}")
