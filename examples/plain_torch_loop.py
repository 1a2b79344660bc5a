"""Plain PyTorch: windows measure the energy of each part of a custom training loop."""

from __future__ import annotations

import sys

import digits
import torch
from torch import nn

from carbon_callbacks import EmissionsTracker
from carbon_core import energy


def batches(images, labels, size=32):
    """Yield batches in random order."""
    for chosen in torch.randperm(len(labels)).split(size):
        yield images[chosen], labels[chosen]


def train(output_dir=".", epochs=15):
    """Train; return the accuracy on the validation digits and the report of the run."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    with EmissionsTracker(project_name="plain-loop", output_dir=output_dir) as tracker:
        with tracker.window("data") as data:
            x_train, y_train, x_val, y_val = map(torch.from_numpy, digits.load())
        for epoch in range(epochs):
            with tracker.window("epoch") as window:
                for images, labels in batches(x_train, y_train):
                    loss = nn.functional.cross_entropy(net(images), labels)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            if epoch % 5 == 0:
                print(f"epoch {epoch}: loss {loss.item():.3f}, {energy(window.energy_kwh)}")
        print(f"data: {energy(data.energy_kwh)}")
        accuracy = (net(x_val).argmax(1) == y_val).float().mean().item()
    return accuracy, tracker.final_report


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary()}")
